"""The Web API client: transport, limiter, retry, errors, models, capabilities, feature sources.

What belongs here: everything that is true of Spotify's API (and ReccoBeats') whoever calls it. What does not:
tokens in a database, playlists' desired state, any SQL: use cases hand those in through ``ports``. Start
reading at ``client`` (what can be asked) and ``caller`` (the order in which a call passes all its gates).
"""
