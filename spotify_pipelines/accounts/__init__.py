"""Accounts on Spotify: tokens (encrypted), consent, refresh, health, and the waves they are worked in."""
