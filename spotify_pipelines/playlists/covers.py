"""The pictures that a policy file names: read from beside it, checked, and known by their digests from then on.

What belongs here: what may be a cover, and putting digests in the place of file names. What does not: the key itself
(``policies``), rows (``store.covers``), uploading one (``lane``).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy.orm import Session

from spotify_pipelines.playlists.policies import Policy, PolicyError, PolicyFile, PolicyProblem
from spotify_pipelines.spotify.families import COVER_BYTES
from spotify_pipelines.store.covers import add_covers, known_covers

__all__ = ["PolicyBundle", "store_covers", "with_covers"]

_JPEG: Final = b"\xff\xd8\xff"
_STORED: Final = "sha256:"


@dataclass(frozen=True, slots=True)
class PolicyBundle:
    """A policy file with the pictures that it names.

    Attributes:
        policies: with a digest wherever the file says a picture's name.
        covers: JPEG bytes by digest.
        source: what messages call the file.
    """

    policies: PolicyFile
    covers: Mapping[str, bytes]
    source: str


def with_covers(file: PolicyFile, folder: Path, source: str) -> PolicyBundle:
    """Read the pictures that ``file`` names, relative to ``folder``.

    Raises:
        PolicyError: one can't be read, is no JPEG or is larger than Spotify takes; every such one is told.
    """
    covers: dict[str, bytes] = {}
    problems: list[PolicyProblem] = []
    policies: list[Policy] = []
    for place, policy in enumerate(file.policies):
        if policy.cover is None or policy.cover.startswith(_STORED):
            policies.append(policy)
            continue
        try:
            jpeg = _read(folder / policy.cover)
        except ValueError as error:
            problems.append(PolicyProblem(f"policies[{place}].cover", None, f"{policy.cover} {error}"))
            continue
        digest = _STORED + hashlib.sha256(jpeg).hexdigest()
        covers[digest] = jpeg
        policies.append(policy.model_copy(update={"cover": digest}))
    if problems:
        raise PolicyError(source, problems)
    return PolicyBundle(PolicyFile(policies=tuple(policies)), covers, source)


def store_covers(session: Session, bundle: PolicyBundle) -> None:
    """Keep the pictures, and make sure that those are there which the file names by their digests.

    Raises:
        PolicyError: a digest is of no picture that is stored here.
    """
    add_covers(session, bundle.covers)
    named = {policy.cover for policy in bundle.policies.policies if policy.cover is not None}
    known = known_covers(session, named)
    problems = [
        PolicyProblem(
            f"policies[{place}].cover",
            None,
            f"{policy.cover} is no picture that is stored here; name its file",
        )
        for place, policy in enumerate(bundle.policies.policies)
        if policy.cover is not None and policy.cover not in known
    ]
    if problems:
        raise PolicyError(bundle.source, problems)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            jpeg = stream.read(COVER_BYTES + 1)
    except OSError as error:
        raise ValueError(f"can't be read: {error.strerror}") from None
    if not jpeg.startswith(_JPEG):
        raise ValueError("is no JPEG")
    if len(jpeg) > COVER_BYTES:
        raise ValueError(f"is larger than the {COVER_BYTES // 1024} KiB that Spotify takes")
    return jpeg
