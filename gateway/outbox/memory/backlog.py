"""One class of backlog: part of it in memory, the rest on disk, handed out by id."""

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush

from gateway.outbox.records import Entry


class Backlog:
    """WaitQueues entries by id, rising or (newest first) falling, joined with rows that only the disk has.

    A place is an id, negated when the newest goes first: places rise as entries are handed out. Rows up to the place
    `loaded_to` are all in memory (or gone); no row after the place `top` is on disk alone. Pure.
    """

    def __init__(self, newest_first: bool = False) -> None:
        self.newest_first = newest_first
        self.loaded_to = 0
        self.top = 0
        self._heap: list[tuple[int, Entry]] = []

    def __iter__(self) -> Iterator[Entry]:
        return (entry for _, entry in self._heap)

    @property
    def on_disk(self) -> bool:
        """Return whether there may be rows that have to be loaded."""
        return self.loaded_to < self.top

    def place(self, id: int) -> int:
        """Return where an id stands in the order of leaving; also the id of a place."""
        return -id if self.newest_first else id

    def push(self, entry: Entry) -> None:
        """Add a waiting entry."""
        heappush(self._heap, (self.place(entry.id), entry))

    def first(self, in_order: bool) -> Entry | None:
        """Return what `pop` would return."""
        if not self._heap or (in_order and self.on_disk and self._heap[0][0] > self.loaded_to):
            return None
        return self._heap[0][1]

    def pop(self, in_order: bool) -> Entry | None:
        """Remove and return the first entry; with `in_order`, None also while an earlier one may be on disk."""
        return heappop(self._heap)[1] if self.first(in_order) is not None else None

    def keep(self, wanted: Callable[[Entry], bool]) -> None:
        """Remove the entries that are not wanted."""
        self._heap = [pair for pair in self._heap if wanted(pair[1])]
        heapify(self._heap)

    def left_to_disk(self, id: int) -> None:
        """Record that the row `id` is now on disk alone."""
        self.loaded_to = min(self.loaded_to, self.place(id) - 1)
        self.top = max(self.top, self.place(id))

    def disk_found(self, last_id: int) -> None:
        """Record that a database was opened whose highest id is `last_id`."""
        first, last = (-last_id, -1) if self.newest_first else (1, last_id)
        self.loaded_to, self.top = first - 1, last if last_id else first - 1

    def disk_lost(self) -> None:
        """Record that what only the disk had is gone."""
        self.loaded_to = self.top

    def renumber(self, offset: int) -> None:
        """Add `offset` to the ids of all entries."""
        self._heap = [(self.place(entry.id), entry) for entry in self]
