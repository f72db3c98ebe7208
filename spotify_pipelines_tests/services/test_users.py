"""Root, ordinary users, and folders that others can't enter."""

import multiprocessing
import os
import pwd
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from spotify_pipelines import services
from spotify_pipelines_tests.services.conftest import NO_SIMULATOR, settings_in

# Python 3.12 and later warn of any fork beside a thread; this child only becomes somebody else and starts servers.
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def private_folder() -> Iterator[Path]:
    """A checkout in a folder that only its owner can enter."""
    outer = Path(tempfile.mkdtemp(prefix="private-"))
    root = outer / "checkout"
    root.mkdir()
    yield root
    services.purge(settings_in(root), root)
    shutil.rmtree(outer)


def start_and_ask(root: Path) -> dict[str, services.ServiceStatus]:
    endpoints = services.start(settings_in(root), skipped=NO_SIMULATOR, throwaway=True)
    assert endpoints.postgres
    with psycopg.connect(endpoints.postgres.url("dagster").replace("+psycopg", "")) as connection:
        connection.execute("SELECT 1")
    return {each.name: each for each in services.status(settings_in(root)) if each.running}


def as_user(uid: int, work: Callable[[Path], object], root: Path) -> None:
    """Run ``work(root)`` as another user. Forked, not executed: Python itself may lie where they can't enter."""
    ours, theirs = multiprocessing.Pipe()

    def run() -> None:
        try:
            os.setgroups([])
            os.setgid(pwd.getpwuid(uid).pw_gid)
            os.setuid(uid)
            os.chdir("/")
            work(root)
            theirs.send("")
        except BaseException:
            theirs.send(traceback.format_exc())

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    theirs.close()
    complaint = ours.recv() if ours.poll(60) else "no answer"
    process.join(10)
    assert complaint == ""


def test_an_ordinary_user_in_a_private_folder_keeps_the_data_there(private_folder: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("see the tests for root")
    running = start_and_ask(private_folder)
    assert all(each.data_dir.is_relative_to(private_folder) for each in running.values())


@as_root
def test_root_hands_postgres_to_somebody_without_rights(checkout: Path) -> None:
    running = start_and_ask(checkout)
    assert psutil.Process(running["postgres"].pid).username() == "nobody"
    assert running["postgres"].data_dir.is_relative_to(checkout.resolve())


@as_root
def test_in_a_private_folder_of_roots_the_data_go_elsewhere_and_no_folder_is_opened(
    private_folder: Path,
) -> None:
    start_and_ask(private_folder)
    services.down(settings_in(private_folder))
    place = start_and_ask(private_folder)["postgres"].data_dir
    assert not place.is_relative_to(private_folder.parent)
    assert private_folder.parent.stat().st_mode & 0o777 == 0o700
    assert (place / "password").stat().st_mode & 0o777 == 0o600
    assert (place / "data").stat().st_mode & 0o777 == 0o700

    services.purge(settings_in(private_folder), private_folder)

    assert not place.exists()
    assert not (private_folder / ".state").exists()


@as_root
def test_an_ordinary_user_runs_everything_as_themselves(checkout: Path) -> None:
    import psycopg.pq  # noqa: F401 - loaded before the rights to read it may be gone

    uid = pwd.getpwnam("nobody").pw_uid
    os.chown(checkout, uid, -1)

    def work(root: Path) -> None:
        running = start_and_ask(root)
        owners = {psutil.Process(each.pid).uids().real for each in running.values()}
        assert owners == {uid}
        assert services.down(settings_in(root)) == ["Redis (Valkey)", "PostgreSQL"]

    as_user(uid, work, checkout)


@as_root
def test_root_goes_on_with_a_users_data_as_that_user(checkout: Path) -> None:
    uid = pwd.getpwnam("daemon").pw_uid
    os.chown(checkout, uid, -1)

    def work(root: Path) -> None:
        start_and_ask(root)
        services.down(settings_in(root))

    as_user(uid, work, checkout)
    running = start_and_ask(checkout)
    assert psutil.Process(running["postgres"].pid).uids().real == uid
