"""Which embedded services this machine needs, and starting, stopping and showing them together.

What belongs here: the decision (a server of the user's own is never doubled), the order, and what ``.env``
then says. What does not: how one service works (``supervisor`` and below), or migrations (``store``).
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr, ValidationError

from spotify_pipelines.services.dagster_home import refresh_dagster_home
from spotify_pipelines.services.dotenv import DotEnv
from spotify_pipelines.services.errors import ServiceError
from spotify_pipelines.services.files import locked, make_folder
from spotify_pipelines.services.postgres import SUPERUSER, Postgres
from spotify_pipelines.services.simulator import Simulator
from spotify_pipelines.services.supervisor import LOOPBACK, Record, Service, ServiceStatus
from spotify_pipelines.services.valkey import Valkey
from spotify_pipelines.services.vault_key import kept_vault_key
from spotify_pipelines.settings import Settings, SettingsError, World, find_root, secrets_dir

__all__ = ["Endpoints", "PostgresEndpoint", "down", "purge", "settings_for", "start", "status", "up"]

DAGSTER_DATABASE = "dagster"

_PREFIX = "SPOTIFY_PIPELINES_"
_DAGSTER_POSTGRES = tuple(f"DAGSTER_POSTGRES_{part}" for part in ("HOST", "PORT", "USER", "PASSWORD", "DB"))


@dataclass(frozen=True, slots=True)
class PostgresEndpoint:
    """Where the embedded PostgreSQL is."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)

    def url(self, database: str) -> str:
        """SQLAlchemy's URL of one of its databases."""
        return f"postgresql+psycopg://{self.user}:{self.password}@{self.host}:{self.port}/{database}"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The embedded services that run, and why others don't."""

    postgres: PostgresEndpoint | None
    redis_url: str | None = field(repr=False)
    simulator_url: str | None
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Name of a service that was not started → why."""
    notes: Sequence[str] = ()
    """Lines the user should see."""


def settings_for(root: Path, world: World | None = None) -> Settings:
    """The settings with which ``up`` begins: what the user configured, without what an earlier ``up`` wrote.

    The world is ``world``, else the user's, else that of the last ``up``.

    Raises:
        SettingsError: a value is wrong, or ``world`` contradicts what the user configured.
        ServiceError: ``.env`` can't be read.
    """
    file = DotEnv.read(root / ".env")
    own = {name.upper(): value for name, value in file.own.items()}
    exported = {name: value for name, value in os.environ.items() if file.block.get(name) != value}
    configured = own.get(f"{_PREFIX}WORLD") or exported.get(f"{_PREFIX}WORLD")
    if world and configured and configured != world:
        raise SettingsError(
            f"--world {world} contradicts SPOTIFY_PIPELINES_WORLD, which is set to '{configured}' "
            f"({'in .env' if f'{_PREFIX}WORLD' in own else 'exported'}). Change one of the two."
        )
    chosen = world or configured or file.block.get(f"{_PREFIX}WORLD") or World.SANDBOX
    values: dict[str, Any] = {
        name.removeprefix(_PREFIX).lower(): value for name, value in own.items() if name.startswith(_PREFIX)
    }
    values.setdefault("state_dir", exported.get(f"{_PREFIX}STATE_DIR", ".state"))
    values["state_dir"] = str((root / values["state_dir"]).resolve())
    try:
        return Settings(
            _env_file=None, _secrets_dir=secrets_dir(root / ".env"), **{**values, "world": chosen}
        )
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        names = ["".join(f"{_PREFIX}{part}: ".upper() for part in e["loc"][:1]) for e in found]
        raise SettingsError(
            "\n".join(f"{name}{e['msg']}" for name, e in zip(names, found, strict=True))
        ) from None


def start(
    settings: Settings,
    *,
    skipped: Mapping[str, str] | None = None,
    catalogue: Path | None = None,
    albums: int | None = None,
    seed: int | None = None,
    throwaway: bool = False,
) -> Endpoints:
    """Start the embedded services that aren't in ``skipped`` (name → why), without touching ``.env``.

    Args:
        catalogue: CSV the simulator reads; or
        albums, seed: size and seed of a catalogue it makes up. Without any, it keeps the one it has.
        throwaway: the data may be lost with the machine's power; faster.

    Raises:
        ServiceError: a service can't be started.
    """
    skipped = skipped or {}
    databases = [DAGSTER_DATABASE, *(database_name(world) for world in World)]
    postgres = Postgres(settings.state_dir, databases=databases, throwaway=throwaway)
    redis = Valkey(settings.state_dir)
    simulator = Simulator(settings.state_dir, catalogue=catalogue, albums=albums, seed=seed)
    wanted: list[Service] = [each for each in (postgres, redis, simulator) if each.name not in skipped]
    running = _start_together(wanted)
    pg, valkey, spotify = (running.get(each.name) for each in (postgres, redis, simulator))
    return Endpoints(
        postgres=PostgresEndpoint(LOOPBACK, pg.port, SUPERUSER, postgres.password) if pg else None,
        redis_url=redis.url(valkey.port) if valkey else None,
        simulator_url=f"http://{LOOPBACK}:{spotify.port}" if spotify else None,
        skipped=skipped,
        notes=[note for each in wanted for note in each.notes],
    )


def up(
    settings: Settings,
    *,
    root: Path | None = None,
    catalogue: Path | None = None,
    albums: int | None = None,
    seed: int | None = None,
) -> Endpoints:
    """Start what is needed and not configured otherwise, and write the block into ``<root>/.env``.

    Safe to repeat, and to call from several processes at once. ``root`` is the checkout (default: found from
    the working directory); see ``start`` for the other arguments.

    Raises:
        ServiceError: a service can't be started, or an exported variable differs from ``.env``.
    """
    root = root or find_root()
    make_folder(settings.state_dir, 0o711)
    file = DotEnv.read(root / ".env")
    _refuse(file, file.contradictions({"SPOTIFY_PIPELINES_WORLD": settings.world.value}))
    skipped = _not_needed(settings, file.block)
    _require_own_key(settings, file, skipped)
    try:
        endpoints = start(settings, skipped=skipped, catalogue=catalogue, albums=albums, seed=seed)
    except PermissionError as error:
        raise ServiceError(
            f"{error}. The services in {settings.state_dir} belong to another user: work as that user, or "
            "name another folder in SPOTIFY_PIPELINES_STATE_DIR."
        ) from error
    dagster_home = refresh_dagster_home(settings.state_dir, root)
    with locked(settings.state_dir / "dotenv.lock"):
        file = DotEnv.read(root / ".env")
        block = _block(settings, endpoints, dagster_home, file)
        _refuse(file, file.contradictions(block))
        file.write(block)
    return endpoints


def down(settings: Settings) -> list[str]:
    """Stop what runs, the simulator first; names of the services that were running. Data and ports stay.

    Raises:
        ServiceError: a server belongs to another user.
    """
    try:
        return [each.title for each in reversed(_services(settings.state_dir)) if each.stop()]
    except PermissionError as error:
        raise ServiceError(f"{error}: stop it as that user.") from error


def status(settings: Settings) -> list[ServiceStatus]:
    """The state of the embedded services; the note of one that isn't needed here says why."""
    skipped = _not_needed(settings, {})
    return [replace(each.status(), note=skipped.get(each.name, "")) for each in _services(settings.state_dir)]


def purge(settings: Settings, root: Path | None = None) -> list[str]:
    """Stop the services and delete all they keep, and the block in ``.env``; names of those that were running.

    Only what the services made is deleted: the state folder may hold files of the user's.

    Raises:
        ServiceError: a server can't be stopped; nothing is deleted then.
    """
    state = settings.state_dir
    stopped = down(settings)
    Postgres(state, databases=[]).remove_data()
    for name in (Valkey.name, Simulator.name, "dagster"):
        shutil.rmtree(state / name, ignore_errors=True)
    for file in (state / "vault.key", *state.glob("*.lock")):
        file.unlink(missing_ok=True)
    if state.is_dir() and not any(state.iterdir()):
        state.rmdir()
    DotEnv.read((root or find_root()) / ".env").remove_block()
    return stopped


def database_name(world: World) -> str:
    """The database of a world: they never share one."""
    return f"spotify_pipelines_{world.value}"


def _services(state_dir: Path) -> list[Service]:
    return [Postgres(state_dir, databases=[]), Valkey(state_dir), Simulator(state_dir)]


def _start_together(services: Sequence[Service]) -> dict[str, Record]:
    with ThreadPoolExecutor(max_workers=len(services) or 1) as pool:
        futures = {each.name: pool.submit(each.ensure) for each in services}
    return {name: future.result() for name, future in futures.items()}


def _not_needed(settings: Settings, block: Mapping[str, str]) -> dict[str, str]:
    """Services that must not start, and why: the user names a server, or the world is the real one."""
    skipped = {}
    for service, fields in (
        (Postgres.name, ("database_url",)),
        (Valkey.name, ("redis_url",)),
        (Simulator.name, ("spotify_api_url", "spotify_accounts_url")),
    ):
        foreign = [name for name in fields if _is_foreign(settings, name, block)]
        if foreign:
            skipped[service] = f"{_PREFIX}{foreign[0].upper()} names a server of your own"
    if settings.world is not World.SANDBOX:
        skipped.setdefault(Simulator.name, f"the world is '{settings.world.value}'")
    return skipped


def _is_foreign(settings: Settings, name: str, block: Mapping[str, str]) -> bool:
    """Whether the user configured this setting: it has a value, and not the one an earlier ``up`` wrote."""
    value = getattr(settings, name)
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return value is not None and value != block.get(f"{_PREFIX}{name.upper()}")


def _block(settings: Settings, endpoints: Endpoints, dagster_home: Path, file: DotEnv) -> dict[str, str]:
    """What ``.env`` must say so that every tool finds this world's services."""
    block = {"DAGSTER_HOME": str(dagster_home), **_dagster_storage(settings, endpoints)}
    block[f"{_PREFIX}WORLD"] = settings.world.value
    if endpoints.postgres:
        block[f"{_PREFIX}DATABASE_URL"] = endpoints.postgres.url(database_name(settings.world))
    if endpoints.redis_url:
        block[f"{_PREFIX}REDIS_URL"] = endpoints.redis_url
    if endpoints.simulator_url:
        block[f"{_PREFIX}SPOTIFY_API_URL"] = f"{endpoints.simulator_url}/v1"
        block[f"{_PREFIX}SPOTIFY_ACCOUNTS_URL"] = endpoints.simulator_url
        block[f"{_PREFIX}RECCOBEATS_URL"] = f"{endpoints.simulator_url}/reccobeats/v1"
    vault_keys = f"{_PREFIX}VAULT_KEYS"
    configured = ",".join(key.get_secret_value() for key in settings.vault_keys)
    if configured in ("", file.block.get(vault_keys)):
        block[vault_keys] = kept_vault_key(settings.state_dir, file.block.get(vault_keys))
    return block


def _require_own_key(settings: Settings, file: DotEnv, skipped: Mapping[str, str]) -> None:
    """In production nobody makes a key in passing: one on this machine's disk alone is lost with it.

    Raises:
        SettingsError: real accounts on a server of the user's own, and no key of the user's own.
    """
    name = f"{_PREFIX}VAULT_KEYS"
    configured = ",".join(key.get_secret_value() for key in settings.vault_keys)
    if settings.world is World.LIVE and Postgres.name in skipped and configured in ("", file.block.get(name)):
        kept = settings.state_dir / "vault.key"
        known = f" An earlier key is in {kept}: take that one." if kept.exists() or name in file.block else ""
        raise SettingsError(
            f"{name} is not set. With real accounts on a server of your own, the key that encrypts their tokens is "
            f"yours to make and keep: 'spotify-pipelines keys new' prints one. Put it into {name}, or into a file "
            f"that {name}_FILE names, apart from the database and its backups.{known}"
        )


def _dagster_storage(settings: Settings, endpoints: Endpoints) -> dict[str, str]:
    """Dagster's own database: on the embedded server, or beside the product's on the user's server."""
    if endpoints.postgres:
        server = endpoints.postgres
        values = (server.host, str(server.port), server.user, server.password, DAGSTER_DATABASE)
        return dict(zip(_DAGSTER_POSTGRES, values, strict=True))
    url = urlsplit(settings.require_database_url())
    try:
        place = (url.hostname or "", str(url.port or 5432))
    except ValueError:  # its text may hold a part of the password
        raise SettingsError(
            f"{_PREFIX}DATABASE_URL has a port that is no number. A password with one of / ? # : @ needs it "
            "percent-encoded (%2F for /)."
        ) from None
    login = (unquote(url.username or ""), unquote(url.password or ""))
    derived = dict(zip(_DAGSTER_POSTGRES, (*place, *login, DAGSTER_DATABASE), strict=True))
    # With a server of their own, users may well have named Dagster's database too.
    return {name: value for name, value in derived.items() if os.environ.get(name, value) == value}


def _refuse(file: DotEnv, contradictions: Sequence[str]) -> None:
    if contradictions:
        names = ", ".join(contradictions)
        raise ServiceError(
            f"{names}: exported with another value than {file.path} has or would get. Dagster's tools take "
            "the file's, others the exported one: they would work on different servers. Unset what is "
            f"exported (unset {' '.join(contradictions)}), or make the two equal."
        )
