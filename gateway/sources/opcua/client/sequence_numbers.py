"""Sequence numbers of notifications, and the gaps between them. Pure."""

from collections.abc import Iterable
from typing import Final

_NUMBERS: Final = 2**32 - 1


class SequenceNumbers:
    """The sequence numbers of one subscription: 1 to 2^32 - 1, then 1 again (Part 4, 7.9). `last` 0: none yet."""

    def __init__(self) -> None:
        self.last = 0

    def missing_before(self, number: int, is_keepalive: bool, available: Iterable[int]) -> tuple[list[int], int]:
        """Return what is missing before a notification.

        The result is the missing numbers that the server still holds, in order, and how many are missing in all.

        A number that went backwards is a server that counts in its own way, not a loss. Before the very first one only
        what the server holds is missing. A keep-alive carries the next number and there are servers that spend one on
        it, so it proves no more than what the server holds.
        """
        width = number - 1 if self.last == 0 else self._distance(number) - 1
        if not 0 < width < _NUMBERS // 2:
            return [], 0
        held = sorted({n for n in available if n > 0 and self._distance(n) <= width}, key=self._distance)
        if self.last == 0:
            return held, len(held)
        if is_keepalive:
            width = self._distance(held[-1]) if held else 0
        return held, width

    def _distance(self, number: int) -> int:
        return (number - self.last - 1) % _NUMBERS + 1
