"""scripts/bootstrap says in a sentence what a machine lacks, and believes in no half-made environment."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spotify_pipelines_tests.services.conftest import REPOSITORY

TOOLS = ("sh", "dirname", "sed", "cksum", "cat", "head", "uname", "mkdir", "rm", "find")


@pytest.fixture
def checkout_with_a_space(tmp_path: Path) -> Path:
    """A checkout without an environment, and a folder ``bin`` with the few tools that every machine has."""
    root = tmp_path / "a checkout"
    (root / "scripts").mkdir(parents=True)
    shutil.copy(REPOSITORY / "scripts" / "bootstrap", root / "scripts")
    (root / "requirements.lock").write_text("nothing==1\n")
    (root / "pyproject.toml").write_text("")
    tools = root / "bin"
    tools.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found
        (tools / name).symlink_to(found)
    return root


def program(root: Path, name: str, script: str) -> None:
    file = root / "bin" / name
    file.unlink(missing_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def bootstrap(root: Path, **exported: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["/bin/sh", "scripts/bootstrap"],
        cwd=root,
        env={"PATH": str(root / "bin"), **exported},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_python_it_says_which_and_how_to_get_it(checkout_with_a_space: Path) -> None:
    done = bootstrap(checkout_with_a_space)
    assert done.returncode == 1
    assert "Python 3.11, 3.12 or 3.13 is missing" in done.stderr
    assert "apt-get install python3" in done.stderr


def test_shims_that_fail_and_old_versions_are_passed_over(checkout_with_a_space: Path) -> None:
    program(checkout_with_a_space, "python3.13", "echo 'pyenv: python3.13: command not found' >&2; exit 127")
    program(checkout_with_a_space, "python3", "echo 3.10")
    done = bootstrap(checkout_with_a_space)
    assert done.returncode == 1
    assert "found: python3 is 3.10" in done.stderr
    assert "pyenv" not in done.stderr


def test_a_python_without_venv_is_told_the_package_of_its_version(checkout_with_a_space: Path) -> None:
    program(
        checkout_with_a_space,
        "python3.12",
        'case "$2" in *version_info*) echo 3.12;; *confstr*) echo "glibc 2.36";; *) exit 1;; esac',
    )
    done = bootstrap(checkout_with_a_space)
    assert done.returncode == 1
    assert "apt-get install python3.12-venv" in done.stderr


@pytest.mark.parametrize(
    ("libc", "sentence"), [("None", "has no glibc (musl"), ("glibc 2.27", "glibc 2.27 is too old")]
)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no glibc")
def test_a_linux_whose_c_library_does_not_do_is_refused(
    checkout_with_a_space: Path, libc: str, sentence: str
) -> None:
    program(
        checkout_with_a_space,
        "python3.12",
        f'case "$2" in *version_info*) echo 3.12;; *confstr*) echo "{libc}";; esac',
    )
    done = bootstrap(checkout_with_a_space)
    assert done.returncode == 1
    assert sentence in done.stderr


def test_another_platform_is_refused_by_name(checkout_with_a_space: Path) -> None:
    program(checkout_with_a_space, "python3.12", "echo 3.12")
    program(checkout_with_a_space, "uname", '[ "$1" = -s ] && echo FreeBSD || echo amd64')
    done = bootstrap(checkout_with_a_space)
    assert done.returncode == 1
    assert "FreeBSD on amd64" in done.stderr


def test_an_interrupted_installation_is_begun_anew_and_a_whole_one_is_left_alone(
    checkout_with_a_space: Path,
) -> None:
    """With a Python that makes environments of shell scripts: what is asked is the order of things."""
    root = checkout_with_a_space
    inner = 'case "$*" in *"pip install"*) echo "$*" >>installed; [ ! -e fail ];; esac'
    program(
        root,
        "python3.12",
        f"""
case "$*" in
    *version_info*) echo 3.12;;
    *confstr*) echo "glibc 2.36";;
    *"import venv"*) ;;
    *fcntl*) exec sh scripts/bootstrap;;
    "-m venv "*)
        mkdir -p .venv/bin
        echo "version = 3.12.1" >.venv/pyvenv.cfg
        cat >.venv/bin/python <<'END'
#!/bin/sh
{inner}
END
        {shutil.which("chmod")} +x .venv/bin/python
        echo made >>installed;;
esac""",
    )
    log = root / "installed"
    (root / "fail").touch()
    assert bootstrap(root).returncode != 0
    assert log.read_text().count("made") == 1
    (root / ".venv" / "leftover").touch()

    (root / "fail").unlink()
    assert bootstrap(root).returncode == 0
    assert log.read_text().count("made") == 2
    assert not (root / ".venv" / "leftover").exists()
    assert "--require-hashes" in log.read_text()

    before = log.read_text()
    assert bootstrap(root).returncode == 0
    assert log.read_text() == before

    (root / "requirements.lock").write_text("nothing==2\n")
    assert bootstrap(root).returncode == 0
    assert log.read_text().count("made") == 2
    assert log.read_text() != before

    moved = root.with_name("moved")
    root.rename(moved)
    assert bootstrap(moved).returncode == 0
    assert (moved / "installed").read_text().count("made") == 3


def test_help_lists_every_target() -> None:
    make = shutil.which("make")
    if not make:
        pytest.skip("no make on this machine")
    done = subprocess.run([make, "-s"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for target in ("demo", "test", "dev", "check", "format", "e2e", "bench", "lock", "clean"):
        assert f"make {target} " in done.stdout
