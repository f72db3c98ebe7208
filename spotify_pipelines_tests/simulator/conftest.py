"""A simulator that is fresh for each test, with two apps (one per dialect) and two users, and clients to call it."""

import ssl
from collections.abc import Callable, Iterator

import httpx
import pytest

from spotify_pipelines_tests.support.simulator import RunningSimulator, running_simulator

ALL_SCOPES = (
    *("playlist-modify-public", "playlist-modify-private", "playlist-read-private", "ugc-image-upload"),
    *("user-read-private", "user-read-email", "user-library-modify", "user-library-read"),
)
REDIRECT_URI = "http://127.0.0.1:8888/callback"

# Plain HTTP needs no certificates, and loading them for every client takes longer than a test.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
http = httpx.Client(verify=NO_TLS, trust_env=False)

ApiFactory = Callable[..., httpx.Client]


@pytest.fixture(scope="module")
def shared_simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSimulator]:
    """One server for the tests of a module, with 60 albums."""
    with running_simulator(tmp_path_factory.mktemp("simulator")) as running:
        yield running


@pytest.fixture
def simulator(shared_simulator: RunningSimulator) -> RunningSimulator:
    """Fresh for each test: apps ``classic`` and ``reduced``, users ``ann`` and ``bob``, nothing else."""
    control = shared_simulator.control
    control.reset()
    control.add_client("classic", "secret", regime="extended", redirect_uris=[REDIRECT_URI])
    control.add_client("reduced", "secret", regime="development", redirect_uris=[REDIRECT_URI])
    control.add_user("ann", display_name="Ann")
    control.add_user("bob", display_name="Bob", country="US")
    return shared_simulator


@pytest.fixture
def api(simulator: RunningSimulator) -> Iterator[ApiFactory]:
    """Make clients of the Web API: ``api("classic", "ann")``; without a user, with an app token."""
    clients: list[httpx.Client] = []

    def make(
        client_id: str = "classic", user: str | None = "ann", scopes: tuple[str, ...] = ALL_SCOPES
    ) -> httpx.Client:
        if user is None:
            answer = http.post(
                f"{simulator.accounts_url}/api/token",
                data={"grant_type": "client_credentials"},
                auth=(client_id, "secret"),
            )
            token = answer.json()["access_token"]
        else:
            token = simulator.control.mint_tokens(client_id, user, scopes)["access_token"]
        client = httpx.Client(
            base_url=simulator.api_url, headers={"Authorization": f"Bearer {token}"}, verify=NO_TLS
        )
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


def track_uris(simulator: RunningSimulator, count: int) -> list[str]:
    """URIs of ``count`` tracks of the catalogue."""
    uris: list[str] = []
    control = simulator.control
    control.add_client("reader", "secret", limit=100_000)
    control.add_user("reader")
    token = control.mint_tokens("reader", "reader")["access_token"]
    with httpx.Client(
        base_url=simulator.api_url, headers={"Authorization": f"Bearer {token}"}, verify=NO_TLS
    ) as client:
        for album_id in control.album_ids():
            if len(uris) >= count:
                break
            uris += [track["uri"] for track in client.get(f"/albums/{album_id}").json()["tracks"]["items"]]
    return uris[:count]


def message(answer: httpx.Response) -> object:
    """The message of an error of the Web API."""
    return answer.json()["error"].get("message")


def new_playlist(client: httpx.Client, name: str = "Mine", **details: object) -> str:
    """Create a playlist; its id."""
    answer = client.post("/me/playlists", json={"name": name, "description": "", **details})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])
