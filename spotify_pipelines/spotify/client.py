"""What can be asked of Spotify, as methods: the catalogue with an app's token, playlists with an account's.

What belongs here: endpoints, both API dialects, batch sizes (on the method that owns them), pages. What
does not: limits, tokens, retries (``caller``), and any decision about what a playlist ought to hold.
"""

import base64
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TypeVar

import redis.asyncio
from pydantic import BaseModel, ValidationError

from spotify_pipelines.settings import Settings, World
from spotify_pipelines.spotify.accounting import CallLog
from spotify_pipelines.spotify.caller import Caller, Request, Route
from spotify_pipelines.spotify.conditional import CONDITIONAL_READS, NotModified, etag_of, finding_of
from spotify_pipelines.spotify.errors import (
    BadRequest,
    Forbidden,
    ForbiddenReason,
    MalformedAnswer,
    NotFound,
    SpotifyError,
    Unavailable,
)
from spotify_pipelines.spotify.families import COVER_BYTES
from spotify_pipelines.spotify.limiter import Limiter
from spotify_pipelines.spotify.models import (
    AlbumItem,
    FeatureSet,
    PlaylistDetail,
    PlaylistEntry,
    PlaylistItems,
    PlaylistSummary,
    Profile,
    TrackPage,
)
from spotify_pipelines.spotify.ports import (
    ALBUMS_BATCH,
    AUDIO_FEATURES,
    ME_LIBRARY,
    TRACKS_BATCH,
    Apps,
    Credentials,
)
from spotify_pipelines.spotify.retry import MAX_ATTEMPTS, ambiguous
from spotify_pipelines.spotify.routes import Routes, require_own_world
from spotify_pipelines.spotify.transport import HttpTransport
from spotify_pipelines.spotify.turns import CallLimiter, Priority
from spotify_pipelines.spotify.verdict import Where, parse_json

__all__ = ["AlbumResult", "CatalogueApi", "PlaylistApi", "SpotifyClient"]

Model = TypeVar("Model", bound=BaseModel)
AlbumResult = tuple[str, AlbumItem | NotModified | SpotifyError]

ALBUMS_PER_CALL = 20
TRACKS_PER_CALL = 50
TRACKS_PER_PAGE = 50
FEATURES_PER_CALL = 100
PLAYLISTS_PER_PAGE = 50
ENTRIES_PER_PAGE = 50
URIS_PER_CALL = 100
NAME_LIMIT = 100
DESCRIPTION_LIMIT = 300

_CONTENT = "id,uri,type,is_local,linked_from(id,uri)"
_PAGE = f"total,next,items(is_local,item({_CONTENT}),track({_CONTENT}))"
_DETAIL_FIELDS = "id,name,description,public,snapshot_id,owner(id)"
# Both dialects at once: a field that a regime lacks is left out of its answer.
_TOTAL_ONLY = f"{_DETAIL_FIELDS},items(total),tracks(total)"
_WITH_ENTRIES = f"{_DETAIL_FIELDS},items({_PAGE}),tracks({_PAGE})"

_ALBUM = "GET /albums/{id}"

# Ids that Spotify's own documentation uses; a null in their place answers the question just as well.
_KNOWN_ALBUM = "4aawyAB9vmqN3uQ7FjRGTy"
_PROBES = {
    ALBUMS_BATCH: Request("GET /albums", "/albums", {"ids": _KNOWN_ALBUM}),
    TRACKS_BATCH: Request("GET /tracks", "/tracks", {"ids": "7ouMYWpwJ422jRcDASZB7P"}),
    AUDIO_FEATURES: Request("GET /audio-features", "/audio-features", {"ids": "7ouMYWpwJ422jRcDASZB7P"}),
}


def _utc_now() -> datetime:
    return datetime.now(UTC)


class _Api:
    """Calls along one route, and answers as models."""

    def __init__(self, caller: Caller, route: Route) -> None:
        self._caller = caller
        self._route = route

    async def _json(self, request: Request) -> dict[str, Any]:
        answer = await self._caller.call(self._route, request)
        return parse_json(answer, self._where(request, answer.status))

    async def _get(self, model: type[Model], request: Request) -> Model:
        return self._read(model, await self._json(request), request)

    def _read(self, model: type[Model], data: object, request: Request) -> Model:
        try:
            return model.model_validate(data)
        except ValidationError as error:
            fields = sorted(
                {".".join(map(str, part["loc"])) or "whole" for part in error.errors(include_input=False)}
            )
            raise MalformedAnswer(
                f"the answer is no {model.__name__}: {', '.join(fields[:5])}.",
                **self._where(request, 200).facts(),
            ) from None

    def _where(self, request: Request, status: int | None = None) -> Where:
        return Where(request.endpoint, self._route.app_id, self._route.account_id, status)

    def _refuse(self, endpoint: str, why: str) -> BadRequest:
        where = Where(endpoint, self._route.app_id, self._route.account_id, attempts=0)
        return BadRequest(f"not sent: {why}", **where.facts())

    def _id(self, endpoint: str, value: str) -> str:
        """``value`` if it can be part of a path."""
        if not re.fullmatch(r"[A-Za-z0-9]{1,64}", value):
            raise self._refuse(endpoint, f"{value[:40]!r} is no Spotify id (letters and digits only).")
        return value


class CatalogueApi(_Api):
    """Albums, tracks and features, read with the app's own token."""

    def __init__(self, caller: Caller, route: Route, *, app_id: int, apps: Apps, market: str | None) -> None:
        super().__init__(caller, route)
        self._app_id = app_id
        self._apps = apps
        self._market: dict[str, str] = {} if market is None else {"market": market}
        self._trying_condition = False

    @property
    def app_id(self) -> int:
        """Our id of the app."""
        return self._app_id

    @property
    def albums_per_call(self) -> int:
        """Twenty where the app is known to read so many at once, else one."""
        available = self._apps.profile(self._app_id).capabilities.get(ALBUMS_BATCH)
        return ALBUMS_PER_CALL if available else 1

    @property
    def may_read_features(self) -> bool:
        """Whether Spotify's audio features may be there for the app: False where it is known to be refused."""
        return not self._lacks(AUDIO_FEATURES)

    def album_url(self, album_id: str) -> str:
        """Where one album is read alone: what its validator belongs to, beside the app."""
        return Request(_ALBUM, f"/albums/{album_id}", self._market).url

    async def albums(
        self, ids: Sequence[str], *, known: Mapping[str, str] = MappingProxyType({})
    ) -> AsyncIterator[AlbumResult]:
        """Each asked-for album, or what is wrong with it, in the order asked, each once.

        Twenty a call where the app may, else one by one; which of the two is found by the first refusal and
        remembered as the capability ``albums_batch``. What concerns the app rather than one album is raised.

        Args:
            known: ETags by album id, as this app was given them. ``NotModified`` comes in place of an album that is
                read alone and still has its own, where the app has the capability ``conditional_reads``; while
                that is unknown, one such read at a time finds it out.

        Raises:
            QuotaExceeded, AuthorizationLost, RateLimited: nothing more can be had now; ids not yet yielded
            are open. Forbidden: the app as a whole is refused (owner's Premium, not registered).
        """
        for batch in _batches(list(dict.fromkeys(ids)), ALBUMS_PER_CALL):
            if self._lacks(ALBUMS_BATCH):
                results = None
            else:
                results = await self._album_batch(batch)
            if results is None:
                async for result in self._albums_one_by_one(batch, known):
                    yield result
            else:
                for result in results:
                    yield result

    async def album_tracks(self, album_id: str, *, offset: int) -> TrackPage:
        """Fifty tracks from ``offset`` on."""
        endpoint = "GET /albums/{id}/tracks"
        params: dict[str, str | int] = {"limit": TRACKS_PER_PAGE, "offset": offset, **self._market}
        request = Request(endpoint, f"/albums/{self._id(endpoint, album_id)}/tracks", params)
        return await self._get(TrackPage, request)

    async def missing_tracks(self, ids: Sequence[str]) -> set[str] | None:
        """Those of the tracks that Spotify does not know (⌈n/50⌉ calls); None where the app may not ask in batches.

        Raises:
            SpotifyError: nothing can be found out now.
        """
        missing: set[str] = set()
        for batch in _batches(list(dict.fromkeys(ids)), TRACKS_PER_CALL):
            if self._lacks(TRACKS_BATCH):
                return None
            request = Request("GET /tracks", "/tracks", {"ids": ",".join(batch)})
            try:
                rows = (await self._json(request)).get("tracks")
            except (Forbidden, NotFound) as error:
                if not _endpoint_is_missing(error):
                    raise
                self._learn(TRACKS_BATCH, False, str(error))
                return None
            if not isinstance(rows, list) or len(rows) != len(batch):
                raise MalformedAnswer(
                    "the answer has not a row for each track.", **self._where(request, 200).facts()
                )
            self._learn(TRACKS_BATCH, True, "GET /tracks?ids= answered")
            missing.update(track_id for track_id, row in zip(batch, rows, strict=True) if row is None)
        return missing

    async def audio_features(self, ids: Sequence[str]) -> dict[str, FeatureSet | None]:
        """Spotify's own features of at most 100 tracks; None for a track of which it says nothing legible.

        Raises:
            Forbidden: not for this app; remembered as the capability ``audio_features``, and from then on
                raised without a call.
        """
        if len(ids) > FEATURES_PER_CALL:
            raise ValueError(f"at most {FEATURES_PER_CALL} tracks a call, not {len(ids)}")
        request = Request("GET /audio-features", "/audio-features", {"ids": ",".join(ids)})
        if self._lacks(AUDIO_FEATURES):
            raise self._features_forbidden(request, status=None)
        if not ids:
            return {}
        try:
            data = await self._json(request)
        except (Forbidden, NotFound) as error:
            if not _endpoint_is_missing(error):
                raise
            self._learn(AUDIO_FEATURES, False, str(error))
            raise self._features_forbidden(request, error.status) from None
        self._learn(AUDIO_FEATURES, True, "GET /audio-features answered")
        rows = data.get("audio_features")
        if not isinstance(rows, list):
            raise MalformedAnswer("the answer has no list of features.", **self._where(request, 200).facts())
        found: dict[str, FeatureSet] = {}
        for row in rows:
            if isinstance(row, dict) and isinstance(row.get("id"), str):
                # One bad row is a track without features, not a batch without answers.
                with suppress(MalformedAnswer):
                    found[row["id"]] = self._read(FeatureSet, row, request)
        return {track_id: found.get(track_id) for track_id in ids}

    async def probe(self, album_id: str = _KNOWN_ALBUM) -> dict[str, bool]:
        """Ask for each thing in which apps differ, whatever is known of it; remember and answer what is there.

        One call each, and for conditional reads two: of an album, and of the same under its ETag. Without an album
        of the id nothing is said of them.

        Raises:
            QuotaExceeded, AuthorizationLost, RateLimited, Unavailable: nothing can be found out now.
            Forbidden: the app as a whole is refused (owner's Premium, not registered).
        """
        found = {}
        for capability, request in _PROBES.items():
            try:
                await self._json(request)
            except (Forbidden, NotFound) as error:
                if not _endpoint_is_missing(error):
                    raise
                found[capability], evidence = False, str(error)
            else:
                found[capability], evidence = True, f"{request.endpoint} answered a probe"
            self._apps.record_capability(self._app_id, capability, found[capability], evidence)
        if finding := await self._probe_condition(self._album_request(album_id)):
            found[CONDITIONAL_READS], evidence = finding
            self._apps.record_capability(self._app_id, CONDITIONAL_READS, found[CONDITIONAL_READS], evidence)
        return found

    async def _probe_condition(self, request: Request) -> tuple[bool, str] | None:
        """Whether the app has conditional reads, and the evidence; None where there is no such album."""
        etag = None
        for _ in range(2):
            try:
                answer = await self._caller.call(self._route, replace(request, unless=etag))
            except (Forbidden, NotFound) as error:
                if not _endpoint_is_missing(error):
                    raise
                return None
            received = etag_of(answer.headers)
            if finding := finding_of(request.endpoint, etag, answer.status, received):
                return finding
            etag = received
        return None

    async def _album_batch(self, ids: Sequence[str]) -> list[AlbumResult] | None:
        """The albums by one call; None where they have to be read one by one."""
        if not all(re.fullmatch(r"[A-Za-z0-9]{1,64}", album_id) for album_id in ids):
            return None
        request = Request("GET /albums", "/albums", {"ids": ",".join(ids), **self._market})
        try:
            rows = (await self._json(request)).get("albums")
        except (Forbidden, NotFound) as error:
            if not _endpoint_is_missing(error):
                raise
            self._learn(ALBUMS_BATCH, False, str(error))
            return None
        except (BadRequest, MalformedAnswer, Unavailable):
            # One album can spoil the answer for all twenty: alone each gets its own verdict.
            return None
        if not isinstance(rows, list) or len(rows) != len(ids):
            return None
        self._learn(ALBUMS_BATCH, True, "GET /albums?ids= answered")
        return [
            (album_id, self._album(album_id, row, request)) for album_id, row in zip(ids, rows, strict=True)
        ]

    async def _albums_one_by_one(
        self, ids: Sequence[str], known: Mapping[str, str]
    ) -> AsyncIterator[AlbumResult]:
        for album_id in ids:
            try:
                yield album_id, await self._one_album(album_id, known.get(album_id))
            except Forbidden as error:
                if not _endpoint_is_missing(error):
                    raise
                yield album_id, error
            except (NotFound, BadRequest, MalformedAnswer, Unavailable) as error:
                yield album_id, error

    async def _one_album(self, album_id: str, etag: str | None) -> AlbumItem | NotModified | SpotifyError:
        can_condition = self._apps.profile(self._app_id).capabilities.get(CONDITIONAL_READS)
        is_trial = etag is not None and can_condition is None and not self._trying_condition
        request = self._album_request(album_id)
        if can_condition or is_trial:
            request = replace(request, unless=etag)
        self._trying_condition |= is_trial
        try:
            answer = await self._caller.call(self._route, request)
        finally:
            self._trying_condition &= not is_trial
        received = etag_of(answer.headers)
        result: AlbumItem | NotModified | SpotifyError = NotModified()
        if answer.status != 304:
            data = parse_json(answer, self._where(request, answer.status))
            result = self._album(album_id, data, request)
        if isinstance(result, SpotifyError):
            return result
        if finding := finding_of(_ALBUM, request.unless, answer.status, received):
            self._learn(CONDITIONAL_READS, *finding)
        return result.model_copy(update={"etag": received}) if isinstance(result, AlbumItem) else result

    def _album_request(self, album_id: str) -> Request:
        return Request(_ALBUM, f"/albums/{self._id(_ALBUM, album_id)}", self._market)

    def _album(self, album_id: str, data: object, request: Request) -> AlbumItem | SpotifyError:
        if not isinstance(data, dict):
            return NotFound(
                f"album {album_id} does not exist, or not for us: gone or private.",
                **self._where(request, 200).facts(),
            )
        try:
            return self._read(AlbumItem, {**data, "id": album_id}, request)
        except MalformedAnswer as error:
            return error

    def _features_forbidden(self, request: Request, status: int | None) -> Forbidden:
        return Forbidden(
            "Spotify gives no audio features to this app, as to every app that did not use them before "
            "November 2024. Name another source in SPOTIFY_PIPELINES_FEATURE_SOURCES.",
            reason=ForbiddenReason.ENDPOINT_OR_OWNER,
            **self._where(request, status).facts(),
        )

    def _lacks(self, capability: str) -> bool:
        return self._apps.profile(self._app_id).capabilities.get(capability) is False

    def _learn(self, capability: str, available: bool, evidence: str) -> None:
        if self._apps.profile(self._app_id).capabilities.get(capability) is not available:
            self._apps.record_capability(self._app_id, capability, available, evidence)


class PlaylistApi(_Api):
    """The playlists of one account.

    What is given as ``before_send`` is called right before a write is sent, each time it is sent, after the wait for
    a turn: the place to make sure that the write may still be made, and to note that it is.
    """

    def __init__(self, caller: Caller, route: Route, *, app_id: int, apps: Apps) -> None:
        super().__init__(caller, route)
        self._app_id = app_id
        self._apps = apps

    async def me(self) -> Profile:
        """Who the token belongs to."""
        return await self._get(Profile, Request("GET /me", "/me"))

    async def probe(self) -> None:
        """Find out, by one cheap call that is not repeated in an outage, whether the account's playlists are served.

        Raises:
            SpotifyError: they are not.
        """
        await self._json(Request("GET /me/playlists", "/me/playlists", {"limit": 1}, max_attempts=1))

    async def my_playlists(self) -> list[PlaylistSummary]:
        """All playlists in the account's library, its own and followed ones (⌈n/50⌉ calls, at least one)."""
        found: dict[str, PlaylistSummary] = {}
        offset = 0
        while True:
            request = Request(
                "GET /me/playlists", "/me/playlists", {"limit": PLAYLISTS_PER_PAGE, "offset": offset}
            )
            data = await self._json(request)
            rows = data.get("items")
            if not isinstance(rows, list):
                raise MalformedAnswer("the listing has no items.", **self._where(request, 200).facts())
            for row in rows:
                if row is not None:
                    playlist = self._read(PlaylistSummary, row, request)
                    found.setdefault(playlist.id, playlist)
            offset += len(rows)
            if not rows or not _more(data, offset):
                return list(found.values())

    async def create_playlist(
        self,
        name: str,
        description: str,
        *,
        public: bool,
        before_send: Callable[[], None] | None = None,
    ) -> PlaylistSummary:
        """Make an empty playlist. Sent again only after an answer that rules out any effect (401, 429).

        Raises:
            Ambiguous: it may exist; look for it in ``my_playlists`` before asking again.
            BadRequest: not sent, or refused: a name or description that Spotify does not take.
        """
        endpoint = "POST /me/playlists"
        body = {"name": name, "description": description, "public": public}
        self._check_texts(endpoint, name, description)
        request = Request(endpoint, "/me/playlists", body=body, repeatable=False, before_send=before_send)
        try:
            return await self._get(PlaylistSummary, request)
        except MalformedAnswer as error:
            # It was said to have worked, but not under which id.
            raise ambiguous(error) from None

    async def playlist(self, playlist_id: str, *, with_entries: bool = False) -> PlaylistDetail:
        """Name, description, owner, snapshot id, and all entries if asked for.

        One call, entries included, for as many as this endpoint embeds: 100 in the classic dialect, 50 in that of
        development mode. One more call of ``/playlists/{id}/items`` for every further 50.
        """
        endpoint = "GET /playlists/{id}"
        path = f"/playlists/{self._id(endpoint, playlist_id)}"
        request = Request(endpoint, path, {"fields": _WITH_ENTRIES if with_entries else _TOTAL_ONLY})
        data = await self._json(request)
        detail = self._read(PlaylistDetail, {**data, "id": playlist_id}, request)
        if not with_entries:
            return detail
        first = data.get("items") or data.get("tracks")
        if not isinstance(first, dict):
            raise Forbidden(
                "the playlist's entries are not shown: it belongs to somebody else.",
                reason=ForbiddenReason.ENDPOINT_OR_OWNER,
                **self._where(request, 200).facts(),
            )
        return detail.with_entries(await self._all_entries(path, first, request))

    async def items(self, playlist_id: str) -> list[PlaylistEntry]:
        """All entries in order, in the calls that ``playlist`` needs for them."""
        return list((await self.playlist(playlist_id, with_entries=True)).entries or ())

    async def replace_items(
        self,
        playlist_id: str,
        uris: Sequence[str],
        *,
        before_send: Callable[[], None] | None = None,
        max_attempts: int = MAX_ATTEMPTS,
    ) -> str | None:
        """Make ``uris`` (at most 100) the whole content; idempotent.

        Returns the snapshot id of the answer, which may become visible to reads only half a minute later;
        None where the answer names none.
        """
        if len(uris) > URIS_PER_CALL:
            raise ValueError(f"at most {URIS_PER_CALL} uris a call, not {len(uris)}")
        endpoint = "PUT /playlists/{id}/items"
        path = f"/playlists/{self._id(endpoint, playlist_id)}/items"
        request = Request(
            endpoint, path, body={"uris": list(uris)}, before_send=before_send, max_attempts=max_attempts
        )
        snapshot = (await self._json(request)).get("snapshot_id")
        return snapshot if isinstance(snapshot, str) else None

    async def append_items(
        self, playlist_id: str, uris: Sequence[str], *, before_send: Callable[[], None] | None = None
    ) -> str | None:
        """Add ``uris`` (at most 100) at the end; the snapshot id of the answer, if it names one.

        Raises:
            Ambiguous: they may have been added; adding them again could double them.
        """
        if len(uris) > URIS_PER_CALL:
            raise ValueError(f"at most {URIS_PER_CALL} uris a call, not {len(uris)}")
        endpoint = "POST /playlists/{id}/items"
        path = f"/playlists/{self._id(endpoint, playlist_id)}/items"
        request = Request(
            endpoint, path, body={"uris": list(uris)}, repeatable=False, before_send=before_send
        )
        snapshot = (await self._json(request)).get("snapshot_id")
        return snapshot if isinstance(snapshot, str) else None

    async def change_details(
        self,
        playlist_id: str,
        *,
        name: str | None = None,
        description: str | None = None,
        public: bool | None = None,
        before_send: Callable[[], None] | None = None,
    ) -> None:
        """Change what is not None. Idempotent.

        Raises:
            BadRequest: not sent, or refused: a text that Spotify does not take; an empty description is one.
        """
        endpoint = "PUT /playlists/{id}"
        given = {"name": name, "description": description, "public": public}
        body = {key: value for key, value in given.items() if value is not None}
        if not body:
            raise ValueError("change_details needs something to change")
        self._check_texts(endpoint, name, description)
        if description == "":
            raise self._refuse(endpoint, "a description can't be made empty; give a short one.")
        path = f"/playlists/{self._id(endpoint, playlist_id)}"
        await self._caller.call(self._route, Request(endpoint, path, body=body, before_send=before_send))

    async def replace_cover(
        self, playlist_id: str, jpeg: bytes, *, before_send: Callable[[], None] | None = None
    ) -> None:
        """Make a JPEG picture (at most ``COVER_BYTES``) the cover; needs the scope ``ugc-image-upload``. Idempotent.

        Raises:
            AuthorizationLost: refused, for want of the scope or of a valid token: Spotify tells no difference here.
            BadRequest: not taken for a JPEG.
        """
        if len(jpeg) > COVER_BYTES:
            raise ValueError(f"at most {COVER_BYTES} bytes, not {len(jpeg)}")
        endpoint = "PUT /playlists/{id}/images"
        path = f"/playlists/{self._id(endpoint, playlist_id)}/images"
        request = Request(endpoint, path, jpeg=base64.b64encode(jpeg), before_send=before_send)
        await self._caller.call(self._route, request)

    async def unfollow(self, playlist_id: str, *, before_send: Callable[[], None] | None = None) -> None:
        """Take the playlist out of the account's library; Spotify knows no other delete. Idempotent.

        Newer apps do it through their library, older ones through the playlist's followers; what answers is
        remembered as the capability ``me_library``.
        """
        newer, older = "DELETE /me/library", "DELETE /playlists/{id}/followers"
        uri = f"spotify:playlist:{self._id(newer, playlist_id)}"
        by_library = Request(newer, "/me/library", {"uris": uri}, before_send=before_send)
        by_followers = Request(older, f"/playlists/{playlist_id}/followers", before_send=before_send)
        known = self._apps.profile(self._app_id).capabilities.get(ME_LIBRARY)
        if known is False:
            await self._caller.call(self._route, by_followers)
            return
        try:
            await self._caller.call(self._route, by_library)
        except (Forbidden, NotFound) as error:
            if known or not _endpoint_is_missing(error):
                raise
            await self._caller.call(self._route, by_followers)
            self._apps.record_capability(self._app_id, ME_LIBRARY, False, str(error))
        else:
            if known is None:
                self._apps.record_capability(self._app_id, ME_LIBRARY, True, f"{newer} answered")

    async def _all_entries(
        self, path: str, first: Mapping[str, Any], request: Request
    ) -> list[PlaylistEntry]:
        page = self._read(PlaylistItems, first, request)
        entries = list(page.items)
        while page.items and (page.next or len(entries) < page.total):
            params: dict[str, str | int] = {
                "limit": ENTRIES_PER_PAGE,
                "offset": len(entries),
                "fields": _PAGE,
            }
            page = await self._get(
                PlaylistItems, Request("GET /playlists/{id}/items", f"{path}/items", params)
            )
            entries += page.items
        return entries

    def _check_texts(self, endpoint: str, name: str | None, description: str | None) -> None:
        """Refuse what Spotify answers with an error that no retry mends, some of them with 500."""
        if name is not None and not 0 < len(name.strip()) <= NAME_LIMIT:
            raise self._refuse(endpoint, f"a name has 1 to {NAME_LIMIT} signs, this one {len(name)}.")
        if description is not None and len(description) > DESCRIPTION_LIMIT:
            raise self._refuse(
                endpoint, f"a description has at most {DESCRIPTION_LIMIT} signs, this one {len(description)}."
            )
        if any(re.search(r"[\x00-\x1f\x7f\u2028\u2029]", text) for text in (name, description) if text):
            raise self._refuse(endpoint, "names and descriptions are one line without control signs.")


class SpotifyClient:
    """An open client: one connection pool, one limiter, one call log, for all apps and accounts of a world.

    Attributes:
        caller, routes: the machinery underneath, for sources that call something other than Spotify.
    """

    def __init__(self, caller: Caller, routes: Routes, apps: Apps) -> None:
        self.caller = caller
        self.routes = routes
        self._apps = apps

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        settings: Settings,
        *,
        redis: redis.asyncio.Redis,
        credentials: Credentials,
        apps: Apps,
        calls: CallLog | None = None,
        clock: Callable[[], datetime] = _utc_now,
        limiter: CallLimiter | None = None,
    ) -> AsyncIterator["SpotifyClient"]:
        """A client of the settings' world, closed at the end of the block. ``redis`` stays the caller's.

        Raises:
            SettingsError: an address is missing, or is one of the other world.
        """
        require_own_world(settings)
        live = settings.world is World.LIVE
        async with HttpTransport.open(time_limit=settings.request_timeout, use_proxies=live) as http:
            own = Limiter(redis, settings.key_prefix, max_processes=settings.max_processes)
            caller = Caller(http, limiter or own, calls if calls is not None else CallLog(), clock=clock)
            try:
                yield cls(caller, Routes(settings, credentials, apps, clock), apps)
            finally:
                await own.aclose()

    @property
    def calls(self) -> CallLog:
        """Everything that was sent; ``with client.calls.child() as mine`` counts one use case's own."""
        return self.caller.calls

    def as_app(self, app_id: int, *, market: str | None = None) -> CatalogueApi:
        """The catalogue through one app. Without ``market`` (two letters) playability stays unknown."""
        return CatalogueApi(
            self.caller, self.routes.for_app(app_id), app_id=app_id, apps=self._apps, market=market
        )

    def as_account(self, account_id: int, *, priority: Priority = Priority.HEALTHY) -> PlaylistApi:
        """One account's playlists; ``priority`` says who goes first where calls have to wait."""
        app_id = self._apps.account_app(account_id)
        route = self.routes.for_account(account_id, priority)
        return PlaylistApi(self.caller, route, app_id=app_id, apps=self._apps)


def _batches(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _more(page: Mapping[str, Any], seen: int) -> bool:
    total = page.get("total")
    return seen < total if isinstance(total, int) else bool(page.get("next"))


def _endpoint_is_missing(error: SpotifyError) -> bool:
    """Whether a refusal can mean that the app's regime lacks the endpoint."""
    return isinstance(error, NotFound) or (
        isinstance(error, Forbidden) and error.reason is ForbiddenReason.ENDPOINT_OR_OWNER
    )
