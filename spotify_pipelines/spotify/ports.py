"""What the client needs to know and can't know itself: tokens, app profiles, cooldowns.

What belongs here: protocols that use cases implement over the database, and the plain values they exchange.
What does not: any implementation. ``Apps`` is asked before every call, so it answers from memory; what it is
told (a cooldown, a capability) it has to make durable before it returns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from spotify_pipelines.spotify.errors import QuotaExceeded
from spotify_pipelines.spotify.learning import LearnedLimit

__all__ = [
    "ALBUMS_BATCH",
    "AUDIO_FEATURES",
    "ME_LIBRARY",
    "TRACKS_BATCH",
    "AppProfile",
    "Apps",
    "Credentials",
    "LimitMemory",
]

ALBUMS_BATCH = "albums_batch"
"""Capability: ``GET /albums?ids=`` answers for this client id."""
TRACKS_BATCH = "tracks_batch"
"""Capability: ``GET /tracks?ids=`` answers for this client id. Shown to people; nothing needs it today."""
AUDIO_FEATURES = "audio_features"
"""Capability: ``GET /audio-features?ids=`` answers for this client id."""
ME_LIBRARY = "me_library"
"""Capability: ``DELETE /me/library?uris=`` answers for this client id."""


@dataclass(frozen=True, slots=True)
class AppProfile:
    """One client id as it is known now.

    Attributes:
        calls_per_30s: its rate limit; None takes the setting's, or finds it.
        cooldown_until: aware UTC; no call of this app before it.
        capabilities: what was found out, by name; an absent name is unknown and will be tried.
        developer_account: whose app it is; None: unknown.
    """

    app_id: int
    client_id: str
    calls_per_30s: int | None = None
    cooldown_until: datetime | None = None
    capabilities: Mapping[str, bool] = field(default_factory=dict)
    developer_account: str | None = None


class Credentials(Protocol):
    """Gives access tokens, refreshing them when needed; one refresh at a time per account."""

    async def app_token(self, app_id: int, *, refused: str | None = None) -> str:
        """An app's own token (client credentials), for catalogue reads.

        ``refused`` is the token that was just answered with 401: give a newer one, or the one that somebody
        else fetched meanwhile. Called at most once per call with it.

        Raises:
            AuthorizationLost: the app's id or secret is refused.
            Unavailable, RateLimited: the accounts service has trouble; nothing is lost.
        """
        ...

    async def account_token(self, account_id: int, *, refused: str | None = None) -> str:
        """A user's token, for playlists; ``refused`` and errors as for ``app_token``."""
        ...


class Apps(Protocol):
    """What is known of apps. Synchronous and quick: it is asked before every call."""

    def profile(self, app_id: int, *, anew: bool = False) -> AppProfile:
        """The app as known now, cooldown included; ``anew``: read from where it is stored."""
        ...

    def account_app(self, account_id: int) -> int:
        """The app through which the account is connected."""
        ...

    def record_capability(self, app_id: int, capability: str, available: bool, evidence: str) -> None:
        """Remember what a probe or a refusal showed; ``evidence`` is a sentence for people."""
        ...

    def record_cooldown(self, app_id: int, ban: QuotaExceeded) -> Sequence[str]:
        """Make a ban that this app met known to every process, durably; never shortens an existing one.

        A quota ban holds for all apps of the developer account, a limit ban for this app alone.

        Returns:
            The client ids that it holds back.
        """
        ...


class LimitMemory(Protocol):
    """Keeps what was learned of limits beyond any loss of Redis. Blocking: called in a thread."""

    def learned_limit(self, app_id: int) -> LearnedLimit | None:
        """What is remembered of the app; None: nothing."""
        ...

    def record_learned_limit(self, app_id: int, learned: LearnedLimit, evidence: Mapping[str, Any]) -> None:
        """Remember it, with what it was concluded from."""
        ...
