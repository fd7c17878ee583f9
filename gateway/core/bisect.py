"""Find the culprits among many things that fail together, by asking for fewer of them at once."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

MOST_FAILURES: Final = 256
"""Parts that may fail in one search; what is still unknown then stays unknown."""
_SPARE_FAILURES: Final = 8

T = TypeVar("T")
R = TypeVar("R")


class Bisection:
    """A search among the numbers 0 to `count` - 1, without I/O.

    Ask for `part` together and call `passed` or `failed`, until `part` is None. A part that fails is halved until the
    culprit is alone, so k culprits take at most 2 k (log2(count) + 1) + 1 calls. After a culprit the largest part
    comes next, because neighbours of a culprit are often culprits. Where 2 log2(count) + 8 parts have
    failed and none has passed, the search ends without a result: the peer fails at everything.

    Attributes:
        culprits: Numbers that failed alone, in the order found.
        passes: How many parts passed.
    """

    def __init__(self, count: int, *, is_known: bool = False) -> None:
        """Create a search. is_known: all numbers together have failed already."""
        self._count = count
        self._parts = [range(count)] if count else []
        self._failures = 0
        self.culprits: list[int] = []
        self.passes = 0
        if is_known and count:
            self.failed()

    @property
    def part(self) -> range | None:
        """Return what to ask for next, None when the search is over."""
        return self._parts[-1] if self._parts and not self.fails_at_everything and self._failures < MOST_FAILURES else None

    @property
    def unknown(self) -> list[range]:
        """Return what was not asked for, or failed together, in ascending order."""
        return sorted(self._parts, key=lambda part: part.start)

    @property
    def fails_at_everything(self) -> bool:
        """Return whether so many parts failed, and none passed, that no number is to blame."""
        return not self.passes and self._failures > 2 * self._count.bit_length() + _SPARE_FAILURES

    def passed(self) -> None:
        """Record that `part` was answered."""
        self._parts.pop()
        self.passes += 1

    def failed(self) -> None:
        """Record that `part` was not answered."""
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


@dataclass(frozen=True, slots=True)
class Isolated(Generic[R]):
    """The result of a search for culprits by `isolate`."""

    results: dict[int, R]
    """Answers of the parts that passed, by the place of their first item."""
    culprits: dict[int, Exception]
    """What each culprit alone failed with, by its place."""
    unknown: list[range]
    """Places that were not asked for before the search was given up."""
    is_hopeless: bool
    """Nothing passed: the peer fails at everything, so nothing is known of single items."""


async def isolate(
    items: Sequence[T],
    call: Callable[[Sequence[T]], Awaitable[R]],
    failure: type[Exception] | tuple[type[Exception], ...],
    *,
    is_known: bool = True,
) -> Isolated[R]:
    """Call with parts of `items`, one call after the other, until each culprit has failed alone.

    failure: what a call raises where an item brings it down; everything else is raised on, cancellation included.
    is_known: a call with all items has failed already and is not made again.
    """
    search = Bisection(len(items), is_known=is_known)
    results: dict[int, R] = {}
    culprits: dict[int, Exception] = {}
    while (part := search.part) is not None:
        try:
            results[part.start] = await call(items[part.start : part.stop])
        except failure as error:
            if len(part) == 1:
                culprits[part.start] = error
            search.failed()
        else:
            search.passed()
    return Isolated(results, culprits, search.unknown, search.fails_at_everything or not search.passes)
