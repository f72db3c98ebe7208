"""The Dagster shell: assets, checks, jobs, schedules, sensors, resources and job history.

One noun per module; an asset body opens resources, calls one use case and turns its report into a result.
Nothing outside this room (but ``definitions`` and ``web``) imports dagster, and no decision is made in it.
"""
