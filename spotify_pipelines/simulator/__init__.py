"""A Spotify that runs on your machine: Web API, accounts service and ReccoBeats on one port.

What lives here: the double itself (``app``, ``serve``), its catalogue, its durable state and the client of its
control API. It imports nothing from the rest of the package, and nothing of the rest knows that it exists: the
product talks to it over HTTP, as it talks to Spotify.
"""
