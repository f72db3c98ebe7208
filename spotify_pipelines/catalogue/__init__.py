"""The catalogue: album URLs become albums, tracks and artists, and tracks get their audio features."""
