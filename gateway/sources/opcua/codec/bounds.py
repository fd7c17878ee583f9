"""Ceilings of what is made of a peer's bytes, and the account that is kept of it. Pure."""

from typing import Final

from gateway.sources.opcua.codec.errors import TooLarge

BYTES_PER_ELEMENT: Final = 16
"""So many bytes of a text or of an array count as one element."""
MOST_VALUE: Final = 65_536
"""Elements of one value: numbers of an array, texts, fields of structures. A value with more costs its own tag."""
MOST_VALUES: Final = 500_000
"""Data values of one answer."""
MOST_ANSWER: Final = 500_000
"""Elements of all values of an answer that are no plain numbers: those that do not fit are refused one by one."""
MOST_SERVICE: Final = 100_000
"""Elements of an answer that asyncua decodes; a call with a larger one is halved."""
MOST_BROWSED: Final = 400_000
"""The same of Browse: about 25,000 references."""
MOST_AT_ONCE: Final = 1_000
"""Elements that are decoded on the event loop, about 2 ms of it, 10 ms at the worst; more are decoded on a thread."""
BYTES_AT_ONCE: Final = 16_384
"""Longer answers are decoded on a thread from the beginning."""
MOST_DIMENSIONS: Final = 16
DEEPEST: Final = 16
"""Levels of values within values."""


class Budget:
    """How many more elements may be made of one answer.

    may_grow: the answer can be decoded once more with a larger budget, so nothing is refused for the lack of this one.
    """

    __slots__ = ("is_cancelled", "left", "may_grow")

    def __init__(self, most: int, *, may_grow: bool = False) -> None:
        self.left = most
        self.may_grow = may_grow
        self.is_cancelled = False

    def cancel(self) -> None:
        """Have the thread that decodes end soon, with TooLarge. Called by another thread."""
        self.is_cancelled = True
        self.left = -1

    def spend(self, elements: int) -> None:
        """Count elements before they are made. Raises TooLarge."""
        self.left -= elements
        if self.left < 0:
            raise TooLarge

    def open_value(self) -> int:
        """Let the next value have `MOST_VALUE` elements. Returns what stays for others, for `close_value`."""
        if self.is_cancelled:
            raise TooLarge
        rest = max(0, self.left - MOST_VALUE)
        self.left -= rest
        return rest

    def close_value(self, rest: int) -> None:
        """Take back what a value has left."""
        self.left = max(0, self.left) + rest

    def is_final(self, rest: int) -> bool:
        """Return whether a value that was too large for what `open_value` left it is to be refused for good."""
        return not self.is_cancelled and (rest > 0 or not self.may_grow)
