"""The guarded server in a real browser: an operator's page works, another site's page gets nothing done."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from spotify_pipelines import services
from spotify_pipelines_tests.support.dagster import DagsterHome, dagster_home_in
from spotify_pipelines_tests.support.services import fresh_database
from spotify_pipelines_tests.support.web import TOKEN, WebServer, serve

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SCHEDULE = "metrics_snapshot_schedule"


@pytest.fixture(scope="module")
def home(
    services_endpoints: services.Endpoints, dagster_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DagsterHome]:
    with fresh_database(services_endpoints, dagster_template) as url:
        yield dagster_home_in(services_endpoints, url, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def server(home: DagsterHome, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    with serve(tmp_path_factory.mktemp("open"), home.env) as server:
        yield server


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1700, "height": 900})
    context.set_default_timeout(60_000)
    expect.set_options(timeout=60_000)
    yield context.new_page()
    context.close()


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>another site</title><body>")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class calls it
        """Say nothing."""


@contextmanager
def another_site() -> Iterator[str]:
    """A page on another port of this machine: another origin, as any site on the Internet is."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield f"http://localhost:{site.server_port}"
        site.shutdown()


def runs_by_itself(server: WebServer) -> bool:
    with server.client() as client:
        jobs = client.get("/api/v1/jobs/list").json()["jobs"]
    return next(bool(job["running"]) for job in jobs if job["name"] == SCHEDULE)


def test_an_operator_switches_a_schedule_in_the_ui_and_the_api_says_so(server: WebServer, page: Page) -> None:
    page.goto(f"{server.url}/automation", wait_until="domcontentloaded")
    beside = f"//a[.//span[normalize-space()='{SCHEDULE}']]/following-sibling::div"
    switch = page.locator(f"xpath={beside}//label[contains(@class, 'formatSwitch')]")
    expect(switch.locator("input")).to_be_checked()
    with page.expect_response(lambda answer: "stopRunningSchedule" in (answer.request.post_data or "")):
        switch.click()
    assert runs_by_itself(server) is False
    with page.expect_response(lambda answer: "startSchedule" in (answer.request.post_data or "")):
        switch.click()
    assert runs_by_itself(server) is True


def test_the_uis_websocket_works_behind_the_guard(server: WebServer, page: Page) -> None:
    page.goto(f"{server.url}/runs", wait_until="domcontentloaded")
    said = page.evaluate(
        """() => new Promise((done, failed) => {
            const socket = new WebSocket(`ws://${location.host}/graphql`, 'graphql-ws');
            socket.onopen = () => socket.send(JSON.stringify({type: 'connection_init'}));
            socket.onmessage = message => done(message.data);
            socket.onerror = () => failed(new Error('refused'));
        })"""
    )
    assert "connection_ack" in said


def test_another_sites_page_can_switch_nothing_off(server: WebServer, page: Page) -> None:
    """Everything that needs no permission of the server: forms, no-cors requests, pictures, websockets, frames."""
    body = f'{{"name": "{SCHEDULE}", "running": false}}'
    with another_site() as site:
        page.goto(site)
        outcome = page.evaluate(
            """async ([url, body]) => {
                const attempt = async work => { try { return await work(); } catch (error) { return 'failed'; } };
                const post = (path, type, text) => attempt(async () => (await fetch(url + path,
                    {method: 'POST', mode: 'no-cors', credentials: 'include',
                     headers: {'Content-Type': type}, body: text})).type);
                await post('/api/v1/jobs/update', 'text/plain', body);
                await post('/graphql?query=mutation%7BsetNuxSeen%7D', 'text/plain', '');
                await attempt(() => fetch(url + '/graphql?query=mutation%7BsetNuxSeen%7D', {mode: 'no-cors'}));
                const socket = await attempt(() => new Promise(done => {
                    const socket = new WebSocket(url.replace('http', 'ws') + '/graphql', 'graphql-ws');
                    socket.onopen = () => done('open');
                    socket.onerror = () => done('refused');
                }));
                const read = await attempt(async () => (await fetch(url + '/api/v1/jobs/list')).status);
                return {socket, read};
            }""",
            [server.url, body],
        )
        assert outcome == {"socket": "refused", "read": "failed"}
        page.set_content(
            f'<form method="post" action="{server.url}/graphql"><button>Win a prize</button></form>'
        )
        with page.expect_response(f"{server.url}/graphql") as answered:
            page.get_by_role("button").click()
        assert answered.value.status == 403
    refused = {(event["rule"], event["method"]) for event in server.events("web.refused")}
    assert {("origin", "POST"), ("origin", "WEBSOCKET"), ("mutation by GET", "GET")} <= refused
    assert runs_by_itself(server) is True


def test_a_page_that_rebinds_its_own_name_to_this_machine_gets_nothing(server: WebServer, page: Page) -> None:
    # Every name below .localhost is this machine to a browser, as a rebound one would be.
    answer = page.goto(f"http://evil.localhost:{server.port}/automation")
    assert answer is not None
    assert answer.status == 403


def test_no_page_shows_ours_in_a_frame(server: WebServer, page: Page) -> None:
    with another_site() as site:
        page.goto(site)
        page.set_content(f'<iframe src="{server.url}/automation"></iframe>')
        frame = page.frames[-1]
        frame.wait_for_load_state()
        assert "Automation" not in frame.content()


def test_an_operator_signs_in_with_the_token(home: DagsterHome, page: Page, tmp_path: Path) -> None:
    env = {**home.env, "SPOTIFY_PIPELINES_WEB_TOKEN": TOKEN}
    with serve(tmp_path / "closed", env, "--host", "0.0.0.0") as closed:
        page.goto(f"{closed.url}/automation")
        page.get_by_label("Token of this server").fill("not the token at all")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_have_text("That is not the token.")
        page.get_by_label("Token of this server").fill(TOKEN)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{closed.url}/**")
        page.goto(f"{closed.url}/automation", wait_until="domcontentloaded")
        expect(page.get_by_text(SCHEDULE, exact=True).first).to_be_visible()
