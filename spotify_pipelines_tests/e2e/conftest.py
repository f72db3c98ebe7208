"""A running product for end-to-end tests: the demo has run, ``dagster dev`` serves it, a browser looks at it."""

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
from playwright.sync_api import Browser, Page, expect, sync_playwright
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from spotify_pipelines_tests.support.playground import Playground, playground

_OUTPUT = Path(__file__).resolve().parents[2] / "e2e-output"
_PATIENCE = 60_000
_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Served:
    """A playground in which the demo has run, and ``dagster dev`` over it."""

    def __init__(self, here: Playground, url: str) -> None:
        self.here = here
        self.url = url

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


class Ui:
    """What an operator sees of it in a browser."""

    def __init__(self, served: Served, page: Page) -> None:
        self.served = served
        self.page = page

    def open(self, path: str) -> Page:
        """Go to a page of the UI."""
        self.page.goto(f"{self.served.url}{path}", wait_until="domcontentloaded")
        return self.page

    def picture(self, name: str) -> None:
        """Keep what the browser shows now."""
        _OUTPUT.mkdir(exist_ok=True)
        self.page.screenshot(path=_OUTPUT / f"{name}.png")


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


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next((found for found in map(shutil.which, names) if found), None)
    if program is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_QUIET))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The product, running; one for all end-to-end tests."""
    with playground(tmp_path_factory.mktemp("ui")) as here:
        here.run("spotify-pipelines", "demo")
        with _dagster_dev(here) as url:
            yield Served(here, url)


@pytest.fixture
def ui(served: Served, chromium: Browser) -> Iterator[Ui]:
    """A browser window of this test's own."""
    page = chromium.new_page(viewport={"width": 1700, "height": 900})
    page.set_default_timeout(_PATIENCE)
    expect.set_options(timeout=_PATIENCE)
    yield Ui(served, page)
    page.close()
