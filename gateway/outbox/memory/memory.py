"""What the outbox has in memory: lanes, deliveries in flight, and what is on its way to the disk. Pure: no I/O, no clock."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf

from gateway.core.messages import Message
from gateway.core.ports.outbox import Delivery
from gateway.outbox.memory.rate_limiter import RateLimiter
from gateway.outbox.memory.wait_queues import WaitQueues
from gateway.outbox.records import LOSS_LANE, Broken, Entry, Loaded, LoadRequest, Row


@dataclass(frozen=True, slots=True)
class Batch:
    """What one commit takes from memory to disk; ends in `Memory.committed` or `Memory.failed`."""

    inserts: Sequence[Entry]
    deletes: Sequence[Row]


class Memory:
    """Every message between `put` and its end, but for backlog that only the disk has.

    A message is in exactly one place: a live lane, the backlog, or in flight. Apart from that it is unwritten, in the
    batch being written, or stored; an end that comes while it is being written takes effect when the write is over.
    """

    def __init__(self, newest_first: bool = False) -> None:
        """newest_first: the order of backlog, but for events."""
        self._next = 1
        self._waiting = WaitQueues(newest_first)
        self._unstored: dict[int, Entry] = {}
        self._stored: dict[int, Entry] = {}
        self._deletes: dict[int, Row] = {}
        self._delete_since = 0.0
        self._announced: list[Entry] = []

    # -- what pipeline and sink do

    def put(self, message: Message, live: bool, now: float) -> None:
        """Take a message in, for the live lanes or the backlog. now: monotonic seconds."""
        entry = Entry(self._next, message, live, message.lane, now)
        self._next += 1
        self._unstored[entry.id] = entry
        self._waiting.place(entry)

    def put_loss(self, message: Message, now: float) -> None:
        """Take a loss message in: it is handed out after the next commit, whether that succeeds or not.

        Handed out before, it would be announced again after a crash.
        """
        entry = Entry(self._next, message, False, LOSS_LANE, now, held=True)
        self._next += 1
        self._unstored[entry.id] = entry
        self._announced.append(entry)

    def fetch(self, limit: int, in_order: bool, pace: RateLimiter, stored_only: bool = False) -> list[Delivery]:
        """Return up to `limit` messages that need no loading: live events, live windows, backlog events, other backlog.

        in_order: wait for loading rather than return backlog before what may go first on disk. pace: how much backlog.
        stored_only: nothing before its commit.
        """
        taken = self._waiting.pop(limit, in_order, pace, stored_only)
        for entry in taken:
            entry.in_flight = True
        return list(taken)

    @property
    def has_backlog(self) -> bool:
        """Return whether backlog waits, here or on disk."""
        return self._waiting.has_backlog

    @property
    def waiting_bytes(self) -> int:
        """Return the memory that what waits takes, bytes."""
        return self._waiting.bytes

    def end(self, delivery: Delivery, now: float) -> Entry:
        """End a delivery for good (confirmed or refused). Raises ValueError when it is not in flight."""
        entry = _in_flight(delivery)
        entry.in_flight, entry.done = False, True
        if entry.stored:
            del self._stored[entry.id]
            self._delete(entry.row, now)
        elif not entry.writing:
            del self._unstored[entry.id]
        return entry

    def release(self, deliveries: Iterable[Delivery]) -> None:
        """Make backlog of deliveries that were broken off. Raises ValueError when one is not in flight."""
        for delivery in deliveries:
            entry = _in_flight(delivery)
            entry.in_flight = entry.live = False
            self._waiting.place(entry)

    def disconnected(self) -> None:
        """Make backlog of what waits in the live lanes."""
        self._waiting.disconnected()

    # -- commits

    def due_since(self, put_by: float = inf) -> float | None:
        """Return when the oldest change that the disk lacks was made, monotonic seconds; None when it lacks nothing.

        Messages put after `put_by` do not count.
        """
        since = self.unwritten_since
        if since is None or since > put_by:
            return self._delete_since if self._deletes else None
        return min(since, self._delete_since) if self._deletes else since

    @property
    def unwritten_since(self) -> float | None:
        """Return when the oldest message that the disk lacks was put, monotonic seconds."""
        oldest = next(iter(self._unstored.values()), None)
        return None if oldest is None else oldest.put_at

    @property
    def deletes(self) -> int:
        """Return how many rows wait for their deletion."""
        return len(self._deletes)

    def next_batch(self, most_bytes: int, most_deletes: int, put_by: float = inf) -> Batch:
        """Return what to write next: all that was held, then the oldest put by `put_by`, to about `most_bytes`."""
        self._announced = [e for e in self._announced if not e.stored and not e.done]
        inserts, size = list(self._announced), 0
        for entry in self._unstored.values():
            if size >= most_bytes:
                break
            if entry.lane != LOSS_LANE and entry.put_at <= put_by:
                inserts.append(entry)
                size += len(entry.message.payload)
        for entry in inserts:
            entry.writing = True
        return Batch(inserts, list(islice(self._deletes.values(), most_deletes)))

    def committed(self, batch: Batch, live: bool, now: float) -> None:
        """Record that the batch is on disk."""
        for gone in batch.deletes:
            del self._deletes[gone.id]
        self._delete_since = now
        for entry in batch.inserts:
            entry.writing, entry.stored = False, True
            del self._unstored[entry.id]
            if entry.done:
                self._delete(entry.row, now)
            else:
                self._stored[entry.id] = entry
                self._unhold(entry, live)

    def failed(self, batch: Batch, live: bool) -> None:
        """Record that nothing of the batch is on disk."""
        for entry in batch.inserts:
            entry.writing = False
            if entry.done:
                del self._unstored[entry.id]
            else:
                self._unhold(entry, live)

    # -- the disk's share

    def holds(self, id: int) -> bool:
        """Return whether the row `id` is known here: waiting, in flight, or to be deleted."""
        return id in self._stored or id in self._deletes

    @property
    def held(self) -> list[Row]:
        """Return all rows that `holds` is true for."""
        return [*(entry.row for entry in self._stored.values()), *self._deletes.values()]

    @property
    def rows(self) -> int:
        """Return how many rows `holds` is true for."""
        return len(self._stored) + len(self._deletes)

    @property
    def next_id(self) -> int:
        """Return the id of the next message."""
        return self._next

    def disk_found(self, last_id: int) -> None:
        """Give ids to what is unwritten above those of a database that was opened, which go up to `last_id`."""
        oldest = next(iter(self._unstored), self._next)
        offset = max(0, last_id + 1 - oldest)
        self._next += offset
        if offset and self._unstored:
            for entry in self._unstored.values():
                entry.id += offset
            self._unstored = {entry.id: entry for entry in self._unstored.values()}
        for backlog in self._waiting.backlogs:
            backlog.renumber(offset)
            backlog.disk_found(last_id)

    def disk_gained(self, rows: Sequence[Entry]) -> None:
        """Record that backlog was added to the database from elsewhere."""
        self._waiting.disk_gained(rows)

    def disk_lost(self) -> None:
        """Record that the database is gone: everything here is unwritten again."""
        for entry in self._stored.values():
            entry.stored = False
        both = {**self._stored, **self._unstored}
        self._unstored = {id: both[id] for id in sorted(both)}
        self._announced = [entry for entry in self._unstored.values() if entry.lane == LOSS_LANE]
        self._stored, self._deletes = {}, {}
        for backlog in self._waiting.backlogs:
            backlog.disk_lost()

    def next_load(self) -> LoadRequest | None:
        """Return what to load next, None when all backlog is here."""
        return self._waiting.next_load()

    def loaded(self, wanted: LoadRequest, batch: Loaded, now: float) -> Sequence[Broken]:
        """Add what `wants` asked for. Returns the broken rows, which are to be deleted from now on."""
        backlog = self._waiting.events if wanted.events else self._waiting.rest
        if backlog.place(backlog.loaded_to) != wanted.after:
            return ()  # rows were left to the disk meanwhile: asked again from there
        for entry in batch.found:
            if not self.holds(entry.id):
                self._stored[entry.id] = entry
                self._waiting.place(entry)
        broken = [one for one in batch.broken if not self.holds(one.row.id)]
        for one in broken:
            self._delete(one.row, now)
        backlog.loaded_to = backlog.top if batch.complete else backlog.place(batch.up_to)
        return broken

    def spill(self, most_bytes: int) -> None:
        """Leave stored messages to the disk, the last to be sent first, until at most `most_bytes` wait."""
        stored = sorted((e for e in self._waiting if e.stored), key=self._waiting.last_sent_first)
        gone = self._waiting.remove(stored, most_bytes)
        for entry in gone:
            del self._stored[entry.id]
            self._waiting.backlog_of(entry.lane).left_to_disk(entry.id)

    def drop(self, most_bytes: int) -> list[Entry]:
        """Give up unwritten messages, least worth and oldest first, until at most `most_bytes` wait."""
        unstored = (e for e in self._waiting if not e.stored and not e.writing)
        gone = self._waiting.remove(sorted(unstored, key=lambda e: (-e.lane, e.id)), most_bytes)
        for entry in gone:
            entry.done = True
            del self._unstored[entry.id]
        return gone

    @property
    def unwritten_entries(self) -> list[Entry]:
        """Return the messages that the disk lacks."""
        return list(self._unstored.values())

    @property
    def unwritten(self) -> int:
        """Return how many messages the disk lacks."""
        return len(self._unstored)

    # -- inside

    def _unhold(self, entry: Entry, live: bool) -> None:
        if entry.held:
            entry.held, entry.live = False, live and not entry.message.past
            self._waiting.place(entry)

    def _delete(self, gone: Row, now: float) -> None:
        if not self._deletes:
            self._delete_since = now
        self._deletes[gone.id] = gone


def _in_flight(delivery: Delivery) -> Entry:
    if not isinstance(delivery, Entry) or not delivery.in_flight:
        raise ValueError(f"delivery {delivery.id} of {delivery.message.topic} is not in flight")
    return delivery
