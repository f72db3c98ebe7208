"""Prometheus' text: read back by a parser that is as strict as the format, and nobody's name in it."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_pipelines.observability.metrics import capture, flatten
from spotify_pipelines.observability.prometheus import CONTENT_TYPE, Sample, exposition, from_snapshot
from spotify_pipelines.observability.scrape import prometheus_text
from spotify_pipelines.settings import World
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.tables import Account, AlbumSource, JobRun, SpotifyApp
from spotify_pipelines_tests.support.databases import open_database

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)\Z")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|\Z)')
_ESCAPED = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}

Labels = tuple[tuple[str, str], ...]


@dataclass
class Family:
    """One metric as it was read."""

    about: str
    kind: str = ""
    samples: dict[Labels, float] = field(default_factory=dict)


def parse(text: str) -> dict[str, Family]:
    """The format 0.0.4 as its documentation has it: help, type, then all samples of a metric in one block."""
    assert text.endswith("\n")
    families: dict[str, Family] = {}
    current = ""
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            current, about = line.removeprefix("# HELP ").split(" ", 1)
            assert current not in families, f"{current} is in two blocks"
            families[current] = Family(about)
        elif line.startswith("# TYPE "):
            name, kind = line.removeprefix("# TYPE ").split(" ")
            assert name == current
            assert not families[name].samples
            families[name].kind = kind
        else:
            match = _SAMPLE.match(line)
            assert match, line
            assert match[1] == current
            labels = tuple(read_labels(match[2] or ""))
            assert labels not in families[current].samples
            families[current].samples[labels] = float(match[3])
    assert {family.kind for family in families.values()} <= {"gauge", "counter"}
    return families


def read_labels(text: str) -> Iterator[tuple[str, str]]:
    while text:
        match = _LABEL.match(text)
        assert match, text
        yield match[1], re.sub(r'\\["\\n]', lambda found: _ESCAPED[found[0]], match[2])
        text = text[match.end() :]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with open_database(database_url) as database:
        yield database


@given(
    st.dictionaries(
        st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"]), max_size=20),
        st.integers() | st.floats(),
        max_size=5,
    )
)
def test_any_label_and_number_come_back_as_they_were(values: dict[str, float]) -> None:
    text = exposition(Sample("queue", value, {"status": label}) for label, value in values.items())
    found = parse(text)["spotify_pipelines_queue"].samples if values else {}
    assert found.keys() == {(("status", label),) for label in values}
    for label, value in values.items():
        read = found[(("status", label),)]
        assert read == float(value) or (math.isnan(read) and math.isnan(value))


def test_groups_become_labels_and_no_sum_stands_among_its_parts() -> None:
    figures = flatten(
        [("features_missing", "Spotify: unknown", 2), ("accounts", "ok", 3), ("tracks", None, 9)]
    )
    found = parse(exposition(from_snapshot(figures)))
    assert found["spotify_pipelines_accounts"].samples[(("health", "ok"),)] == 3
    assert found["spotify_pipelines_features_missing"].samples == {(("reason", "spotify_unknown"),): 2}
    assert found["spotify_pipelines_tracks_without_features"].samples == {(): 2}
    assert found["spotify_pipelines_features_coverage_ratio"].samples == {(): round(7 / 9, 4)}
    assert set(found["spotify_pipelines_playlists"].samples) == {
        (("status", status),) for status in ("active", "planned", "retired")
    }
    assert set(found["spotify_pipelines_queue"].samples) == {
        (("status", status),) for status in ("dead", "failed", "ingested", "queued")
    }


def test_every_metric_says_what_it_is() -> None:
    for name, family in parse(exposition(from_snapshot(flatten([])))).items():
        assert family.about != "A figure of the hourly snapshot.", name


@pytest.mark.parametrize(
    "samples",
    [
        [Sample("a b", 1)],
        [Sample("a", 1, {"b-c": "d"})],
        [Sample("a", 1), Sample("a", 2)],
        [Sample("a\n", 1)],
    ],
)
def test_what_the_format_does_not_allow_is_refused(samples: list[Sample]) -> None:
    with pytest.raises(ValueError, match=r"name|twice"):
        exposition(samples)


def test_a_scrape_shows_the_newest_snapshot_and_what_is_due_now(database: Database) -> None:
    with database.transaction() as session:
        app = SpotifyApp(name="Xaverine 1", client_id="c")
        session.add_all([app, SpotifyApp(name="Xaverine 2", client_id="d", cooldown_until=NOW + HOUR)])
        session.flush()
        session.add_all(
            [
                Account(
                    app_id=app.id,
                    name="Xaverine",
                    spotify_user_id="xaverine42",
                    refresh_token=b"sealed",
                    expires_at=NOW - HOUR,
                ),
                AlbumSource(url="u", album_id="q", next_attempt_at=NOW - HOUR),
                JobRun(
                    run_id="r", job_name="nightly", trigger="cli", status="success", finished_at=NOW - HOUR
                ),
            ]
        )
    alone = parse(prometheus_text(database, World.SANDBOX, NOW))
    assert "spotify_pipelines_tracks" not in alone
    with database.transaction() as session:
        capture(session, NOW - HOUR, "run")
    text = prometheus_text(database, World.SANDBOX, NOW)
    found = {name.removeprefix("spotify_pipelines_"): family.samples for name, family in parse(text).items()}
    assert found["albums_due"] == found["tokens_expired"] == found["apps_in_cooldown"] == {(): 1}
    assert found["job_last_success_timestamp_seconds"] == {(("job", "nightly"),): (NOW - HOUR).timestamp()}
    assert found["metrics_captured_timestamp_seconds"] == {(): (NOW - HOUR).timestamp()}
    assert found["accounts"][(("health", "ok"),)] == 1
    assert dict(next(iter(found["info"])))["world"] == "sandbox"
    assert "xaverine" not in text.lower()
    assert "version=0.0.4" in CONTENT_TYPE
