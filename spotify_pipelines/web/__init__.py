"""``spotify-pipelines serve``: Dagster's own UI and the jobs API on one port, behind one guard.

What belongs in this room: the two routes, their published description, who may come in, and the server. What does
not: what a schedule is and how it is switched (``defs.automation``).
"""
