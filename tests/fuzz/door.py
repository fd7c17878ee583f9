"""What a fuzzer needs of a door, and the corpus that is kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CORPUS: Final = Path(__file__).parents[1] / "hostile" / "corpus"
"""Kept input by door: what was a finding once, and what is good input."""


@dataclass(frozen=True, slots=True)
class Door:
    """One decoder, framer or parser.

    Attributes:
        call: Takes one input, as the gateway would.
        expected: The errors that it may raise: the door's own.
        seeds: Good input, from which others are made.
        tokens: Pieces of its language.
        most_cpu_s: What an input of up to 256 KiB may take of the processor. What runs on the event loop is cut into turns
        by its
            door; this bound finds what does not end. Files are read once, at a start.
    """

    call: Callable[[bytes], object]
    expected: tuple[type[BaseException], ...]
    seeds: Sequence[bytes]
    tokens: Sequence[bytes] = ()
    most_cpu_s: float = 0.25


def kept(name: str) -> list[bytes]:
    """Return the corpus of a door, in the order of its files' names."""
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("*")) if path.is_file()]
