"""For whom calls are made, and what that means for their gates: an app, an account, ReccoBeats.

What belongs here: which token, which buckets, whose cooldown; that no address of the other world is ever
used. What does not: the order of the gates (``caller``), endpoints (``client``), the token endpoint's own
way (``oauth``).
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from urllib.parse import urlsplit

import structlog

from spotify_pipelines.settings import Settings, SettingsError, World
from spotify_pipelines.spotify.accounting import Service
from spotify_pipelines.spotify.caller import Route
from spotify_pipelines.spotify.errors import QuotaExceeded
from spotify_pipelines.spotify.ports import Apps, Credentials
from spotify_pipelines.spotify.turns import Priority, Turn
from spotify_pipelines.spotify.verdict import Where

__all__ = ["Routes", "require_own_world"]

log = structlog.get_logger(__name__)

RECCOBEATS_CALLS_PER_30S = 90
"""ReccoBeats publishes no limit; it is asked no faster than Spotify would be."""


class Routes:
    """Makes routes of one world."""

    def __init__(
        self, settings: Settings, credentials: Credentials, apps: Apps, clock: Callable[[], datetime]
    ) -> None:
        self._settings = settings
        self._credentials = credentials
        self._apps = apps
        self._clock = clock

    def for_app(self, app_id: int) -> Route:
        """Catalogue reads with the app's own token."""

        async def authorize(refused: str | None) -> tuple[dict[str, str], str | None]:
            return _bearer(await self._credentials.app_token(app_id, refused=refused))

        return Route(
            service=Service.WEB_API,
            base_url=self._settings.require_spotify_api_url(),
            app_id=app_id,
            account_id=None,
            turn=lambda: self._app_turn(app_id),
            authorize=authorize,
            check_cooldown=lambda where: self._check_cooldown(app_id, where),
            on_quota=lambda error: self._record_cooldown(app_id, error),
            look_again=lambda where: self._check_cooldown(app_id, where, anew=True),
            family_limits=self._settings.family_calls_per_30s,
        )

    def for_account(self, account_id: int, priority: Priority = Priority.HEALTHY) -> Route:
        """Playlists of one account, through the app it is connected to."""
        app_id = self._apps.account_app(account_id)

        async def authorize(refused: str | None) -> tuple[dict[str, str], str | None]:
            return _bearer(await self._credentials.account_token(account_id, refused=refused))

        return Route(
            service=Service.WEB_API,
            base_url=self._settings.require_spotify_api_url(),
            app_id=app_id,
            account_id=account_id,
            turn=lambda: replace(
                self._app_turn(app_id),
                account=f"account-{account_id}",
                account_limit=self._settings.account_calls_per_30s,
                priority=priority,
            ),
            authorize=authorize,
            check_cooldown=lambda where: self._check_cooldown(app_id, where),
            on_quota=lambda error: self._record_cooldown(app_id, error),
            look_again=lambda where: self._check_cooldown(app_id, where, anew=True),
            family_limits=self._settings.family_calls_per_30s,
        )

    def for_reccobeats(self) -> Route:
        """ReccoBeats: no token, a bucket of its own; a ban concerns only the source that meets it."""

        async def authorize(refused: str | None) -> tuple[dict[str, str], str | None]:
            return {}, None

        return Route(
            service=Service.RECCOBEATS,
            base_url=self._settings.require_reccobeats_url(),
            app_id=None,
            account_id=None,
            turn=lambda: Turn("reccobeats", RECCOBEATS_CALLS_PER_30S),
            authorize=authorize,
            check_cooldown=lambda where: None,
            on_quota=lambda error: None,
        )

    def _app_turn(self, app_id: int) -> Turn:
        profile, settings = self._apps.profile(app_id), self._settings
        return Turn(
            _window(profile.client_id),
            profile.calls_per_30s or settings.app_calls_per_30s,
            app_id=app_id,
            developer=profile.developer_account,
            developer_limit=settings.developer_calls_per_30s,
        )

    def _check_cooldown(self, app_id: int, where: Where, *, anew: bool = False) -> None:
        until = self._apps.profile(app_id, anew=anew).cooldown_until
        if until is not None and until > self._clock():
            raise QuotaExceeded(
                f"not sent: a ban is being waited out until {until:%Y-%m-%d %H:%M:%S} UTC. The work goes "
                "on then.",
                until=until,
                **where.facts(),
            )

    def _record_cooldown(self, app_id: int, error: QuotaExceeded) -> list[str]:
        return [_window(client_id) for client_id in self._apps.record_cooldown(app_id, error)]


def _window(client_id: str) -> str:
    """Under which name the limiter knows an app."""
    return f"app-{client_id}"


def require_own_world(settings: Settings) -> None:
    """Refuse to open a client on a host of the other world.

    Settings check Spotify's two addresses when they are read; this is the last look before anything is
    sent, and covers ReccoBeats: made-up features must not get into a live catalogue, nor made-up ids to a
    real service.

    Raises:
        SettingsError: names the variable and both worlds.
    """
    for variable, url, real in (
        ("SPOTIFY_API_URL", settings.require_spotify_api_url(), "spotify.com"),
        ("SPOTIFY_ACCOUNTS_URL", settings.require_spotify_accounts_url(), "spotify.com"),
        ("RECCOBEATS_URL", settings.reccobeats_url, "reccobeats.com"),
    ):
        host = urlsplit(url or f"https://{real}").hostname or ""
        is_real = host == real or host.endswith(f".{real}")
        if url is not None and is_real != (settings.world is World.LIVE):
            raise SettingsError(
                f"SPOTIFY_PIPELINES_{variable} names {host}, which is no host of the world "
                f"'{settings.world.value}'. Nothing was sent. Correct it, or SPOTIFY_PIPELINES_WORLD."
            )


def _bearer(token: str) -> tuple[dict[str, str], str | None]:
    return {"Authorization": f"Bearer {token}"}, token
