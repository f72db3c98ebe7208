"""What holds for every test: the servers at hand, hypothesis that repeats itself, browsers only on demand."""

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["spotify_pipelines_tests.support.services", "spotify_pipelines_tests.support.dagster"]

# The same examples on every machine and in every run: a red test is red for everybody. No deadline, since a
# busy machine is no bug. `pytest --hypothesis-profile=search` looks further, at random.
settings.register_profile(
    "ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile("ci")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what drives a browser, unless the marker expression speaks of it (``-m e2e``)."""
    if "e2e" in config.option.markexpr:
        return
    browsers = [item for item in items if item.get_closest_marker("e2e")]
    if browsers:
        config.hook.pytest_deselected(items=browsers)
        items[:] = [item for item in items if item not in set(browsers)]
