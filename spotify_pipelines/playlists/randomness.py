"""Reproducible randomness: the same seed gives the same bits on every machine and Python version.

What belongs here: deriving seeds and turning a seed into 64-bit words and uniform integers, with hashlib and
integers only. What does not: anything that draws a track or an order from them.

``random.shuffle``, numpy generators and floating-point logarithms are not stable across versions and CPUs, so
no decision that is stored with its seed may rest on them.
"""

import hashlib
from collections.abc import MutableSequence
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["BitSource", "derive_seed", "word_block"]

Item = TypeVar("Item")

_WORDS_PER_BLOCK: Final = 256
_WORD: Final = 1 << 64


def derive_seed(*parts: str | int | bytes) -> bytes:
    """32 bytes that depend on each part, its type and its bounds: ``("a", "bc")`` is not ``("ab", "c")``.

    Name the purpose first: ``derive_seed("snapshot", playlist_id, cycle.number, policy_digest)``.
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, bytes):
            kind, data = b"b", part
        elif isinstance(part, int):
            kind, data = b"i", str(int(part)).encode()
        else:
            kind, data = b"s", part.encode("utf-8", "surrogatepass")
        digest.update(kind + len(data).to_bytes(8, "big") + data)
    return digest.digest()


def word_block(seed: bytes, block: int, count: int) -> NDArray[np.uint64]:
    """``count`` words of 64 bits: SHAKE256 (FIPS 202) over the seed and the number of the block."""
    data = hashlib.shake_256(seed + block.to_bytes(8, "little")).digest(8 * count)
    return np.frombuffer(data, dtype="<u8").astype(np.uint64, copy=False)


class BitSource:
    """A stream of random 64-bit words from a seed, and the uniform choices built on it."""

    __slots__ = ("_block", "_seed", "_words")

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._block = 0
        self._words: list[int] = []

    def word(self) -> int:
        """The next 64 random bits."""
        if not self._words:
            self._words = word_block(self._seed, self._block, _WORDS_PER_BLOCK).tolist()
            self._words.reverse()
            self._block += 1
        return self._words.pop()

    def below(self, bound: int) -> int:
        """A uniform integer from 0 to ``bound`` − 1, without bias (Lemire 2019); 1 ≤ ``bound`` ≤ 2^64."""
        if not 1 <= bound <= _WORD:
            raise ValueError(f"bound must be between 1 and 2^64, got {bound}")
        product = self.word() * bound
        while product % _WORD < bound and product % _WORD < _WORD % bound:
            product = self.word() * bound
        return product >> 64

    def shuffle(self, items: MutableSequence[Item]) -> None:
        """Put ``items`` in a uniformly random order, in place (Fisher–Yates)."""
        for last in range(len(items) - 1, 0, -1):
            other = self.below(last + 1)
            items[last], items[other] = items[other], items[last]
