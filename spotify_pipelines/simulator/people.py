"""Who calls: clients (apps), their developer accounts with bans, and users.

Documents are kept in memory and written through. Tokens are in ``tokens``; what a caller may do is decided in
``exchange``.
"""

from enum import StrEnum
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from spotify_pipelines.simulator.catalogue import digest
from spotify_pipelines.simulator.database import Database
from spotify_pipelines.simulator.errors import ApiError

__all__ = ["Client", "Etags", "People", "Regime", "User", "check_redirect_uri"]

_DEVELOPMENT_USERS = 5
_LOOPBACK_ADDRESSES = ("127.0.0.1", "::1")


class Regime(StrEnum):
    """Which Web API an app sees: the one from before February 2026, or the reduced one."""

    EXTENDED = "extended"
    DEVELOPMENT = "development"


def check_redirect_uri(uri: str) -> str:
    """``uri`` if Spotify would register it: HTTPS, or plain HTTP to a loopback *address*.

    Raises:
        ValueError: it wouldn't.
    """
    parts = urlsplit(uri)
    if parts.scheme == "https" and parts.hostname:
        return uri
    if parts.scheme == "http" and parts.hostname in _LOOPBACK_ADDRESSES:
        return uri
    raise ValueError(f"{uri!r} is not secure: use https, or http://127.0.0.1:PORT or http://[::1]:PORT")


class Etags(StrEnum):
    """What an app's catalogue reads have of validators."""

    HONOURED = "honoured"
    IGNORED = "ignored"
    ABSENT = "absent"


class Client(BaseModel):
    """An app of the developer dashboard. ``limit`` is in calls per rolling 30 seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    client_id: str = Field(min_length=1)
    secret: str = Field(min_length=1)
    name: str = "An app"
    regime: Regime = Regime.EXTENDED
    audio_features: bool | None = Field(None, description="Whether Spotify's own are open; None: by regime")
    limit: int = Field(300, ge=1)
    etags: Etags = Etags.HONOURED
    unchanged_is_free: bool = Field(
        False, description="Whether a 304 spares the limit; nobody knows if it does"
    )
    cover_limit: int = Field(60, ge=1)
    developer_account: str = ""
    redirect_uris: list[Annotated[str, AfterValidator(check_redirect_uri)]] = []
    rotate_refresh_tokens: bool = False
    owner_premium: bool = True

    @model_validator(mode="after")
    def _own_developer_account(self) -> Self:
        # An app that names none stands alone: its bans touch nobody else.
        if not self.developer_account:
            object.__setattr__(self, "developer_account", f"developer-of-{self.client_id}")
        return self

    @property
    def has_audio_features(self) -> bool:
        """Whether ``/audio-features`` answers this app."""
        return self.regime is Regime.EXTENDED if self.audio_features is None else self.audio_features


class User(BaseModel):
    """A Spotify user. ``clients`` are the apps that list the user; None means every app does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user_id: str = Field(min_length=1, pattern=r"^[^/\s:]+$")
    display_name: str = ""
    country: str = Field("DE", pattern=r"^[A-Z]{2}$")
    premium: bool = True
    clients: list[str] | None = None

    @property
    def account_id(self) -> str:
        """The key that never changes, unlike ``user_id``."""
        return f"acc{digest(f'account/{self.user_id}'):020d}"


class People:
    """Clients, users and bans."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.clients: dict[str, Client] = {}
        self.users: dict[str, User] = {}
        self._bans: dict[str, float] = {}
        self.reload()

    def reload(self) -> None:
        """Read everything from the database again."""
        rows = self._database.rows
        self.clients = {
            row["client_id"]: Client.model_validate_json(row["document"])
            for row in rows("SELECT * FROM clients")
        }
        self.users = {
            row["user_id"]: User.model_validate_json(row["document"])
            for row in rows("SELECT * FROM users ORDER BY rowid")
        }
        self._bans = {row["developer_account"]: row["until"] for row in rows("SELECT * FROM bans")}

    def save_client(self, client: Client) -> None:
        """Create or replace an app."""
        self._database.run(
            "INSERT OR REPLACE INTO clients VALUES (?, ?)", client.client_id, client.model_dump_json()
        )
        self.clients[client.client_id] = client

    def save_user(self, user: User) -> None:
        """Create or replace a user.

        Raises:
            ValueError: an app in development mode would list more than five users.
        """
        for client_id in user.clients or ():
            client = self.clients.get(client_id)
            listed = [
                u for u in self.users.values() if u.user_id != user.user_id and client_id in (u.clients or ())
            ]
            if client and client.regime is Regime.DEVELOPMENT and len(listed) >= _DEVELOPMENT_USERS:
                raise ValueError(
                    f"{client_id} is in development mode and lists {_DEVELOPMENT_USERS} users already."
                )
        self._database.run(
            "INSERT INTO users VALUES (?, ?) ON CONFLICT (user_id) DO UPDATE SET document = excluded.document",
            user.user_id,
            user.model_dump_json(),
        )
        self.users[user.user_id] = user

    def ban(self, developer_account: str, until: float) -> None:
        """Refuse all apps of ``developer_account`` until the simulated time ``until``; 0 lifts the ban."""
        self._database.run("INSERT OR REPLACE INTO bans VALUES (?, ?)", developer_account, until)
        self._bans[developer_account] = until

    def banned_until(self, developer_account: str) -> float:
        """The simulated time at which the ban ends; in the past where there is none."""
        return self._bans.get(developer_account, 0.0)

    def check_listed(self, client: Client, user: User) -> None:
        """Refuse a user who isn't on the app's list, and an app whose owner stopped paying.

        Raises:
            ApiError: 403, as Spotify words it.
        """
        if not client.owner_premium:
            raise ApiError(403, "Active premium subscription required for the owner of the app.")
        if user.clients is not None and client.client_id not in user.clients:
            raise ApiError(403, "User not registered in the Developer Dashboard")
