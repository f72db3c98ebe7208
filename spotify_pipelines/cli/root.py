"""The root of the command line: which commands there are, and how errors leave it.

Exit codes: 0 all done, 1 done in part (some items failed or were deferred), 2 the call was wrong,
3 nothing could be done.
"""

import sys
from importlib import import_module

import click
import typer

from spotify_pipelines.cli.output import plain
from spotify_pipelines.errors import ExplainedError
from spotify_pipelines.observability.logs import configure_logging
from spotify_pipelines.settings import SettingsError, load_settings

__all__ = ["app", "build_app", "run"]

# One module per group of commands; each has ``register(app: typer.Typer) -> None``.
_MODULES = (
    "services",
    "apps",
    "accounts",
    "keys",
    "database",
    "albums",
    "policies",
    "playlists",
    "jobs",
    "calls",
    "metrics",
    "web",
    "demo",
)


def build_app() -> typer.Typer:
    """The typer application with every command registered."""
    app = typer.Typer(
        name="spotify-pipelines",
        help="Keep Spotify playlists fresh: queue albums, look at playlists, run the services behind them.",
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_before_every_command)
    for name in _MODULES:
        import_module(f"spotify_pipelines.cli.{name}").register(app)
    return app


def _before_every_command() -> None:
    """Set up logs, which go to standard error: in a terminal only what needs attention, unless asked for more."""
    try:
        settings = load_settings()
    except SettingsError:  # the command says it, if it needs settings at all
        configure_logging()
        return
    quiet = sys.stderr.isatty() and "log_level" not in settings.model_fields_set
    configure_logging(log_format=settings.log_format, level="WARNING" if quiet else settings.log_level)


app = build_app()


def run() -> None:
    """Run the command line and exit the process with its code."""
    try:
        app(standalone_mode=True)
    except (SettingsError, click.UsageError) as error:
        _fail(str(error), 2)
    except KeyboardInterrupt:
        _fail("Stopped. What was committed stays; run the command again to go on.", 130)
    except ExplainedError as error:
        _fail(str(error), 3)


def _fail(message: str, code: int) -> None:
    # Errors may quote what came from outside: names, and what a browser sent.
    typer.echo("\n".join(plain(line) for line in message.splitlines()), err=True)
    sys.exit(code)
