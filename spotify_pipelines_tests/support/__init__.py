"""What tests of all rooms share: servers, builders, clients."""
