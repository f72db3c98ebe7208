"""A public client can't tell: spotipy through the Authorization Code flow, from consent to a filled playlist."""

import pytest
import spotipy
from spotipy.cache_handler import MemoryCacheHandler
from spotipy.oauth2 import SpotifyOAuth

from spotify_pipelines_tests.simulator.conftest import ALL_SCOPES, REDIRECT_URI, http
from spotify_pipelines_tests.support.simulator import RunningSimulator


def client_for(
    simulator: RunningSimulator, client_id: str, monkeypatch: pytest.MonkeyPatch
) -> spotipy.Spotify:
    monkeypatch.setattr(SpotifyOAuth, "OAUTH_AUTHORIZE_URL", f"{simulator.accounts_url}/authorize")
    monkeypatch.setattr(SpotifyOAuth, "OAUTH_TOKEN_URL", f"{simulator.accounts_url}/api/token")
    flow = SpotifyOAuth(
        client_id=client_id,
        client_secret="secret",
        redirect_uri=REDIRECT_URI,
        scope=" ".join(ALL_SCOPES),
        cache_handler=MemoryCacheHandler(),
        open_browser=False,
    )
    consent = http.get(flow.get_authorize_url(state="xyz"))
    state, code = flow.parse_auth_response_url(consent.headers["location"])
    assert state == "xyz"
    flow.get_access_token(code, as_dict=False, check_cache=False)
    client = spotipy.Spotify(auth_manager=flow, retries=0)
    client.prefix = f"{simulator.api_url}/"
    return client


@pytest.mark.parametrize(("client_id", "entry"), [("classic", "track"), ("reduced", "item")])
def test_spotipy_reads_an_album_and_creates_and_fills_a_playlist(
    simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch, client_id: str, entry: str
) -> None:
    client = client_for(simulator, client_id, monkeypatch)
    assert client.current_user()["id"] == "ann"
    # An album of more than fifty tracks, so that spotipy has to follow our links.
    album_id = next(album["id"] for album in simulator.control.albums() if album["tracks"] > 50)
    page = client.album(album_id)["tracks"]
    uris = [track["uri"] for track in page["items"]]
    while page["next"]:
        page = client.next(page)
        uris += [track["uri"] for track in page["items"]]
    assert len(uris) > 50
    playlist = client.current_user_playlist_create("From spotipy", description="With love")
    client.playlist_replace_items(playlist["id"], uris[:50])
    client.playlist_add_items(playlist["id"], uris[50:])
    client.playlist_remove_all_occurrences_of_items(playlist["id"], uris[:1])
    [stored] = simulator.control.playlists()
    assert (stored["name"], stored["description"], stored["owner"]) == ("From spotipy", "With love", "ann")
    assert stored["items"] == uris[1:]
    first = client.playlist_items(playlist["id"], limit=1)["items"][0]
    assert first[entry]["uri"] == uris[1]
    assert client.current_user_playlists()["items"][0]["id"] == playlist["id"]


def test_spotipy_refreshes_when_the_hour_is_over(
    simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_for(simulator, "classic", monkeypatch)
    flow = client.auth_manager
    old = flow.cache_handler.get_cached_token()
    simulator.control.advance(3601)
    with pytest.raises(spotipy.SpotifyException, match="expired"):
        client.current_user()
    fresh = flow.refresh_access_token(old["refresh_token"])
    assert fresh["refresh_token"] == old["refresh_token"]
    assert client.current_user()["id"] == "ann"
