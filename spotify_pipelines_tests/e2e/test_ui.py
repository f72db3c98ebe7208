"""The Dagster UI after the demo, walked in a real headless browser as an operator would."""

import json
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from spotify_pipelines_tests.support.playground import Playground, playground

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

_OUTPUT = Path(__file__).resolve().parents[2] / "e2e-output"
_PATIENCE = 60_000
_ASSETS = {
    "album_sources",
    "albums",
    "tracks",
    "audio_features",
    "account_tokens",
    "playlist_plan",
    "playlist_snapshots",
    "spotify_playlists",
    "metric_snapshots",
}
_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Ui:
    """A running ``dagster dev`` over a playground in which the demo has run."""

    def __init__(self, here: Playground, url: str, page: Page) -> None:
        self.here = here
        self.url = url
        self.page = page

    def open(self, path: str) -> Page:
        """Go to a page of the UI."""
        self.page.goto(f"{self.url}{path}", wait_until="domcontentloaded")
        return self.page

    def picture(self, name: str) -> None:
        """Keep what the browser shows now."""
        _OUTPUT.mkdir(exist_ok=True)
        self.page.screenshot(path=_OUTPUT / f"{name}.png")

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """Ask the UI's GraphQL API."""
        return _ask(self.url, query, variables)

    @retry(
        stop=stop_after_delay(30),
        wait=wait_fixed(0.2),
        retry=retry_if_exception_type(AssertionError),
        reraise=True,
    )
    def expect_schedule(self, name: str, *, running: bool) -> None:
        """Wait until the instance, not the page, says so: the page shows a click before it is carried out."""
        answer = self.ask(
            """query($s: ScheduleSelector!) { scheduleOrError(scheduleSelector: $s) {
                 ... on Schedule { scheduleState { status } } } }""",
            s={
                "repositoryName": "__repository__",
                "repositoryLocationName": "spotify_pipelines",
                "scheduleName": name,
            },
        )
        assert (answer["scheduleOrError"]["scheduleState"]["status"] == "RUNNING") is running


def _ask(url: str, query: str, variables: dict[str, object]) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{url}/graphql",
        json.dumps({"query": query, "variables": variables}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return dict(json.load(response)["data"])


@retry(
    stop=stop_after_delay(120),
    wait=wait_fixed(0.5),
    retry=retry_if_exception_type((urllib.error.URLError, ConnectionError, AssertionError)),
    reraise=True,
)
def _wait_until_loaded(url: str) -> None:
    answer = _ask(url, "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }", {})
    assert answer["repositoriesOrError"]["nodes"], "the code location is not loaded yet"


@contextmanager
def _dagster_dev(here: Playground) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (here.root / "dagster-dev.log").open("wb") as log:
        process = subprocess.Popen(
            here.command("dagster", "dev", "-p", str(port)),
            cwd=here.root,
            env=dict(here.env),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_loaded(url)
            yield url
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(_QUIET))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Playground, str]]:
    with playground(tmp_path_factory.mktemp("ui")) as here:
        here.run("spotify-pipelines", "demo")
        with _dagster_dev(here) as url:
            yield here, url


@pytest.fixture
def ui(served: tuple[Playground, str], browser: Browser) -> Iterator[Ui]:
    here, url = served
    page = browser.new_page(viewport={"width": 1700, "height": 900})
    page.set_default_timeout(_PATIENCE)
    expect.set_options(timeout=_PATIENCE)
    yield Ui(here, url, page)
    page.close()


def test_the_lineage_page_shows_all_nine_assets_with_their_groups(ui: Ui) -> None:
    page = ui.open("/asset-groups")
    for group in ("catalogue", "accounts", "playlists", "observability"):
        expect(page.get_by_text(group, exact=True).first).to_be_visible()
    page.mouse.move(1000, 800)
    page.keyboard.press("Alt+e")  # expand all groups
    for asset in _ASSETS:
        expect(page.get_by_text(asset, exact=True).first).to_be_visible()
    expect(page.get_by_text("fetching statuses")).to_have_count(0)
    ui.picture("lineage")


def test_the_run_of_the_demo_is_there_with_its_steps(ui: Ui) -> None:
    runs = ui.ask(
        '{ runsOrError(filter: {pipelineName: "nightly"}) { ... on Runs { results { id status } } } }'
    )
    (run,) = runs["runsOrError"]["results"]
    assert run["status"] == "SUCCESS"
    page = ui.open(f"/runs/{run['id']}")
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()
    expect(page.get_by_text("Finished execution of run")).to_be_visible()
    ui.picture("run")


def test_an_asset_shows_its_figures_its_table_and_its_check(ui: Ui) -> None:
    page = ui.open("/assets/spotify_playlists")
    expect(page.get_by_text("spotify_calls_minimum").first).to_be_visible()
    expect(page.get_by_text("public.playlists").first).to_be_visible()
    expect(page.get_by_text("confirmed_snapshot_id").first).to_be_visible()
    ui.picture("asset")
    ui.open("/assets/spotify_playlists?view=checks")
    expect(page.get_by_text("every_item_was_done").first).to_be_visible()


def test_a_schedule_is_switched_off_and_on_by_clicking(ui: Ui) -> None:
    name = "metrics_snapshot_schedule"
    ui.expect_schedule(name, running=True)
    page = ui.open("/automation")
    switch = _switch(page, name)
    expect(switch).to_be_checked()
    _click_switch(switch)
    expect(switch).not_to_be_checked()
    ui.picture("schedule-off")
    ui.expect_schedule(name, running=False)
    page.reload(wait_until="domcontentloaded")
    switch = _switch(page, name)
    expect(switch).not_to_be_checked()
    _click_switch(switch)
    expect(switch).to_be_checked()
    ui.expect_schedule(name, running=True)


def test_the_resources_page_names_variables_instead_of_secrets(ui: Ui) -> None:
    page = ui.open("/locations/spotify_pipelines/resources/spotify")
    expect(page.get_by_text("SPOTIFY_PIPELINES_VAULT_KEYS").first).to_be_visible()
    content = page.content()
    secrets = [ui.here.dotenv["SPOTIFY_PIPELINES_VAULT_KEYS"], ui.here.dotenv["DAGSTER_POSTGRES_PASSWORD"]]
    assert all(secret and secret not in content for secret in secrets)


def _switch(page: Page, schedule: str) -> Locator:
    # The innermost box that holds both the name and a switch: left of the name stands another checkbox.
    switches = page.locator("label[class*=formatSwitch]")
    row = page.locator("div").filter(has=page.get_by_text(schedule, exact=True)).filter(has=switches)
    return row.last.locator("label[class*=formatSwitch] input")


def _click_switch(switch: Locator) -> None:
    # The input itself is invisible; people click the label drawn over it.
    switch.locator("xpath=ancestor::label").click()
