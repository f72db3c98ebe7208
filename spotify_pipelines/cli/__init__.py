"""The ``spotify-pipelines`` command: a thin door. Each module registers its commands on the root app.

What belongs in this room: arguments, rendering, exit codes. What does not: decisions, SQL, HTTP. typer and
rich are imported here and nowhere else.
"""

__all__ = ["main"]


def main() -> None:
    """Run the command line; a known error becomes one sentence on stderr, never a traceback."""
    from spotify_pipelines.cli.root import run

    run()
