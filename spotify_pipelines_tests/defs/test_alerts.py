"""The sensors that tell people, tick by tick, with real receivers that come and go."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from pydantic import SecretStr

from spotify_pipelines.defs.alerts import build_alert_sensors
from spotify_pipelines.defs.resources import PostgresResource
from spotify_pipelines.observability import delivery
from spotify_pipelines.settings import Settings, World
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.tables import AlbumSource, JobRun, SpotifyApp
from spotify_pipelines_tests.support.databases import open_database
from spotify_pipelines_tests.support.receivers import MailServer, WebhookServer, mail_server, webhook_server

Tick = Callable[..., str]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with open_database(database_url) as database:
        yield database


@pytest.fixture
def webhook() -> Iterator[WebhookServer]:
    with webhook_server() as server:
        yield server


@pytest.fixture
def mailbox() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture
def tick(
    database_url: str, webhook: WebhookServer, mailbox: MailServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Tick]:
    """Evaluate one sensor, with the cursor that its last tick left; why it skips."""
    monkeypatch.setattr(delivery, "_TIME_LIMIT", 5.0)
    settings = Settings(
        _env_file=None,
        alert_webhook_url=SecretStr(webhook.url),
        alert_email_to=["ops@example.com"],
        smtp_url=SecretStr(mailbox.url),
    )
    sensors = {sensor.name: sensor for sensor in build_alert_sensors(settings)}
    postgres = PostgresResource(url=database_url, world=World.SANDBOX)
    cursors: dict[str, str | None] = {}
    with dg.DagsterInstance.ephemeral() as instance:

        def evaluate(name: str) -> str:
            context = dg.build_sensor_context(
                instance, cursor=cursors.get(name), resources={"postgres": postgres}
            )
            ticked = sensors[name].evaluate_tick(context)
            assert not ticked.run_requests
            cursors[name] = ticked.cursor
            return str(ticked.skip_message)

        yield evaluate


def fail(
    database: Database, run_id: str, *, ago: timedelta = timedelta(), error: str = "disk is full"
) -> None:
    with database.transaction() as session:
        session.add(
            JobRun(
                run_id=run_id,
                job_name="nightly",
                trigger="schedule",
                status="failure",
                error=error,
                finished_at=datetime.now(UTC) - ago,
            )
        )


def give_up(database: Database, album: str) -> None:
    with database.transaction() as session:
        session.add(AlbumSource(url=album, album_id=album, status="dead", error_kind="NotFound", error="404"))


def ban(database: Database) -> None:
    with database.transaction() as session:
        until = datetime.now(UTC) + timedelta(hours=9)
        session.add(SpotifyApp(name="studio", client_id="c", cooldown_until=until, cooldown_reason="quota"))


def test_with_nobody_to_tell_it_says_how_to_name_somebody(database_url: str) -> None:
    postgres = PostgresResource(url=database_url, world=World.SANDBOX)
    for sensor in build_alert_sensors(Settings(_env_file=None)):
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_sensor_context(instance, resources={"postgres": postgres})
            ticked = sensor.evaluate_tick(context)
        assert "SPOTIFY_PIPELINES_ALERT_WEBHOOK_URL" in str(ticked.skip_message)


def test_failed_runs_of_one_look_are_one_message_and_told_once(
    tick: Tick, database: Database, webhook: WebhookServer, mailbox: MailServer
) -> None:
    assert tick("alert_on_failed_runs") == "0 alerts. webhook: nothing new; e-mail: nothing new."
    fail(database, "one", ago=timedelta(hours=2))
    fail(database, "two", ago=timedelta(hours=1))
    fail(database, "three", error="KeyError: x")
    assert tick("alert_on_failed_runs") == "2 alerts. webhook: 2 told; e-mail: 2 told."
    [posted], [mail] = webhook.posted, mailbox.taken
    assert "nightly, 2 times in 24 hours" in posted["text"]
    assert "KeyError: x" in posted["text"]
    assert "What to do: Open the run" in posted["text"]
    assert mail["Subject"] == "[sandbox] Spotify pipelines: Runs failed"
    tick("alert_on_failed_runs")
    fail(database, "four", error="TypeError: new")
    assert "1 told" in tick("alert_on_failed_runs")
    assert len(webhook.posted) == len(mailbox.taken) == 2
    assert "KeyError" not in webhook.posted[1]["text"]


def test_incidents_of_all_kinds_are_one_message(
    tick: Tick, database: Database, webhook: WebhookServer
) -> None:
    ban(database)
    give_up(database, "a")
    assert tick("alert_on_incidents") == "2 alerts. webhook: 2 told; e-mail: 2 told."
    [posted] = webhook.posted
    assert posted["text"].index("banned") < posted["text"].index("given up")
    give_up(database, "b")
    assert "nothing new" in tick("alert_on_incidents")


def test_a_receiver_that_fails_is_told_with_the_next_look_and_the_other_at_once(
    tick: Tick, database: Database, webhook: WebhookServer, mailbox: MailServer
) -> None:
    webhook.status, mailbox.refuses = 500, "RCPT"
    give_up(database, "a")
    assert tick("alert_on_incidents").count("not delivered") == 2
    mailbox.refuses = ""
    told = tick("alert_on_incidents")
    assert "webhook: 1 not delivered" in told
    assert "e-mail: 1 told" in told
    webhook.status = 200
    ban(database)
    assert tick("alert_on_incidents") == "2 alerts. webhook: 2 told; e-mail: 1 told."
    assert len(webhook.posted) == 1
    assert len(mailbox.taken) == 2


def test_a_cursor_that_can_not_be_read_tells_anew(
    tick: Tick, database: Database, webhook: WebhookServer
) -> None:
    from spotify_pipelines.observability.telling import Memory

    for text in ("", "{", "[1]", '{"webhook": 3}', '{"webhook": {"k": "yesterday"}}'):
        assert Memory.from_json(text) == Memory()
    give_up(database, "a")
    tick("alert_on_incidents")
    assert len(webhook.posted) == 1
