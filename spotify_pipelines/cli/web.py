"""``serve``: Dagster's UI and the jobs API on one port.

What belongs here: arguments. What does not: the server and its guard (``spotify_pipelines.web``).
"""

from typing import Annotated

import typer

from spotify_pipelines.settings import find_root, load_settings

__all__ = ["register", "serve"]


def register(app: typer.Typer) -> None:
    """Add this module's command to the root app."""
    app.command()(serve)


def serve(
    host: Annotated[
        str | None, typer.Option(help="Where to listen; anything but loopback needs a token.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="0: any that is free.", min=0, max=65535)] = None,
    read_only: Annotated[
        bool | None, typer.Option("--read-only", help="Nobody changes anything, be it here or in the UI.")
    ] = None,
) -> None:
    """Serve Dagster's UI and the jobs API (`/api/v1/jobs/list`, `/api/v1/jobs/update`) behind one guard.

    Schedules and sensors need a daemon beside it: `dagster-daemon run`, or the one in `dagster dev`. The
    settings SPOTIFY_PIPELINES_WEB_… say the same as the options, and the token.

    Example: spotify-pipelines serve --port 3000 --read-only
    """
    given = {"web_host": host, "web_port": port, "web_read_only": read_only}
    settings = load_settings().model_copy(
        update={name: value for name, value in given.items() if value is not None}
    )
    from spotify_pipelines.web.server import serve as run

    run(settings, find_root(), lambda url: typer.echo(f"Dagster's UI and the jobs API: {url}"))
