"""Which of many things bring down the answer that they are part of, found by asking for fewer at once. Pure."""

from typing import Final

MOST_FAILURES: Final = 256
"""Parts that may fail in one search; what is unknown then stays so."""
_IN_VAIN: Final = 8


class Halving:
    """A search among the numbers 0 to `count` - 1. Ask for `part` together, say `passed` or `failed`, until there is none.

    A part that fails is halved until the culprit is alone, so k culprits take at most 2 k (log2(count) + 1) + 1 questions.
    After a culprit the largest part comes next, because of neighbours one is often as bad as the other. Where
    2 log2(count) + 8 parts have failed and none has passed, nothing is known: that is a server that fails at everything.

    culprits: numbers that failed alone. passes: parts that passed.
    """

    def __init__(self, count: int, *, is_known: bool = False) -> None:
        """is_known: all together have failed already."""
        self._count = count
        self._parts = [range(count)] if count else []
        self._failures = 0
        self.culprits: list[int] = []
        self.passes = 0
        if is_known and count:
            self.failed()

    @property
    def part(self) -> range | None:
        """What to ask for next; None when the search is over."""
        return self._parts[-1] if self._parts and not self.is_vain and self._failures < MOST_FAILURES else None

    @property
    def unknown(self) -> list[range]:
        """What was not asked for, or failed together, in ascending order."""
        return sorted(self._parts, key=lambda part: part.start)

    @property
    def is_vain(self) -> bool:
        """Everything fails: the culprits are none."""
        return not self.passes and self._failures > 2 * self._count.bit_length() + _IN_VAIN

    def passed(self) -> None:
        """`part` was answered."""
        self._parts.pop()
        self.passes += 1

    def failed(self) -> None:
        """`part` was not."""
        part = self._parts.pop()
        self._failures += 1
        if len(part) > 1:
            middle = len(part) // 2
            self._parts += [part[middle:], part[:middle]]
            return
        self.culprits.append(part.start)
        if self._parts:
            largest = max(range(len(self._parts)), key=lambda at: len(self._parts[at]))
            self._parts.append(self._parts.pop(largest))
