"""How things look in JSON, in both dialects of the Web API.

The regime of the calling app picks the dialect: ``extended`` is the API as it was before February 2026,
``development`` the one after. In the latter, availability, popularity, labels and a user's private details are
gone, and a playlist has ``items`` with ``item`` where it had ``tracks`` with ``track``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha1
from html import escape
from urllib.parse import unquote_plus, urlencode

from spotify_pipelines.simulator.catalogue import Album, Artist, Catalogue, Features, Track, digest
from spotify_pipelines.simulator.clock import iso
from spotify_pipelines.simulator.ids import parse_uri
from spotify_pipelines.simulator.people import Regime, User
from spotify_pipelines.simulator.playlists import Entry, Playlist, Revision

__all__ = ["Json", "Views", "escape_text"]

Json = dict[str, object]

_MARKETS = ["AT", "AU", "BR", "CA", "CH", "DE", "ES", "FR", "GB", "IT", "JP", "MX", "NL", "PL", "SE", "US"]
_IMAGE_SIZES = (640, 300, 64)
_HIGHEST_POPULARITY = 100


def escape_text(text: str) -> str:
    """``text`` as descriptions read back: with HTML's signs escaped, the slash too."""
    return escape(text).replace("/", "&#x2F;")


@dataclass(frozen=True, slots=True)
class Views:
    """The shapes that one caller sees. ``api_url`` is the base of all links (…/v1)."""

    regime: Regime
    api_url: str
    catalogue: Catalogue
    market: str | None = None

    @property
    def _is_classic(self) -> bool:
        return self.regime is Regime.EXTENDED

    # --- catalogue ---

    def artist_ref(self, artist: Artist) -> Json:
        """An artist as credited on something."""
        return {**self._identity("artist", artist.id), "name": artist.name}

    def artist(self, artist: Artist) -> Json:
        """An artist in full."""
        view = {**self.artist_ref(artist), "images": _images(artist.id)}
        if self._is_classic:
            view |= {
                "followers": {"href": None, "total": digest(f"followers/{artist.id}") % 2_000_000},
                "genres": [],
                "popularity": _popularity(artist.id),
            }
        return view

    def album_ref(self, album: Album) -> Json:
        """An album as part of a track."""
        view: Json = {
            **self._identity("album", album.id),
            "album_type": album.kind,
            "artists": [self.artist_ref(artist) for artist in album.artists],
            "images": _images(album.id),
            "name": album.name,
            "release_date": album.release_date,
            "release_date_precision": album.release_date_precision,
            "total_tracks": len(album.tracks),
        }
        if self._is_classic:
            view["available_markets"] = _MARKETS
        return view

    def album(self, album: Album, tracks: Json) -> Json:
        """An album in full, with the first page of its tracks."""
        view = {
            **self.album_ref(album),
            "tracks": tracks,
            "copyrights": [{"text": f"℗ {album.release_date[:4]} {album.artists[0].name}", "type": "P"}],
            "external_ids": {"upc": f"{digest(f'upc/{album.id}') % 10**12:012d}"},
            "genres": [],
        }
        if self._is_classic:
            view |= {"label": f"{album.artists[0].name} Recordings", "popularity": _popularity(album.id)}
        return view

    def album_track(self, track: Track) -> Json:
        """A track as listed on its album: without ``album``, ``external_ids`` and ``popularity``."""
        return self._track_core(*self._relink(track))

    def track(self, track: Track, *, tell_playability: bool = False) -> Json:
        """A track in full. ``tell_playability`` keeps ``is_playable`` where the dialect otherwise drops it."""
        shown, asked = self._relink(track)
        view = self._track_core(shown, asked)
        if tell_playability:
            view["is_playable"] = shown.playable
        album = self.catalogue.album(shown.album_id)
        view |= {
            "album": self.album_ref(album) if album else None,
            "external_ids": {"isrc": f"QZ{digest(f'isrc/{shown.id}') % 10**10:010d}"},
        }
        if self._is_classic:
            view["popularity"] = _popularity(shown.id)
        return view

    def _relink(self, track: Track) -> tuple[Track, Track]:
        """The track to show and the track that was asked for.

        A market gets a replacement for what it can't play. Development mode lost ``linked_from``, and with it
        the only trace of the id that was asked for: there the track stays itself.
        """
        if self.market and self._is_classic and track.relinked_to:
            return self.catalogue.track(track.relinked_to) or track, track
        return track, track

    def _track_core(self, shown: Track, asked: Track) -> Json:
        view: Json = {
            **self._identity("track", shown.id),
            "artists": [self.artist_ref(artist) for artist in shown.artists],
            "disc_number": shown.disc_number,
            "duration_ms": shown.duration_ms,
            "explicit": shown.explicit,
            "is_local": False,
            "name": shown.name,
            "preview_url": None,
            "track_number": shown.track_number,
        }
        if not self._is_classic:
            return view
        if not self.market:
            return view | {"available_markets": _MARKETS if shown.playable else []}
        view["is_playable"] = shown.playable
        if not shown.playable:
            view["restrictions"] = {"reason": "market"}
        if shown is not asked:
            view["linked_from"] = self._identity("track", asked.id)
        return view

    def audio_features(self, track: Track, features: Features) -> Json:
        """Audio features as Spotify's own endpoint gives them."""
        return {
            **asdict(features),
            "analysis_url": f"{self.api_url}/audio-analysis/{track.id}",
            "duration_ms": track.duration_ms,
            "id": track.id,
            "track_href": f"{self.api_url}/tracks/{track.id}",
            "type": "audio_features",
            "uri": f"spotify:track:{track.id}",
        }

    # --- people and playlists ---

    def user_ref(self, user_id: str) -> Json:
        """A user as the one who added something."""
        return self._identity("user", user_id)

    def private_user(self, user: User, scopes: frozenset[str]) -> Json:
        """The caller's own profile."""
        view: Json = {
            **self._identity("user", user.user_id),
            "account_id": user.account_id,
            "display_name": user.display_name or user.user_id,
            "images": [],
        }
        if not self._is_classic:
            return view
        view["followers"] = {"href": None, "total": 0}
        if "user-read-private" in scopes:
            view |= {
                "country": user.country,
                "explicit_content": {"filter_enabled": False, "filter_locked": False},
                "product": "premium" if user.premium else "free",
            }
        if "user-read-email" in scopes:
            view["email"] = f"{user.user_id}@example.com"
        return view

    def playlist_ref(
        self, playlist: Playlist, revision: Revision, snapshot_id: str, owner: User | None
    ) -> Json:
        """A playlist as part of a listing: how many items it has, not which."""
        held = {"href": self._items_href(playlist.id), "total": revision.total}
        return self._playlist_core(playlist, revision, snapshot_id, owner) | {self._items_key: held}

    def playlist(
        self,
        playlist: Playlist,
        revision: Revision,
        snapshot_id: str,
        owner: User | None,
        *,
        items: Json | None,
        followers: int,
    ) -> Json:
        """A playlist in full; ``items`` is its first page, or None where the caller may not see it."""
        view = self._playlist_core(playlist, revision, snapshot_id, owner)
        view["followers"] = {"href": None, "total": followers}
        return view if items is None else view | {self._items_key: items}

    def _playlist_core(
        self, playlist: Playlist, revision: Revision, snapshot_id: str, owner: User | None
    ) -> Json:
        display_name = owner.display_name or owner.user_id if owner else None
        return {
            **self._identity("playlist", playlist.id),
            "collaborative": playlist.collaborative,
            "description": escape_text(revision.description),
            "images": self.playlist_images(revision),
            "name": revision.name,
            "owner": {**self.user_ref(playlist.owner_id), "display_name": display_name},
            "public": playlist.public,
            "snapshot_id": snapshot_id,
        }

    def playlist_images(self, revision: Revision) -> list[Json]:
        """The uploaded cover; none while the playlist has nothing to show."""
        if not revision.image:
            return []
        return [{"url": f"https://image-cdn.example/{revision.image}", "height": None, "width": None}]

    def playlist_entry(self, entry: Entry, keys: Sequence[str]) -> Json:
        """A place in a playlist, its content under each of ``keys`` (``track``, ``item``)."""
        content = self._content(entry.uri)
        view: Json = {
            "added_at": iso(entry.added_at),
            "added_by": self.user_ref(entry.added_by),
            "is_local": bool(entry.uri and entry.uri.startswith("spotify:local:")),
        }
        return view | dict.fromkeys(keys, content)

    def _content(self, uri: str | None) -> Json | None:
        if uri is None:
            return None
        if uri.startswith("spotify:local:"):
            return _local_track(uri)
        track_id = parse_uri(uri, "track")
        track = self.catalogue.track(track_id) if track_id else None
        # Availability is gone from development mode's catalogue reads: reading a playlist back is where it shows.
        return self.track(track, tell_playability=not self._is_classic) if track else None

    @property
    def entry_key(self) -> str:
        """Under which key this dialect shows the content of a playlist's place."""
        return "track" if self._is_classic else "item"

    @property
    def _items_key(self) -> str:
        return "tracks" if self._is_classic else "items"

    def _items_href(self, playlist_id: str) -> str:
        return f"{self.api_url}/playlists/{playlist_id}/{self._items_key}"

    # --- pages ---

    def page(
        self,
        path: str,
        items: Sequence[object],
        total: int,
        *,
        limit: int,
        offset: int,
        query: Mapping[str, str] | None = None,
    ) -> Json:
        """A page of a longer list, with links to its neighbours that keep the rest of the ``query``."""

        def link(at: int) -> str:
            kept = {key: value for key, value in (query or {}).items() if key not in ("limit", "offset")}
            return f"{self.api_url}{path}?{urlencode({'offset': at, 'limit': limit, **kept})}"

        return {
            "href": link(offset),
            "items": list(items),
            "limit": limit,
            "next": link(offset + limit) if offset + limit < total else None,
            "offset": offset,
            "previous": link(max(offset - limit, 0)) if offset > 0 else None,
            "total": total,
        }

    def _identity(self, kind: str, spotify_id: str) -> Json:
        collection = f"{kind}s"
        return {
            "external_urls": {"spotify": f"https://open.spotify.com/{kind}/{spotify_id}"},
            "href": f"{self.api_url}/{collection}/{spotify_id}",
            "id": spotify_id,
            "type": kind,
            "uri": f"spotify:{kind}:{spotify_id}",
        }


def _local_track(uri: str) -> Json:
    """A file of the owner's own: no id, no links, names from the URI ``spotify:local:artist:album:title:seconds``."""
    artist, album, title, seconds = ([*map(unquote_plus, uri.split(":")[2:]), "", "", "", ""])[:4]
    return {
        "album": {"name": album, "artists": [], "images": [], "id": None, "type": "album", "uri": None},
        "artists": [{"name": artist, "id": None, "type": "artist", "uri": None}],
        "disc_number": 0,
        "duration_ms": int(seconds) * 1000 if seconds.isdecimal() else 0,
        "explicit": False,
        "external_urls": {},
        "href": None,
        "id": None,
        "is_local": True,
        "name": title,
        "preview_url": None,
        "track_number": 0,
        "type": "track",
        "uri": uri,
    }


def _images(spotify_id: str) -> list[Json]:
    name = sha1(spotify_id.encode(), usedforsecurity=False).hexdigest()
    return [
        {"url": f"https://image-cdn.example/{name}{s:03x}", "height": s, "width": s} for s in _IMAGE_SIZES
    ]


def _popularity(spotify_id: str) -> int:
    return digest(f"popularity/{spotify_id}") % (_HIGHEST_POPULARITY + 1)
