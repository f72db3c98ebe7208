"""Connecting as a person does it: the command in a terminal, the simulator's consent page in a real browser."""

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from spotify_pipelines_tests.support.playground import Playground, playground

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

CLIENT_ID = "0123456789abcdef0123456789abcdef"
SECRET = "e2e-canary-secret-0123456789"
OURS = "Spotify has answered. You can close this page"


@pytest.fixture(scope="module")
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Playground]:
    """An app, two users of the simulator, and nobody connected; the command's browser does nothing: ours does."""
    with playground(tmp_path_factory.mktemp("connect")) as made:
        ready = replace(made, env={**made.env, "BROWSER": "true", "SPOTIFY_PIPELINES_CLIENT_SECRET": SECRET})
        ready.run("spotify-pipelines", "up", "--albums", "5")
        with ready.simulator as control:
            control.add_client(
                CLIENT_ID,
                SECRET,
                name="<script>alert(1)</script>",
                redirect_uris=[f"http://127.0.0.1:{port}/callback"],
            )
            control.add_user("anna", display_name="Anna <b>")
            control.add_user("ben", display_name="Ben")
        ready.run("spotify-pipelines", "apps", "add", "studio", CLIENT_ID)
        yield ready


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    page = chromium.new_page()
    yield page
    page.close()


class Command:
    """A command that waits for the browser to come back."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stderr is not None
        self.address = next(line.strip() for line in process.stderr if "/authorize?" in line)

    def ended(self) -> tuple[int, str]:
        """Its exit code and what it had to say."""
        out, err = self._process.communicate(timeout=60)
        return self._process.returncode, out + err


Start = Callable[..., Any]


@pytest.fixture
def start(here: Playground, port: int) -> Start:
    @contextmanager
    def started(*words: str) -> Iterator[Command]:
        process = subprocess.Popen(
            here.command("spotify-pipelines", "accounts", *words, "--port", str(port), "--timeout", "60"),
            cwd=here.root,
            env=dict(here.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield Command(process)
        finally:
            process.kill()
            process.wait()

    return started


def agree(page: Page, user: str, *, refuse: str = "") -> None:
    page.get_by_label("You are").select_option(user)
    page.get_by_label("You agree to").select_option(refuse)
    page.get_by_role("button", name="Agree").click()


def test_a_person_agrees_and_the_account_is_connected(start: Start, page: Page, here: Playground) -> None:
    with start("connect") as command:
        page.goto(command.address)
        expect(page.get_by_role("heading")).to_have_text("<script>alert(1)</script> asks for access")
        expect(page.get_by_role("listitem")).to_have_count(3)
        agree(page, "anna")
        expect(page.get_by_text(OURS)).to_be_visible()
        answer = page.url
        code, said = command.ended()
    assert code == 0, said
    assert "Connected 'Anna <b>' (Spotify user anna)" in said
    assert SECRET not in said
    with pytest.raises(Exception, match="ERR_CONNECTION_REFUSED"):
        page.goto(answer)  # the same answer again: nobody listens any more


def test_a_person_who_cancels_connects_nothing(start: Start, page: Page) -> None:
    with start("connect") as command:
        page.goto(command.address)
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_text(OURS)).to_be_visible()
        code, said = command.ended()
    assert code == 3
    assert "the user declined" in said


def test_a_scope_that_is_left_out_is_named(start: Start, page: Page) -> None:
    with start("connect", "--name", "Ben") as command:
        page.goto(command.address)
        agree(page, "ben", refuse="playlist-modify-private")
        expect(page.get_by_text(OURS)).to_be_visible()
        code, said = command.ended()
    assert code == 0, said
    assert "Not agreed to: playlist-modify-private" in said


def test_an_answer_with_another_state_is_refused_on_an_escaped_page_and_the_wait_goes_on(
    start: Start, page: Page, port: int
) -> None:
    with start("connect") as command:
        page.goto(f"http://127.0.0.1:{port}/callback?code=stolen&state=<script>document.title='x'</script>")
        expect(page.get_by_text("its state differs")).to_be_visible()
        expect(page).to_have_title("Spotify Pipelines")
        page.goto(command.address)
        agree(page, "anna")
        expect(page.get_by_text(OURS)).to_be_visible()
        assert command.ended()[0] == 0


def test_another_user_can_not_renew_somebodys_consent(start: Start, page: Page, here: Playground) -> None:
    before = here.run("spotify-pipelines", "accounts", "list", "--json").stdout
    with start("reauthorize", "Ben") as command:
        page.goto(command.address)
        agree(page, "anna")
        code, said = command.ended()
    assert code == 3
    assert "answered as 'anna', but 'Ben' is the Spotify user 'ben'" in said
    assert here.run("spotify-pipelines", "accounts", "list", "--json").stdout == before

    with start("reauthorize", "Ben") as command:
        page.goto(command.address)
        agree(page, "ben")
        code, said = command.ended()
    assert (code, "Not agreed to" in said) == (0, False), said
