"""The block in ``.env``: the user's lines stay theirs, and no tool reads another value than the others."""

from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import given
from hypothesis import strategies as st

from spotify_pipelines.services.dotenv import DotEnv
from spotify_pipelines.services.errors import ServiceError

OWN = "# mine\nSPOTIFY_TOKEN=abc # kept\r\n\nOTHER='x y'\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def write(file: Path, **values: str) -> None:
    DotEnv.read(file).write(values)


def test_the_block_is_written_below_the_users_lines_which_stay_byte_for_byte(file: Path) -> None:
    file.write_bytes(OWN.encode())
    write(file, DAGSTER_HOME="/a b")
    assert file.read_bytes().startswith(OWN.encode())
    assert dotenv_values(file)["DAGSTER_HOME"] == "/a b"


def test_lines_above_and_below_keep_their_place_when_the_block_changes(file: Path) -> None:
    write(file, DAGSTER_HOME="/a")
    file.write_text(f"ABOVE=1\n{file.read_text()}BELOW=2\n")
    write(file, DAGSTER_HOME="/b")
    text = file.read_text()
    assert text.index("ABOVE=1") < text.index("DAGSTER_HOME='/b'") < text.index("BELOW=2")
    assert text.count("DAGSTER_HOME") == 1


def test_writing_the_same_again_does_not_touch_the_file(file: Path) -> None:
    write(file, DAGSTER_HOME="/a")
    before = file.stat()
    write(file, DAGSTER_HOME="/a")
    assert file.stat().st_ino == before.st_ino
    assert file.stat().st_mtime_ns == before.st_mtime_ns


def test_only_the_owner_reads_it_even_where_it_was_open_before(file: Path) -> None:
    file.write_text("A=1\n")
    file.chmod(0o644)
    write(file, DAGSTER_HOME="/a")
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_last_line_without_an_end_is_not_glued_to_the_block(file: Path) -> None:
    file.write_text("A=1")
    write(file, DAGSTER_HOME="/a")
    assert dotenv_values(file) == {"A": "1", "DAGSTER_HOME": "/a"}


def test_a_variable_that_the_user_sets_is_left_to_the_user(file: Path) -> None:
    file.write_text("DAGSTER_HOME=/mine\n")
    write(file, DAGSTER_HOME="/ours", DAGSTER_POSTGRES_PORT="1")
    assert dotenv_values(file) == {"DAGSTER_HOME": "/mine", "DAGSTER_POSTGRES_PORT": "1"}


def test_removing_the_block_leaves_what_the_user_wrote(file: Path) -> None:
    file.write_bytes(OWN.encode())
    write(file, DAGSTER_HOME="/a")
    DotEnv.read(file).remove_block()
    assert file.read_bytes() == OWN.encode()


def test_a_file_that_held_the_block_alone_goes_away_with_it(file: Path) -> None:
    write(file, DAGSTER_HOME="/a")
    DotEnv.read(file).remove_block()
    assert not file.exists()
    DotEnv.read(file).remove_block()


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"])).filter(lambda value: "${" not in value))
def test_every_value_is_read_as_it_was_written(value: str) -> None:
    import io

    from spotify_pipelines.services import dotenv

    text = f"A={dotenv._quote('A', value)}\n"
    assert dotenv_values(stream=io.StringIO(text)) == {"A": value}


@pytest.mark.parametrize("value", ["/a${HOME}", "a\nb"])
def test_a_value_that_tools_would_read_differently_is_refused_by_name(file: Path, value: str) -> None:
    with pytest.raises(ServiceError, match="DAGSTER_HOME"):
        write(file, DAGSTER_HOME=value)
    assert not file.exists()


@pytest.mark.parametrize("damage", ["# >>> spotify-pipelines up >>>\n", "# <<< spotify-pipelines up <<<\n"])
def test_damaged_marks_are_refused_with_their_line(file: Path, damage: str) -> None:
    file.write_text(f"A=1\n{damage}B=2\n")
    with pytest.raises(ServiceError, match="line 2"):
        DotEnv.read(file)


def test_a_file_that_is_no_text_is_refused(file: Path) -> None:
    file.write_bytes(b"A=\xff\n")
    with pytest.raises(ServiceError, match="UTF-8"):
        DotEnv.read(file)


def test_exported_values_that_differ_are_named_and_equal_ones_are_not(file: Path) -> None:
    file.write_text("SPOTIFY_PIPELINES_LOG_LEVEL=INFO\nEDITOR=vi\n")
    exported = {
        "SPOTIFY_PIPELINES_LOG_LEVEL": "DEBUG",
        "DAGSTER_HOME": "/elsewhere",
        "SPOTIFY_PIPELINES_WORLD": "sandbox",
        "EDITOR": "emacs",
    }
    block = {"DAGSTER_HOME": "/a", "SPOTIFY_PIPELINES_WORLD": "sandbox"}
    found = DotEnv.read(file).contradictions(block, exported)
    assert found == ["DAGSTER_HOME", "SPOTIFY_PIPELINES_LOG_LEVEL"]
