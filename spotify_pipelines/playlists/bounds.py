"""What a pool can carry: bounds that no selection beats, computed before anything is drawn."""
