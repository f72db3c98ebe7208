"""Accounts on Spotify: their tokens (encrypted), consent, refresh, health, and the waves they are worked in."""
