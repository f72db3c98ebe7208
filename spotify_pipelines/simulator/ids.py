"""Spotify's 22-sign base62 ids, and a keyed permutation that turns plain numbers into them and back.

The permutation lets a synthetic catalogue of any size answer "which album is this id?" without a table: the id
*is* the position, scrambled. A 128-bit Feistel network is a bijection whatever its round function is (Luby and
Rackoff, "How to construct pseudorandom permutations from pseudorandom functions", 1988). Not a secret-keeper.
"""

import os
from hashlib import blake2b

__all__ = ["IdPermutation", "is_spotify_id", "parse_uri", "random_id"]

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_VALUE = {sign: value for value, sign in enumerate(_ALPHABET)}
_LENGTH = 22
_HALF_BITS = 64
_HALF_MASK = (1 << _HALF_BITS) - 1
_ROUNDS = 4


def is_spotify_id(text: str) -> bool:
    """Whether ``text`` has the shape of a Spotify id: 22 base62 signs."""
    return len(text) == _LENGTH and text.isascii() and text.isalnum()


def parse_uri(uri: str, kind: str) -> str | None:
    """The id in ``spotify:<kind>:<id>``, or None where ``uri`` is anything else."""
    scheme, _, rest = uri.partition(":")
    found_kind, _, found_id = rest.partition(":")
    return found_id if (scheme, found_kind) == ("spotify", kind) and is_spotify_id(found_id) else None


def random_id() -> str:
    """A fresh id, as Spotify gives to a new playlist."""
    return _encode(int.from_bytes(os.urandom(16), "big"))


def _encode(number: int) -> str:
    signs = []
    for _ in range(_LENGTH):
        number, remainder = divmod(number, 62)
        signs.append(_ALPHABET[remainder])
    return "".join(reversed(signs))


def _decode(text: str) -> int:
    number = 0
    for sign in text:
        number = number * 62 + _VALUE[sign]
    return number


class IdPermutation:
    """Numbers of 128 bits ↔ Spotify ids, under a key."""

    def __init__(self, key: str) -> None:
        self._keys = [f"{key}/{number}".encode()[:64] for number in range(_ROUNDS)]

    def id_of(self, number: int) -> str:
        """The id that stands for ``number`` (0 ≤ number < 2**128)."""
        left, right = number >> _HALF_BITS, number & _HALF_MASK
        for key in self._keys:
            left, right = right, left ^ self._mix(right, key)
        return _encode(left << _HALF_BITS | right)

    def number_of(self, spotify_id: str) -> int | None:
        """The number that ``spotify_id`` stands for, or None if it isn't an id at all."""
        if not is_spotify_id(spotify_id) or (scrambled := _decode(spotify_id)) >> 2 * _HALF_BITS:
            return None
        left, right = scrambled >> _HALF_BITS, scrambled & _HALF_MASK
        for key in reversed(self._keys):
            left, right = right ^ self._mix(left, key), left
        return left << _HALF_BITS | right

    @staticmethod
    def _mix(half: int, key: bytes) -> int:
        return int.from_bytes(blake2b(half.to_bytes(8, "big"), digest_size=8, key=key).digest(), "big")
