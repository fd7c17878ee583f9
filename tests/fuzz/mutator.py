"""Input made from good input: bytes flipped, cut, doubled, moved; lengths that lie. The same seed makes the same input."""

import random
import struct
from collections.abc import Callable, Sequence
from typing import Final

MOST_BYTES: Final = 262_144
"""Of one input: about what a socket gives at once."""
_LARGE_BYTES: Final = 8_192
"""Larger ones are tried and not changed: each costs as much as hundreds of small ones."""
_ODD: Final = (
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    32_767,
    32_768,
    65_535,
    65_536,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**64 - 1,
)
_FORMATS: Final = ("<B", "<H", ">H", "<I", ">I", "<Q", ">Q")
_MOST_CHANGES: Final = 4


class Mutator:
    """Makes the inputs of one door. tokens: pieces of the door's language, to be put in anywhere."""

    def __init__(self, seeds: Sequence[bytes], tokens: Sequence[bytes] = ()) -> None:
        assert seeds
        self._seeds = seeds
        self._sources = [seed for seed in seeds if len(seed) <= _LARGE_BYTES] or seeds
        self._tokens = tokens or (b"\0",)

    def input(self, seed: str, number: int) -> bytes:
        """Return an input: the seeds as they are first, then mutated ones."""
        if number < len(self._seeds):
            return self._seeds[number]
        rng = random.Random(f"{seed}/{number}")
        return self.changed(rng, rng.choice(self._sources))

    def changed(self, rng: random.Random, data: bytes) -> bytes:
        """Return data with one to a few changes."""
        for _ in range(rng.randint(1, _MOST_CHANGES)):
            data = rng.choice(_CHANGES)(self, rng, data)
        return data[:MOST_BYTES]

    def _flip(self, rng: random.Random, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(rng.randint(1, 4) if changed else 0):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        return bytes(changed)

    def _lie(self, rng: random.Random, data: bytes) -> bytes:
        """Write a number where one may stand."""
        form = rng.choice(_FORMATS)
        size = struct.calcsize(form)
        number = rng.choice(_ODD) + rng.randint(-1, 1)
        at = rng.randrange(max(1, len(data) - size + 1))
        return data[:at] + struct.pack(form, number % 2 ** (8 * size)) + data[at + size :]

    def _cut(self, rng: random.Random, data: bytes) -> bytes:
        begin, end = self._span(rng, data)
        return data[:begin] + data[end:]

    def _truncate(self, rng: random.Random, data: bytes) -> bytes:
        return data[: rng.randrange(len(data) + 1)]

    def _double(self, rng: random.Random, data: bytes) -> bytes:
        begin, end = self._span(rng, data)
        return data[:end] + data[begin:end] + data[end:]

    def _repeat(self, rng: random.Random, data: bytes) -> bytes:
        """Say a short piece very often: what is linear stays quick, what is not is found."""
        begin, end = self._span(rng, data, 32)
        piece = data[begin:end] or b"\0"
        return data[:begin] + piece * (rng.choice((16, 1_000, MOST_BYTES)) // len(piece) + 1) + data[end:]

    def _move(self, rng: random.Random, data: bytes) -> bytes:
        begin, end = self._span(rng, data)
        rest = data[:begin] + data[end:]
        at = rng.randrange(len(rest) + 1)
        return rest[:at] + data[begin:end] + rest[at:]

    def _insert(self, rng: random.Random, data: bytes) -> bytes:
        at = rng.randrange(len(data) + 1)
        piece = rng.choice(self._tokens) if rng.random() < 0.7 else rng.randbytes(rng.randint(1, 16))
        return data[:at] + piece + data[at:]

    def _splice(self, rng: random.Random, data: bytes) -> bytes:
        """Go on with the end of another one."""
        other = rng.choice(self._sources)
        return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]

    def _span(self, rng: random.Random, data: bytes, most: int = 1 << 16) -> tuple[int, int]:
        begin = rng.randrange(len(data) + 1)
        return begin, min(len(data), begin + rng.randint(1, min(most, max(1, len(data)))))


_Change = Callable[[Mutator, random.Random, bytes], bytes]
_CHANGES: Final[tuple[_Change, ...]] = (
    Mutator._flip,
    Mutator._flip,
    Mutator._lie,
    Mutator._lie,
    Mutator._cut,
    Mutator._truncate,
    Mutator._double,
    Mutator._repeat,
    Mutator._move,
    Mutator._insert,
    Mutator._insert,
    Mutator._splice,
)
