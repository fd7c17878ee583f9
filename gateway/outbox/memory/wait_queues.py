"""Queues of messages in memory: live lanes, and backlog that is partly on disk alone. Pure: no I/O, no clock."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from gateway.core.messages import Lane
from gateway.outbox.memory.backlog import Backlog
from gateway.outbox.memory.rate_limiter import RateLimiter
from gateway.outbox.records import Entry, LoadRequest


class WaitQueues:
    """Every entry that waits, in exactly one place. bytes: memory that they take."""

    def __init__(self, newest_first: bool = False) -> None:
        """newest_first: the order of backlog, but for events."""
        self.bytes = 0
        self._live: tuple[deque[Entry], ...] = tuple(deque() for _ in Lane)
        self.events, self.rest = Backlog(), Backlog(newest_first)

    def __iter__(self) -> Iterator[Entry]:
        return chain(*self._live, self.events, self.rest)

    @property
    def backlogs(self) -> tuple[Backlog, Backlog]:
        """Return both, in the order of leaving."""
        return self.events, self.rest

    def backlog_of(self, lane: int) -> Backlog:
        """Return where what is filed in a lane waits once it is not live."""
        return self.events if lane <= Lane.EVENT else self.rest

    def place(self, entry: Entry) -> None:
        """Add an entry."""
        if entry.live:
            self._live[entry.message.lane].append(entry)
        else:
            self.backlog_of(entry.lane).push(entry)
        self.bytes += entry.cost

    def pop(self, limit: int, in_order: bool, pace: RateLimiter, stored_only: bool = False) -> list[Entry]:
        """Remove and return entries as `Memory.fetch` does."""
        taken: list[Entry] = []
        for lane in self._live:
            while lane and len(taken) < limit and (lane[0].stored or not stored_only):
                taken.append(lane.popleft())
        for backlog in self.backlogs:
            while len(taken) < limit and not pace.delay_s and (entry := backlog.first(in_order)) is not None:
                if stored_only and not entry.stored:
                    break
                backlog.pop(in_order)
                pace.spend(len(entry.message.payload))
                taken.append(entry)
            if in_order and backlog.on_disk:
                break
        self.bytes -= sum(entry.cost for entry in taken)
        return taken

    @property
    def has_backlog(self) -> bool:
        """Return whether backlog waits, here or on disk."""
        return any(backlog.on_disk or backlog.first(in_order=False) for backlog in self.backlogs)

    def disconnected(self) -> None:
        """Make backlog of what waits in the live lanes."""
        for lane in self._live:
            while lane:
                entry = lane.popleft()
                entry.live = False
                self.backlog_of(entry.lane).push(entry)

    def next_load(self) -> LoadRequest | None:
        """Return what to load next, None when all backlog is here."""
        for events, backlog in ((True, self.events), (False, self.rest)):
            if backlog.on_disk:
                return LoadRequest(events, backlog.newest_first, backlog.place(backlog.loaded_to))
        return None

    def disk_gained(self, rows: Sequence[Entry]) -> None:
        """Record that backlog was added to the database from elsewhere."""
        for backlog in self.backlogs:
            ids = [entry.id for entry in rows if self.backlog_of(entry.lane) is backlog]
            for id in {min(ids), max(ids)} if ids else ():
                backlog.left_to_disk(id)

    def last_sent_first(self, entry: Entry) -> tuple[bool, int, int]:
        """Return a key that sorts entries against the order of leaving."""
        place = entry.id if entry.live else self.backlog_of(entry.lane).place(entry.id)
        return entry.live, -entry.lane, -place

    def remove(self, candidates: Iterable[Entry], most_bytes: int) -> list[Entry]:
        """Remove and return candidates, in their order, until at most `most_bytes` wait."""
        gone: dict[int, Entry] = {}
        for entry in candidates:
            if self.bytes <= most_bytes:
                break
            gone[entry.id] = entry
            self.bytes -= entry.cost
        if gone:
            self._live = tuple(deque(e for e in lane if e.id not in gone) for lane in self._live)
            for backlog in self.backlogs:
                backlog.keep(lambda e: e.id not in gone)
        return list(gone.values())
