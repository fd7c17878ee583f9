"""When each request is due: earliest deadline first, on a fixed phase, nothing piled up. Pure; time comes in as numbers."""

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush
from itertools import count
from operator import itemgetter
from typing import Generic, Protocol, TypeVar


class Timed(Protocol):
    """What the schedule keeps on each item."""

    interval_ns: int
    """Constant."""
    phase_ns: int
    """Constant."""
    due_ns: int
    """Belongs to the schedule."""
    cycle: int
    """Belongs to the schedule."""
    failures: int
    """Items that failed lately stand behind others with the same deadline."""


T = TypeVar("T", bound=Timed)

_LONGEST_DELAY_NS = 5_000_000_000
_FAVOUR_EVERY = 16


class Schedule(Generic[T]):
    """Items due at start + phase + k * interval. All times are ns of the monotonic clock.

    An item is ready from its due time on; among ready ones the nearest deadline (due + interval) comes first, so a slow
    group never holds up a fast one. Where that leaves no time for slow groups, every sixteenth turn goes to the item that
    has waited longest, if that is more than 5 s: an hourly value comes even when a group of 100 ms is more than its device
    can do.
    """

    def __init__(self) -> None:
        self._start_ns = 0
        self._waiting: list[tuple[int, int, int, T]] = []
        self._ready: list[tuple[int, int, int, T]] = []
        self._order = count()
        self._served = 0

    def restart(self, items: Iterable[T], now_ns: int) -> None:
        """Forget everything; these items are due at their phase from now."""
        self._start_ns = now_ns
        self._waiting.clear()
        self._ready.clear()
        for item in items:
            self._put(item, now_ns + item.phase_ns, 0)

    def current(self, now_ns: int) -> T | None:
        """Return the item to serve now, None when none is due. It stays current until `advance` or `remove`."""
        while self._waiting and self._waiting[0][0] <= now_ns:
            _, _, order, item = heappop(self._waiting)
            heappush(self._ready, (item.due_ns + item.interval_ns, item.failures, order, item))
        return self._ready[0][3] if self._ready else None

    def ready(self, condition: Callable[[T], bool]) -> list[T]:
        """Return the items that `current` has seen to be due and that meet the condition, in order of service."""
        return [entry[3] for entry in sorted(self._ready, key=itemgetter(0, 1, 2)) if condition(entry[3])]

    def wait_ns(self, now_ns: int, at_most_ns: int) -> int:
        """Return the time until the next item is due, between 0 and `at_most_ns`."""
        if self._ready:
            return 0
        return min(at_most_ns, max(0, self._waiting[0][0] - now_ns)) if self._waiting else at_most_ns

    def advance(self, item: T, now_ns: int, *, catch_up: bool = True) -> int:
        """Set the next turn of an item that was served. Returns how many turns were missed and are skipped.

        A turn that came while the item was served is taken late when `catch_up`, else skipped like those before it.
        """
        start_ns = self._start_ns + item.phase_ns
        present = (now_ns - start_ns) // item.interval_ns
        following = max(item.cycle + 1, present if catch_up else present + 1)
        missed = following - item.cycle - 1
        self.remove(item)
        self._put(item, start_ns + following * item.interval_ns, following)
        self._served += 1
        if self._served % _FAVOUR_EVERY == 0:
            self._favour(now_ns)
        return missed

    def defer(self, item: T, due_ns: int) -> None:
        """Serve the item once at `due_ns`, off its phase."""
        self.remove(item)
        self._put(item, due_ns, item.cycle)

    def hurry(self, item: T, now_ns: int) -> None:
        """Serve the item now; its phase stays."""
        start_ns = self._start_ns + item.phase_ns
        present = (now_ns - start_ns) // item.interval_ns
        self.remove(item)
        self._put(item, start_ns + present * item.interval_ns, present)

    def replace(self, item: T, parts: Iterable[T]) -> None:
        """Put parts in the place of an item: same turn, same phase."""
        self.remove(item)
        for part in parts:
            self._put(part, item.due_ns, item.cycle)

    def remove(self, item: T) -> None:
        """Take the item out; nothing happens when it is not in."""
        if self._ready and self._ready[0][3] is item:
            heappop(self._ready)
            return
        for heap in (self._ready, self._waiting):
            for place, entry in enumerate(heap):
                if entry[3] is item:
                    heap[place] = heap[-1]
                    heap.pop()
                    heapify(heap)
                    return

    def _favour(self, now_ns: int) -> None:
        """Put the item that has waited longest first, if it has waited too long."""
        oldest = min(self._ready, key=lambda entry: entry[3].due_ns, default=None)
        if oldest is not None and now_ns - oldest[3].due_ns > _LONGEST_DELAY_NS:
            self.remove(oldest[3])
            heappush(self._ready, (0, *oldest[1:]))

    def _put(self, item: T, due_ns: int, cycle: int) -> None:
        item.due_ns, item.cycle = due_ns, cycle
        heappush(self._waiting, (due_ns, 0, next(self._order), item))
