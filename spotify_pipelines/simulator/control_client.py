"""The control API from Python, for tests, the demo and benchmarks. The API itself is described in ``control``."""

import ssl
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self

import httpx

__all__ = ["ControlError", "SimulatorControl"]

_PAGE = 1000
_DEFAULT_SCOPES = (
    "playlist-modify-public",
    "playlist-modify-private",
    "playlist-read-private",
    "ugc-image-upload",
)


class ControlError(RuntimeError):
    """The simulator refused; the text is its reason."""


class SimulatorControl:
    """A synchronous client of a running simulator at ``base_url`` (``http://127.0.0.1:PORT``)."""

    def __init__(self, base_url: str) -> None:
        # The simulator speaks plain HTTP: an empty TLS context saves loading the system's certificates each time.
        no_certificates = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._http = httpx.Client(base_url=base_url, timeout=30, trust_env=False, verify=no_certificates)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _ask(self, verb: str, at: str, /, body: object = None, **query: object) -> Any:
        params = {key: str(value) for key, value in query.items() if value is not None}
        response = self._http.request(verb, f"/_sim{at}", json=body, params=params)
        if response.is_error:
            raise ControlError(f"{verb} /_sim{at}: {response.text}")
        return response.json()

    def health(self) -> dict[str, Any]:
        """Whether it runs, and on how many albums."""
        return dict(self._ask("GET", "/health"))

    def reset(self) -> None:
        """Forget everything but the catalogue."""
        self._ask("POST", "/reset")

    # --- people and tokens ---

    def add_client(self, client_id: str = "app", secret: str = "secret", **details: object) -> dict[str, Any]:  # noqa: S107
        """Create or replace an app; ``details`` are the fields of ``people.Client``."""
        return dict(self._ask("POST", "/clients", {"client_id": client_id, "secret": secret, **details}))

    def add_user(self, user_id: str, **details: object) -> dict[str, Any]:
        """Create or replace a user; ``details`` are the fields of ``people.User``."""
        return dict(self._ask("POST", "/users", {"user_id": user_id, **details}))

    def mint_tokens(
        self, client_id: str, user_id: str, scopes: Iterable[str] = _DEFAULT_SCOPES
    ) -> dict[str, Any]:
        """Access and refresh token without a browser."""
        return dict(
            self._ask("POST", "/tokens", {"client_id": client_id, "user_id": user_id, "scopes": list(scopes)})
        )

    def revoke(self, user_id: str, client_id: str | None = None) -> int:
        """The user removes the app (None: every app); the number of refresh tokens that died."""
        return int(
            self._ask("POST", "/tokens/revoke", {"user_id": user_id, "client_id": client_id})["revoked"]
        )

    def expire_access_tokens(self, user_id: str | None = None) -> int:
        """Let the user's (None: everybody's) access tokens expire now; how many there were."""
        return int(self._ask("POST", "/tokens/expire", {"user_id": user_id})["expired"])

    def ban(self, developer_account: str, seconds: float) -> None:
        """Answer QUOTA_EXCEEDED to all apps of the account for ``seconds`` (simulated); 0 lifts the ban."""
        self._ask("POST", "/bans", {"developer_account": developer_account, "seconds": seconds})

    # --- ledger ---

    def ledger(
        self,
        *,
        after: int = 0,
        limit: int | None = None,
        client: str | None = None,
        user: str | None = None,
        path: str | None = None,
        method: str | None = None,
    ) -> list[dict[str, Any]]:
        """Every request numbered above ``after``, oldest first; ``path`` is a substring."""
        entries: list[dict[str, Any]] = []
        while limit is None or len(entries) < limit:
            asked = _PAGE if limit is None else min(_PAGE, limit - len(entries))
            page = self._ask(
                "GET", "/ledger", after=after, limit=asked, client=client, user=user, path=path, method=method
            )["entries"]
            entries += page
            if len(page) < asked:
                break
            after = page[-1]["seq"]
        return entries

    def ledger_summary(self, after: int = 0) -> list[dict[str, Any]]:
        """Counts by method, endpoint template and status."""
        return list(self._ask("GET", "/ledger/summary", after=after)["counts"])

    def ledger_position(self) -> int:
        """The number of the newest line: a mark to read on from."""
        return int(self._ask("GET", "/ledger", limit=0)["last"])

    def clear_ledger(self) -> None:
        """Forget all lines; their numbering goes on."""
        self._ask("DELETE", "/ledger")

    # --- playlists and catalogue ---

    def playlists(self, user: str | None = None) -> list[dict[str, Any]]:
        """All playlists (of one owner), as they really are: no lag, no escapes, unfollowed ones too."""
        return list(self._ask("GET", "/playlists", user=user)["playlists"])

    def playlist_history(self, playlist_id: str) -> list[dict[str, Any]]:
        """Every revision, oldest first."""
        return list(self._ask("GET", f"/playlists/{playlist_id}/history")["revisions"])

    def edit_playlist(self, playlist_id: str, **changes: object) -> dict[str, Any]:
        """Change a playlist by hand, as its owner; ``changes`` are the fields of ``control.PlaylistEdit``."""
        return dict(self._ask("POST", f"/playlists/{playlist_id}/edit", changes))

    def albums(self) -> Iterator[dict[str, Any]]:
        """Every album's id, name and number of tracks, page by page."""
        offset, total = 0, 1
        while offset < total:
            page = self._ask("GET", "/catalogue", limit=_PAGE, offset=offset)
            yield from page["albums"]
            offset, total = offset + _PAGE, page["total"]

    def album_ids(self, limit: int = 1000) -> list[str]:
        """The first ``limit`` album ids of the catalogue."""
        return [album["id"] for album in self._ask("GET", "/catalogue", limit=limit)["albums"]]

    def set_track(self, track_id: str, **fate: object) -> None:
        """Make a track unplayable, relink or remove it; ``fate`` is an ``overrides.TrackOverride``."""
        self._ask("POST", f"/catalogue/tracks/{track_id}", fate)

    # --- clock and trouble ---

    def clock(self) -> dict[str, Any]:
        """The simulated time: ``now`` (text), ``timestamp`` (seconds since the epoch) and ``speed``."""
        return dict(self._ask("GET", "/clock"))

    def advance(self, seconds: float) -> None:
        """Skip simulated time."""
        self._ask("POST", "/clock", {"advance": seconds})

    def set_speed(self, speed: float) -> None:
        """Simulated seconds per real one."""
        self._ask("POST", "/clock", {"speed": speed})

    def add_fault(self, **fault: object) -> int:
        """Put a fault in force (``faults``); its number."""
        return int(self._ask("POST", "/faults", fault)["id"])

    def faults(self) -> list[dict[str, Any]]:
        """What is in force, and how often it struck."""
        return list(self._ask("GET", "/faults")["faults"])

    def remove_fault(self, fault_id: int) -> None:
        """Take one fault away."""
        self._ask("DELETE", "/faults", id=fault_id)

    def clear_faults(self) -> None:
        """Take all faults away."""
        self._ask("DELETE", "/faults")

    def set_reccobeats_limit(self, limit: int) -> None:
        """Calls that ReccoBeats takes in a rolling 30 seconds."""
        self._ask("POST", "/reccobeats", {"limit": limit})
