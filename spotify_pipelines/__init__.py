"""Dagster assets that keep hundreds of Spotify playlists on several accounts fresh.

Pure decisions live in ``catalogue``, ``playlists`` and ``accounts``; what talks to Spotify in ``spotify``,
to PostgreSQL in ``store``; the Dagster shell in ``defs``; doors for people in ``cli`` and ``web``.
"""
