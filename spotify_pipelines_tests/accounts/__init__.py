"""Tests of the vault, health, tokens and the ways an account is connected."""
