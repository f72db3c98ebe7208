"""Every secret of a product that has worked, and met trouble, is searched for wherever it must not be.

The secrets are those that there really were: all tokens and codes that the simulator ever gave, client secrets, keys,
passwords. The places are all that the product writes and says, down to a dump of both databases.
"""

import json
import shutil
import sqlite3
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

import psycopg
import pytest
import redis

from spotify_pipelines.services.binaries import find_postgres_client
from spotify_pipelines_tests.e2e.conftest import Served
from spotify_pipelines_tests.support.playground import Playground

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

_LOCATION = ("-m", "spotify_pipelines.definitions")
_LEAST_LENGTH = 12
_MEANT_TO_HOLD_SECRETS = {".env", "vault.key", "password"}
_SIMULATOR = "simulator.sqlite3"

_EVENTS = """
query($run: ID!) { logsForRun(runId: $run) { ... on EventConnection { events {
  ... on MessageEvent { message }
  ... on ExecutionStepFailureEvent { error { message stack cause { message stack } } }
  ... on EngineEvent { error { message stack } }
  ... on MaterializationEvent { metadataEntries { ...entry } }
  ... on AssetCheckEvaluationEvent { evaluation { description metadataEntries { ...entry } } }
} } } }
fragment entry on MetadataEntry {
  label description
  ... on TextMetadataEntry { text }
  ... on MarkdownMetadataEntry { mdStr }
  ... on JsonMetadataEntry { jsonString }
  ... on TableMetadataEntry { table { records } }
}
"""
_REPOSITORY = {"repositoryName": "__repository__", "repositoryLocationName": "spotify_pipelines"}


def test_no_secret_is_where_it_must_not_be(served: Served) -> None:
    here = served.here
    places = {f"output of {name}": text for name, text in trouble(here).items()}
    secrets = all_secrets(here)
    kinds = {"access_tokens", "refresh_tokens", "codes", "client secrets", "vault keys", "passwords"}
    assert set(secrets.values()) == kinds, "the search would be for nothing"
    assert "authorization_lost" in places["output of a refresh that fails"]
    places |= dict(files(here))
    places |= dict(databases(here))
    places |= dict(answers(served))
    for name in ("database spotify_pipelines_sandbox", "database dagster", "answers on runs"):
        assert "sandbox" in places[name], f"{name}: what is searched has to be there"
    found = {
        (place, kind)
        for place, text in places.items()
        for secret, kind in secrets.items()
        if secret in text or secret.encode().hex() in text
    }
    print(f"{len(secrets)} secrets, {len(found)} found in {len(places)} places")  # noqa: T201
    assert found == set()


def trouble(here: Playground) -> dict[str, str]:
    """Make much go wrong, with answers that quote what they were sent; what was said about it."""
    quoted = {"error": "invalid_grant", "error_description": next(iter(tokens(here)))}
    said: dict[str, str] = {}

    def run(name: str, *words: str) -> None:
        done = here.run(*words, check=False)
        said[name] = done.stdout + done.stderr

    def job(name: str, job: str, config: str) -> None:
        (here.root / "config.yaml").write_text(config)
        run(name, "dagster", "job", "execute", *_LOCATION, "-j", job, "-c", "config.yaml")

    refresh = "ops: {account_tokens: {config: {force: true}}}"
    with here.simulator as control:
        try:
            job("a refresh", "refresh_tokens", refresh)
            control.add_fault(path="/api/token", user_id="sandbox_1", status=400, body=quoted)
            control.add_fault(path="/api/token", user_id="sandbox_2", status=502, effect=True, body=quoted)
            job("a refresh that fails", "refresh_tokens", refresh)
            control.add_fault(path="/v1/", status=500, body=quoted)
            drawn = "playlist_snapshots: {config: {force: true}}"
            job("a draw", "build_playlist_snapshot", f"ops: {{{drawn}}}")
            job("a sync that fails", "ensure_playlist_for_account", "ops: {spotify_playlists: {config: {}}}")
            run("a probe that fails", "spotify-pipelines", "apps", "probe", "sandbox")
        finally:
            control.clear_faults()
    for name, words in {
        "accounts health": ("accounts", "health", "--json"),
        "accounts show": ("accounts", "show", "1", "--json"),
        "apps list": ("apps", "list", "--json"),
        "keys check": ("keys", "check", "--json"),
        "status": ("status", "--json"),
        "calls": ("calls", "--json"),
        "a consent that nobody gives": ("accounts", "connect", "--timeout", "1"),
    }.items():
        run(name, "spotify-pipelines", *words)
    return said


def tokens(here: Playground) -> dict[str, str]:
    """All that the simulator gave out or knows, and what it is."""
    path = next((here.root / ".state").rglob(_SIMULATOR))
    with TemporaryDirectory() as folder:  # the simulator keeps its own locked
        for part in path.parent.glob(f"{_SIMULATOR}*"):
            shutil.copy(part, folder)
        return _tokens_in(Path(folder) / _SIMULATOR)


def _tokens_in(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as simulator:
        found = {
            value: table
            for table, column in (("access_tokens", "token"), ("refresh_tokens", "token"), ("codes", "code"))
            for (value,) in simulator.execute(f"SELECT {column} FROM {table}")
        }
        for (document,) in simulator.execute("SELECT document FROM clients"):
            found[json.loads(document)["secret"]] = "client secrets"
    return found


def all_secrets(here: Playground) -> dict[str, str]:
    """Secret → what it is."""
    env = {name: value or "" for name, value in here.dotenv.items()}
    found = tokens(here)
    found |= dict.fromkeys(env["SPOTIFY_PIPELINES_VAULT_KEYS"].split(","), "vault keys")
    for name in ("SPOTIFY_PIPELINES_DATABASE_URL", "SPOTIFY_PIPELINES_REDIS_URL"):
        found[unquote(urlsplit(env[name]).password or "")] = "passwords"
    found[env["DAGSTER_POSTGRES_PASSWORD"]] = "passwords"
    return {secret: kind for secret, kind in found.items() if len(secret) >= _LEAST_LENGTH}


def files(here: Playground) -> Iterator[tuple[str, str]]:
    """Logs, compute logs and whatever else lies about; not the servers' own data, which are dumped."""
    for path in sorted(here.root.rglob("*")):
        inside = path.relative_to(here.root)
        own_data = inside.parts[:3] == (".state", "postgres", "data") or path.name.startswith(_SIMULATOR)
        if own_data or "spotify_pipelines" in inside.parts or path.name in _MEANT_TO_HOLD_SECRETS:
            continue
        if path.is_file() and not path.is_symlink() and "redis" not in inside.parts[1:2]:
            yield f"file {inside}", path.read_text("utf-8", errors="replace")


def databases(here: Playground) -> Iterator[tuple[str, str]]:
    """Both databases as a backup would have them, what is compressed in Dagster's, and all of Redis."""
    url = urlsplit(here.database_url)
    place = ["--host", str(url.hostname), "--port", str(url.port), "--username", str(url.username)]
    password = unquote(url.password or "")
    program = find_postgres_client("pg_dump", 1)
    for name in ("spotify_pipelines_sandbox", "dagster"):
        done = subprocess.run(
            [program, *place, name], env={"PGPASSWORD": password}, check=True, capture_output=True, text=True
        )
        yield f"database {name}", done.stdout
    conninfo = f"host={url.hostname} port={url.port} user={url.username} password={password} dbname=dagster"
    with psycopg.connect(conninfo) as dagster:
        bodies = dagster.execute("SELECT snapshot_body FROM snapshots").fetchall()
    yield "snapshots of jobs", "\n".join(zlib.decompress(body).decode() for (body,) in bodies)
    with redis.Redis.from_url(str(here.dotenv["SPOTIFY_PIPELINES_REDIS_URL"])) as client:
        keys = list(client.scan_iter(count=1000))
        yield "Redis", "\n".join(f"{key!r} {client.dump(key)!r}" for key in keys)


def answers(served: Served) -> Iterator[tuple[str, str]]:
    """What the UI is told: runs, their events and logs, resources, assets."""
    runs = served.ask(
        "{ runsOrError { ... on Runs { results { runId runConfigYaml tags { key value } stepKeysToExecute } } } }"
    )
    yield "answers on runs", json.dumps(runs)
    for run in runs["runsOrError"]["results"]:
        events = served.ask(_EVENTS, run=run["runId"])
        assert events["logsForRun"]["events"]
        yield f"answer on the events of {run['runId']}", json.dumps(events)
    resources = served.ask(
        """query($r: RepositorySelector!) { allTopLevelResourceDetailsOrError(repositorySelector: $r) {
             ... on ResourceDetailsList { results { name configuredValues { key value } } } } }""",
        r=_REPOSITORY,
    )
    assert resources["allTopLevelResourceDetailsOrError"]["results"]
    yield "answer on resources", json.dumps(resources)
    assets = served.ask(
        """{ assetsOrError { ... on AssetConnection { nodes { key { path } assetMaterializations(limit: 20) {
               label metadataEntries { label description ... on TextMetadataEntry { text }
               ... on TableMetadataEntry { table { records } } } } } } } }"""
    )
    yield "answer on assets", json.dumps(assets)
