"""The marked block in ``.env`` through which every tool started in the checkout finds the services.

What belongs here: reading and rewriting the block, the user's own lines around it, and noticing where an
exported variable says something else. What does not: which variables there are (``embedded``).

Dagster's command line lets ``.env`` win over exported variables, pydantic-settings the reverse: where the two
differ, half the tools would work on one database and half on another. So that is refused.
"""

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from spotify_pipelines.services.errors import ServiceError
from spotify_pipelines.services.files import replace_file

__all__ = ["DotEnv"]

_BEGIN = "# >>> spotify-pipelines up >>>"
_END = "# <<< spotify-pipelines up <<<"
_EXPLANATION = (
    "# Rewritten by each 'spotify-pipelines up'. Lines of your own go above or below; they are kept."
)
_OURS = ("SPOTIFY_PIPELINES_", "DAGSTER_")


@dataclass(frozen=True, slots=True)
class DotEnv:
    """One ``.env`` as it was read: the block's values and the lines that are the user's."""

    path: Path
    block: Mapping[str, str]
    before: str
    """The user's text above the block; all of it where there is no block."""
    after: str

    @classmethod
    def read(cls, path: Path) -> "DotEnv":
        """Read ``path``; an absent file is an empty one.

        Raises:
            ServiceError: it isn't text in UTF-8, or the block's marks are damaged.
        """
        try:
            lines = path.read_bytes().decode("utf-8").splitlines(keepends=True)
        except FileNotFoundError:
            lines = []
        except UnicodeDecodeError:
            raise ServiceError(f"{path} is not text in UTF-8; save it as such, or move it away.") from None
        marks = [
            (number, line.strip()) for number, line in enumerate(lines) if line.strip() in (_BEGIN, _END)
        ]
        if not marks:
            return cls(path, {}, "".join(lines), "")
        if [mark for _, mark in marks] != [_BEGIN, _END]:
            where = ", ".join(str(number + 1) for number, _ in marks)
            raise ServiceError(
                f"The marks of the block that 'spotify-pipelines up' keeps in {path} are damaged "
                f"(line {where}): there must be one '{_BEGIN}' and below it one '{_END}'. "
                "Delete the block; it is written anew."
            )
        (begin, _), (end, _) = marks
        return cls(path, _parse("".join(lines[begin:end])), "".join(lines[:begin]), "".join(lines[end + 1 :]))

    @property
    def own(self) -> dict[str, str]:
        """The variables that the user's own lines set."""
        return _parse(self.before + self.after)

    def contradictions(self, block: Mapping[str, str], environ: Mapping[str, str] | None = None) -> list[str]:
        """Names of variables, the product's and Dagster's, whose exported value differs from the file's."""
        exported = os.environ if environ is None else environ
        in_file = {**block, **self.own}
        return sorted(
            name
            for name, value in in_file.items()
            if name.startswith(_OURS) and exported.get(name, value) != value
        )

    def write(self, block: Mapping[str, str]) -> None:
        """Rewrite the block (mode 0600, at once or not at all); the user's lines stay as and where they are.

        A variable that one of the user's own lines sets is left out: that line is the user's word.

        Raises:
            ServiceError: a value can't be written so that every tool reads it alike.
        """
        own = self.own
        lines = [f"{name}={_quote(name, value)}" for name, value in block.items() if name not in own]
        before = self.before if not self.before or self.before.endswith("\n") else f"{self.before}\n"
        self._replace(before + "\n".join([_BEGIN, _EXPLANATION, *lines, _END, ""]) + self.after)

    def remove_block(self) -> None:
        """Take the block out; a file with nothing else in it goes away."""
        rest = self.before + self.after
        if rest.strip():
            self._replace(rest)
        else:
            self.path.unlink(missing_ok=True)

    def _replace(self, text: str) -> None:
        try:
            unchanged = self.path.read_bytes() == text.encode() and self.path.stat().st_mode & 0o777 == 0o600
        except FileNotFoundError:
            unchanged = False
        if not unchanged:
            # A link into somebody's store of secrets stays a link.
            replace_file(self.path.resolve(), text)


def _parse(text: str) -> dict[str, str]:
    return {
        name: value for name, value in dotenv_values(stream=io.StringIO(text)).items() if value is not None
    }


def _quote(name: str, value: str) -> str:
    # python-dotenv replaces ${…} even within single quotes, and has no way to escape it.
    if "${" in value or "\n" in value:
        raise ServiceError(
            f"{name} would hold '${{' or a line break, which .env can't carry: use another path."
        )
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
