"""Dagster's own command lines, from the root of the checkout with nothing exported: one instance for all."""

import pytest

from spotify_pipelines.defs.schedules import CADENCE
from spotify_pipelines_tests.e2e.conftest import Served

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

_LOCATION = ("-m", "spotify_pipelines.definitions")
_ASSETS = (
    "albums",
    "tracks",
    "audio_features",
    "account_tokens",
    "playlist_plan",
    "playlist_snapshots",
    "spotify_playlists",
    "metric_snapshots",
)


def runs(served: Served) -> dict[str, str]:
    """Status by run id, of all runs that the persistent instance knows."""
    answer = served.ask("{ runsOrError(limit: 500) { ... on Runs { results { id status } } } }")
    return {run["id"]: run["status"] for run in answer["runsOrError"]["results"]}


def new_runs(served: Served, *command: str) -> list[str]:
    """Status of each run that a command made."""
    before = runs(served)
    served.here.run(*command)
    return [status for run, status in runs(served).items() if run not in before]


@pytest.mark.parametrize("asset", _ASSETS)
def test_every_asset_materializes_alone(served: Served, asset: str) -> None:
    assert new_runs(served, "dagster", "asset", "materialize", "--select", asset, *_LOCATION) == ["SUCCESS"]


def test_all_assets_materialize_together(served: Served) -> None:
    assert new_runs(served, "dagster", "asset", "materialize", "--select", "*", *_LOCATION) == ["SUCCESS"]


def test_the_nightly_job_executes(served: Served) -> None:
    assert new_runs(served, "dagster", "job", "execute", *_LOCATION, "-j", "nightly") == ["SUCCESS"]


def test_dg_checks_and_launches_on_the_same_instance(served: Served) -> None:
    assert "All definitions loaded successfully" in served.here.run("dg", "check", "defs").stdout
    assert new_runs(served, "dg", "launch", "--assets", "metric_snapshots") == ["SUCCESS"]
    assert new_runs(served, "dg", "launch", "--job", "metrics_snapshot") == ["SUCCESS"]


def test_a_schedule_that_the_command_line_stops_is_stopped_for_the_ui(served: Served) -> None:
    name = "scale_playlists_daily_schedule"
    served.here.run("dagster", "schedule", "stop", name)
    served.expect_schedule(name, running=False)
    served.here.run("dagster", "schedule", "start", name)
    served.expect_schedule(name, running=True)


def test_the_command_line_lists_all_schedules(served: Served) -> None:
    assert served.here.run("dagster", "schedule", "list").stdout.count("_schedule [") == len(CADENCE)


def execute(served: Served, job: str, config: str) -> str:
    """Run a job with a config file; what it printed, whether it failed or not."""
    file = served.here.root / "config.yaml"
    file.write_text(config)
    done = served.here.run("dagster", "job", "execute", *_LOCATION, "-j", job, "-c", file.name, check=False)
    return done.stdout + done.stderr


def test_a_dry_run_observes_and_materializes_nothing(served: Served) -> None:
    position = served.here.simulator.ledger_position()
    config = "ops: {playlist_snapshots: {config: {force: true, dry_run: true}}}"
    said = execute(served, "build_playlist_snapshot", config)
    assert "ASSET_OBSERVATION" in said
    assert "RUN_SUCCESS" in said
    assert "ASSET_MATERIALIZATION" not in said
    assert served.here.simulator.ledger(after=position) == []


def test_a_dry_run_among_other_assets_is_refused_with_a_sentence(served: Served) -> None:
    said = execute(served, "nightly", "ops: {playlist_snapshots: {config: {dry_run: true}}}")
    assert "in a run of several assets. Run it alone" in said


def test_a_narrowed_job_works_on_what_it_was_narrowed_to(served: Served) -> None:
    position = served.here.simulator.ledger_position()
    drawn = "playlist_snapshots: {config: {playlist_ids: [1], force: true}}"
    assert "RUN_SUCCESS" in execute(served, "build_playlist_snapshot", f"ops: {{{drawn}}}")
    synced = "spotify_playlists: {config: {playlist_ids: [1]}}"
    assert "RUN_SUCCESS" in execute(served, "ensure_playlist_for_account", f"ops: {{{synced}}}")
    writes = [e for e in served.here.simulator.ledger(after=position) if e["method"] == "PUT"]
    assert [write["endpoint"] for write in writes] == ["/v1/playlists/{id}/items"]


def test_urls_in_the_launchpad_are_queued_and_bad_ones_are_named(served: Served) -> None:
    urls = "[spotify:track:4aawyAB9vmqN3uQ7FjRGTy]"
    said = execute(served, "ingest_albums_from_sources", f"ops: {{albums: {{config: {{urls: {urls}}}}}}}")
    assert "RUN_SUCCESS" in said
    assert "1 failed" in said
