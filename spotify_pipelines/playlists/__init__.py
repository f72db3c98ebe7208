"""Playlists: from a policy and a catalogue to fifty tracks in an order, and onto Spotify.

Pure modules (no I/O, no clock, no global randomness): ``policies`` (what is asked), ``cycles`` (when),
``selection`` (which tracks), ``order`` (in what order), ``figures`` (how good it came out), ``templates``
(names and descriptions) and ``randomness`` (the reproducible bits that selection and order draw on).
Use cases fetch, decide with those, write, and return one report.
"""
