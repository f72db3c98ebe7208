"""Every setting of the product, typed; read once at an edge (CLI, resource, server) and passed down.

What belongs here: names, types, defaults and the checks that need nothing but the values themselves.
What does not: decisions about starting services (``services``) or clients built from settings (their rooms).

All variables start with ``SPOTIFY_PIPELINES_``; a ``.env`` file in the root of the checkout is read as well.
An exported variable wins over the file here, while Dagster's own command line lets the file win: that is why
``spotify-pipelines up`` refuses to go on where the two differ.
"""

import json
import os
import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values, load_dotenv
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from spotify_pipelines.errors import ExplainedError

__all__ = [
    "ENDPOINT_FAMILIES",
    "Settings",
    "SettingsError",
    "World",
    "export_dotenv",
    "find_root",
    "load_settings",
    "secrets_dir",
]


class SettingsError(ExplainedError, ValueError):
    """A setting is missing or contradicts another; the text names the variable and what to do."""


class World(StrEnum):
    """Where calls go: the simulator on this machine, or Spotify itself. Their data never mix."""

    SANDBOX = "sandbox"
    LIVE = "live"


ENDPOINT_FAMILIES = frozenset({"cover"})
"""Endpoints with a limit of their own; which they are, ``spotify.families`` says."""


_ADDRESS = re.compile(r"[^@\s,<>]+@[^@\s,<>]+")


def find_root(start: Path | None = None) -> Path:
    """The folder with ``workspace.yaml``: ``start`` (default: the working directory) or the nearest parent.

    Falls back to ``start`` itself, so that the command also works outside a checkout.
    """
    here = (start or Path.cwd()).resolve()
    return next((folder for folder in (here, *here.parents) if (folder / "workspace.yaml").is_file()), here)


class Settings(BaseSettings):
    """The product's settings. Times are in seconds, sizes in items, unless a name says otherwise."""

    model_config = SettingsConfigDict(
        env_prefix="SPOTIFY_PIPELINES_",
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    world: World = World.SANDBOX
    state_dir: Path = Field(
        default_factory=lambda: find_root() / ".state", description="Embedded services' data"
    )

    database_url: SecretStr | None = Field(
        None, description="postgresql+psycopg://… of this world's database"
    )
    redis_url: SecretStr | None = Field(None, description="redis://… ; holds only what may be lost")
    spotify_api_url: str | None = Field(None, description="Needed in the sandbox only, as are the next two")
    spotify_accounts_url: str | None = None
    reccobeats_url: str | None = None

    vault_keys: Annotated[list[SecretStr], NoDecode] = Field(
        default_factory=list,
        description="Fernet keys, separated by commas or line breaks; the first encrypts, all decrypt",
    )
    vault_keys_file: Path | None = Field(
        None, description="A file that holds the keys, in place of SPOTIFY_PIPELINES_VAULT_KEYS"
    )

    app_calls_per_30s: int | None = Field(
        None,
        ge=1,
        description="Calls of one app in 30 seconds, unless the app says otherwise; unset: found out",
    )
    family_calls_per_30s: Annotated[dict[str, Annotated[int, Field(ge=1)]], NoDecode] = Field(
        default_factory=dict,
        description='Calls of one app to a family of endpoints in 30 seconds, as JSON: {"cover": 10}; a family that '
        "is not named has no limit beside the app's",
    )
    developer_calls_per_30s: int | None = Field(
        None,
        ge=1,
        description="Calls of all apps of one developer account together in 30 seconds; unset: no limit",
    )
    max_processes: int = Field(
        4, ge=1, description="Processes that may call at once; each takes that part of a limit without Redis"
    )
    account_calls_per_30s: int = Field(60, ge=1, description="Calls of one account in 30 seconds")
    request_timeout: float = Field(20.0, gt=0)
    feature_sources: Annotated[list[str], NoDecode] = Field(
        default_factory=lambda: ["spotify", "reccobeats"], description="In order; 'csv:PATH' reads a file"
    )
    feature_retry_days: int = Field(
        14, ge=1, description="A missing feature is asked for again after so many days"
    )
    capability_days: int = Field(
        30, ge=1, description="What was found out about an app is tried again after so many days"
    )
    album_stale_days: int | None = Field(
        None, ge=1, description="Known albums are read again after so many days; by default never"
    )
    ingest_max_attempts: int = Field(5, ge=1, description="Tries until an album URL becomes a dead letter")
    max_parallel_accounts: int = Field(16, ge=1, description="Accounts worked on at once in one run")
    read_back_share: float = Field(
        0.1, ge=0, le=1, description="Part of the written playlists that is read back, to be sure"
    )
    web_host: str = Field("127.0.0.1", min_length=1, description="Where 'serve' listens")
    web_port: int = Field(3000, ge=0, le=65535, description="0: any that is free")
    web_hosts: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="Names under which browsers reach 'serve', comma separated, beside those of loopback",
    )
    web_token: SecretStr | None = Field(
        None, min_length=24, description="Asked of everybody; needed where 'serve' is not on loopback"
    )
    web_read_only: bool = Field(False, description="'serve' lets nobody change anything")
    alert_webhook_url: SecretStr | None = Field(
        None, description="https://… that takes Slack's JSON; whoever knows it may post there"
    )
    alert_email_to: Annotated[list[str], NoDecode] = Field(
        default_factory=list, description="Addresses, comma separated"
    )
    alert_email_from: str = Field("spotify-pipelines@localhost", pattern=r"^[^@\s,<>]+@[^@\s,<>]+$")
    alert_repeat_hours: int = Field(
        24, ge=1, description="The same incident is not told again within so long"
    )
    smtp_url: SecretStr | None = Field(
        None, description="smtps://user:password@host:465, or smtp://host:587, which encrypts if it can"
    )
    keep_runs_days: int = Field(
        14, ge=1, description="Runs of frequent jobs stay in Dagster so long; the newest ones in any case"
    )
    keep_calls_days: int = Field(90, ge=2, description="Counts of calls are kept so long")
    keep_metrics_days: int = Field(400, ge=2, description="Hourly snapshots of metrics are kept so long")
    keep_validators_days: int = Field(
        400,
        ge=1,
        description="What Spotify called the version of an answer is kept so long unconfirmed: over a year, for "
        "whoever reads all anew once a year",
    )
    log_format: str = Field("auto", pattern="^(auto|json|console)$")
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")

    @model_validator(mode="before")
    @classmethod
    def _keys_from_file(cls, values: Any) -> Any:
        file = values.get("vault_keys_file") if isinstance(values, dict) else None
        if not file:
            return values
        if values.get("vault_keys"):
            raise ValueError(
                "SPOTIFY_PIPELINES_VAULT_KEYS and SPOTIFY_PIPELINES_VAULT_KEYS_FILE are both set: which holds the "
                "keys? Move them all into one (where 'spotify-pipelines up' wrote the first into .env, run it again)."
            )
        try:
            return {**values, "vault_keys": Path(file).read_text(encoding="ascii")}
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it holds other signs than those of keys"
            raise ValueError(f"SPOTIFY_PIPELINES_VAULT_KEYS_FILE ({file}) can't be read: {why}.") from None

    @field_validator("vault_keys", "feature_sources", "web_hosts", "alert_email_to", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        parts = re.split(r"[,\n]", value) if isinstance(value, str) else None
        return value if parts is None else [part.strip() for part in parts if part.strip()]

    @field_validator("family_calls_per_30s", mode="before")
    @classmethod
    def _read_json(cls, value: object) -> object:
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError:
            raise ValueError('write it as JSON: {"cover": 10}') from None

    @field_validator("family_calls_per_30s")
    @classmethod
    def _known_families(cls, value: dict[str, int]) -> dict[str, int]:
        if unknown := sorted(value.keys() - ENDPOINT_FAMILIES):
            known = ", ".join(sorted(ENDPOINT_FAMILIES))
            raise ValueError(f"there is no family of endpoints {', '.join(unknown)}; there are: {known}")
        return value

    @field_validator("alert_email_to")
    @classmethod
    def _addresses(cls, value: list[str]) -> list[str]:
        if not all(_ADDRESS.fullmatch(address) for address in value):
            raise ValueError("write e-mail addresses alone, comma separated: ops@example.com,ann@example.com")
        return value

    @field_validator("alert_webhook_url", "smtp_url")
    @classmethod
    def _alert_urls(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        schemes = ("http", "https") if info.field_name == "alert_webhook_url" else ("smtp", "smtps")
        if value is not None and not _is_url(value.get_secret_value(), schemes):
            raise ValueError(f"write {schemes[1]}://…, with special signs percent-encoded")
        return value

    @model_validator(mode="after")
    def _mail_has_a_server(self) -> Self:
        if self.alert_email_to and self.smtp_url is None:
            raise ValueError(
                "SPOTIFY_PIPELINES_ALERT_EMAIL_TO is set, but no server that takes e-mail: set "
                "SPOTIFY_PIPELINES_SMTP_URL (smtps://user:password@host:465) as well."
            )
        return self

    @model_validator(mode="after")
    def _one_world_one_host(self) -> Self:
        for name in ("spotify_api_url", "spotify_accounts_url"):
            url = getattr(self, name)
            if url is not None and (self.world is World.LIVE) != _is_spotify(url):
                whose = "Spotify's own" if _is_spotify(url) else "not Spotify's"
                raise ValueError(
                    f"SPOTIFY_PIPELINES_{name.upper()} names a host that is {whose}, but "
                    f"SPOTIFY_PIPELINES_WORLD is '{self.world.value}': an account of one world is never "
                    "called in the other. Change one of the two variables."
                )
        return self

    @property
    def key_prefix(self) -> str:
        """Prefix of every Redis key: two worlds on one server never share a limiter."""
        return f"spotify_pipelines:{self.world.value}:"

    def require_spotify_api_url(self) -> str:
        """Base URL of the Web API, without a slash at the end (``…/v1``).

        Raises:
            SettingsError: the sandbox has no simulator configured.
        """
        return self._service(self.spotify_api_url, "SPOTIFY_API_URL", "https://api.spotify.com/v1")

    def require_spotify_accounts_url(self) -> str:
        """Base URL of the accounts service (authorize, token), without a slash at the end.

        Raises:
            SettingsError: the sandbox has no simulator configured.
        """
        return self._service(
            self.spotify_accounts_url, "SPOTIFY_ACCOUNTS_URL", "https://accounts.spotify.com"
        )

    def require_reccobeats_url(self) -> str:
        """Base URL of ReccoBeats' API, without a slash at the end.

        Raises:
            SettingsError: the sandbox has no simulator configured.
        """
        return self._service(self.reccobeats_url, "RECCOBEATS_URL", "https://api.reccobeats.com/v1")

    def _service(self, url: str | None, variable: str, live: str) -> str:
        if url is None and self.world is World.LIVE:
            return live
        if url is None:
            raise SettingsError(
                f"SPOTIFY_PIPELINES_{variable} is not set and the world is 'sandbox'. Run "
                "'spotify-pipelines up', which starts the simulator, or set SPOTIFY_PIPELINES_WORLD=live "
                "to work with Spotify itself."
            )
        return url.rstrip("/")

    def require_database_url(self) -> str:
        """The database's URL in clear.

        Raises:
            SettingsError: none is configured; says how to get one.
        """
        return _require(self.database_url, "SPOTIFY_PIPELINES_DATABASE_URL", "postgresql+psycopg://…")

    def require_redis_url(self) -> str:
        """Redis' URL in clear.

        Raises:
            SettingsError: none is configured, or it can't be read; says how to get or write one.
        """
        url = _require(self.redis_url, "SPOTIFY_PIPELINES_REDIS_URL", "redis://…")
        if not _is_redis(url):
            raise SettingsError(
                "SPOTIFY_PIPELINES_REDIS_URL is not an address of Redis: write redis://:password@host:6379/0 "
                "(or rediss://, unix://), with special signs percent-encoded."
            )
        return url


def _is_spotify(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == "spotify.com" or host.endswith(".spotify.com")


def _is_redis(url: str) -> bool:
    return _is_url(url, ("redis", "rediss", "unix"), needs_host=False)


def _is_url(url: str, schemes: Sequence[str], *, needs_host: bool = True) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and (parts.port or 1) > 0 and (bool(parts.hostname) or not needs_host)
    except ValueError:  # the port
        return False


def _require(value: SecretStr | None, variable: str, shape: str) -> str:
    if value is None:
        raise SettingsError(
            f"{variable} is not set. Run 'spotify-pipelines up' for embedded services, "
            f"or name a server of your own ({shape})."
        )
    return value.get_secret_value()


def secrets_dir(dotenv: Path) -> str | None:
    """The folder of secrets, if one is named; outside of ``Settings``, which has to know it before it is made."""
    name = "SPOTIFY_PIPELINES_SECRETS_DIR"
    folder = os.environ.get(name) or dotenv_values(dotenv).get(name)
    if folder and not Path(folder).is_dir():
        raise SettingsError(f"{name} names {folder}, which is no folder. Correct it, or unset it.")
    return folder or None


def load_settings(root: Path | None = None) -> Settings:
    """Read settings from the environment, from ``<root>/.env`` and from ``SPOTIFY_PIPELINES_SECRETS_DIR``.

    The last is a folder with a file for each secret, named as the variable in small letters
    (``spotify_pipelines_vault_keys``), as container platforms mount them. Where several say a thing, they count in
    this order.

    Raises:
        SettingsError: a value is out of range or contradicts another; one line per variable, values hidden.
    """
    dotenv = (root or find_root()) / ".env"
    try:
        return Settings(_env_file=dotenv, _secrets_dir=secrets_dir(dotenv))
    except ValidationError as error:
        lines = [
            f"SPOTIFY_PIPELINES_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}"
            if e["loc"]
            else str(e["msg"])
            for e in error.errors(include_input=False, include_url=False)
        ]
        raise SettingsError("\n".join(lines)) from None


def export_dotenv(root: Path | None = None) -> None:
    """Export what ``<root>/.env`` says, for libraries that read the environment; an exported variable wins."""
    load_dotenv((root or find_root()) / ".env", override=False)
