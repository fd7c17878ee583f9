"""Sets of integers as intervals, without I/O."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator


class IntervalSet:
    """A set of integers that stores each run of consecutive numbers as one interval, whatever its length."""

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in spans:
            self.add(first, last)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number <= self._lasts[at]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._firsts, self._lasts, strict=True)

    def __len__(self) -> int:
        return size(self)

    def add(self, first: int, last: int) -> None:
        """Add first..last, both included."""
        low = bisect_right(self._lasts, first - 2)  # the spans from low up to high touch or overlap first..last
        high = bisect_right(self._firsts, last + 1)
        if low < high:
            first = min(first, self._firsts[low])
            last = max(last, self._lasts[high - 1])
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]

    def gaps(self, first: int, last: int) -> list[tuple[int, int]]:
        """Return the spans within first..last that are not in the set, ascending."""
        found = []
        for begin, end in self:
            if begin > last:
                break
            if begin > first:
                found.append((first, begin - 1))
            first = max(first, end + 1)
        if first <= last:
            found.append((first, last))
        return found

    def common(self, first: int, last: int) -> list[tuple[int, int]]:
        """Return the spans within first..last that are in the set, ascending."""
        return [(max(begin, first), min(end, last)) for begin, end in self if begin <= last and end >= first]

    def fill(self, first: int, last: int, count: int) -> None:
        """Add up to `count` of the numbers that are missing in first..last: the smallest first."""
        for begin, end in self.gaps(first, last):
            added = min(count, end - begin + 1)
            if added:
                self.add(begin, begin + added - 1)
            count -= added


def size(spans: Iterable[tuple[int, int]]) -> int:
    """Return how many numbers lie in spans that do not overlap."""
    return sum(last - first + 1 for first, last in spans)
