"""A Redis for one measurement: nobody else's work is in it, and nobody else stops it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from spotify_pipelines import services
from spotify_pipelines.settings import Settings

__all__ = ["own_redis"]


@contextmanager
def own_redis() -> Iterator[str]:
    """Its URL; it is stopped and removed at the end of the block."""
    with TemporaryDirectory(prefix="bench-") as folder:
        settings = Settings(_env_file=None, state_dir=Path(folder))
        others = {"postgres": "not needed", "simulator": "not needed"}
        try:
            url = services.start(settings, skipped=others, throwaway=True).redis_url
            assert url is not None
            yield url
        finally:
            services.purge(settings, Path(folder))
