"""The outbox: takes messages from the pipeline, lends them to a sink, and keeps them until the sink has confirmed them."""

import asyncio
from collections.abc import Callable, Sequence
from math import inf
from typing import Final

from gateway.core.clock import Clock
from gateway.core.events.event import Event
from gateway.core.messages import Loss, Message
from gateway.core.ports.outbox import Delivery
from gateway.core.ports.watermarks import Watermarks
from gateway.core.undo import undone_on_error
from gateway.outbox.config import OutboxConfig
from gateway.outbox.context import OutboxContext
from gateway.outbox.database.compression import MOST_PAYLOAD_BYTES
from gateway.outbox.files import check_path, make_folder
from gateway.outbox.lock import PathLock
from gateway.outbox.memory.rate_limiter import RateLimiter
from gateway.outbox.records import PreviousBoot, Stats
from gateway.outbox.recovery.recovery import RESCUE_S, SALVAGE_S
from gateway.outbox.window_compaction import Merge
from gateway.outbox.writer import BATCH_DELETES, Writer

_LEAD: Final = 0.8
"""Share of the commit interval after which a commit begins, so that it ends within the interval."""

_DISCARD: Final = 500
"""Messages to forget at once."""

_AHEAD_BYTES: Final = 4 * 2**20
"""Backlog is read when less than this waits in memory, about what is sent during a commit, which the disk is busy with."""


class Outbox:
    """Durable queue with write-behind (`MessageQueue` and `Deliveries`).

    A message that is confirmed within the commit interval never touches the disk; any other is on it by then, in one
    transaction with all that is due. Order of use: `open`, then one task in `run` and the two ports, then, when `run` has
    been cancelled, `close`.

    boot: name of this boot, as in `Message.boot`. encode_loss: makes the message that announces a loss (lane EVENT);
    decode_loss: reads it back, for announcements that were refused or had no room.
    merge: see `Merge`; called in a thread, for old windows when a ceiling is near; None: they are not merged.
    report: takes events of kind `outbox`: detail `state` (`refused`, `recovered`, `damaged`, `rescued`: the end of what a
    `damaged` could not say yet; `moved`: the file was deleted or moved and has been written again, whole), `severity`,
    `reason`, for the last three `kept` (the file that was set aside), for `damaged` and `rescued` how many messages are
    `rescued` (read from it into the new file), `lost` (only it had them and they cannot be read; None when not known, or not
    yet) and, of these, `unknown` (in no loss record, because their topics are not known).
    """

    def __init__(
        self,
        config: OutboxConfig,
        boot: str,
        clock: Clock,
        encode_loss: Callable[[Loss], Message],
        decode_loss: Callable[[Message], Loss],
        merge: Merge | None,
        report: Callable[[Event], None],
    ) -> None:
        self.beat = clock.monotonic()
        """Monotonic time of the last turn of the commit loop, seconds: at least one per commit interval."""
        self._config, self._clock = config, clock
        self._lead_s = config.commit_interval / 1e9 * _LEAD
        self._crowd_bytes = config.memory // 2
        self._ahead_bytes = min(_AHEAD_BYTES, config.memory // 8)
        self._lock = PathLock(config.path)
        self._urgent = asyncio.Event()
        context = OutboxContext(config, boot, clock, encode_loss, decode_loss, merge, report)
        self._writer = Writer(context, self._lock, self._urgent.set)
        self._memory = self._writer.memory
        self._dead_letters = self._writer.losses.dead_letters
        self._pace = RateLimiter(config.backlog_messages, config.backlog_bytes, clock.monotonic())
        self._arrived = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    @property
    def unclean(self) -> Sequence[PreviousBoot]:
        """Return every boot that ended without `close`, as far as known, until it was safely reported; oldest first."""
        return self._writer.previous.unreported

    def follow_previous(self, report: Callable[[PreviousBoot], None]) -> None:
        """Have every earlier boot reported that ended without `close`: those known now, and others when the file is read.

        The next boot reports them again until the events about them, which `report` puts, are on disk or delivered.
        """
        self._writer.previous.follow(report)

    def follow_health(self, on_changed: Callable[[], None]) -> None:
        """Have `on_changed` called when `Stats.refused` has changed."""
        self._writer.health.on_changed = on_changed

    @property
    def stats(self) -> Stats:
        """Return numbers for health and status; cheap enough for once a second."""
        writer, memory = self._writer, self._memory
        return Stats(
            messages=sum(writer.store.totals.messages.values()) - memory.deletes + memory.unwritten,
            memory_bytes=memory.waiting_bytes,
            disk_bytes=writer.store.disk_bytes,
            lost=writer.ledger.lost,
            thinned=writer.ledger.thinned,
            refused=writer.refused,
            memory_since_ms=writer.health.since_ns // 1_000_000,
            stored=writer.store.totals.messages,
        )

    @property
    def unsaved(self) -> int:
        """Return how many messages were neither delivered nor written at `close`, as the disk refused them."""
        return self._writer.unsaved

    async def open(self, *, rescue_s: float = RESCUE_S, salvage_s: float = SALVAGE_S) -> None:
        """Take the lock and open the database, or start a new one.

        rescue_s, salvage_s: how long the start, and each commit after it, may be busy with a damaged file.
        Raises ConfigError when the path cannot be written, is in use by another gateway, or belongs to another program or
        a newer gateway.
        """
        make_folder(self._config.path)
        check_path(self._config.path)
        self._lock.acquire()
        self._writer.losses.noted(self._writer.previous.lock_acquired())
        with undone_on_error(self._lock.release):  # nobody else would release it before the process ends
            await self._writer.open(rescue_s, salvage_s)

    async def run(self) -> None:
        """Commit, for ever. A disk that refuses is tried again once per interval.

        Raises ConfigError when the lock's file was deleted and another gateway has taken its place.
        """
        while True:
            await self._pause()
            self.beat = self._clock.monotonic()
            self._writer.unreadable = False
            await self._dead_letters.write()
            self._lock.renew()
            await self._round()
            self._arrived.set()

    async def close(self, *, clean: bool = True) -> None:
        """Commit all that is not delivered, in flight or not, and release the path. Never raises.

        clean: the pipeline has handed over everything; otherwise the next boot says that this one ended badly.
        """
        await self._dead_letters.write()
        if self._reading is not None:
            await asyncio.wait({self._reading})
        await self._writer.close(clean)
        self._lock.release()

    def set_live(self, live: bool) -> None:
        """Record whether the sink has a connection. What waits for a connection that is gone becomes backlog."""
        if live and not self._writer.live:
            self._writer.ledger.reconnected()
        if not live:
            self._memory.disconnected()
        self._writer.live = live

    @property
    def watermarks(self) -> Watermarks:
        """Return what sources remember of what they handed on, kept in the same file."""
        return self._writer.watermarks.pending

    async def adopt(self, messages: Sequence[Message]) -> None:
        """Take over backlog before `run`, and write it. What the disk refuses stays in memory, under its ceiling."""
        for message in messages:
            self.put(message)
        while self._memory.unwritten and await self._writer.commit():
            continue

    async def discard(self) -> int:
        """Forget all that waits, and the losses not yet announced, beside `run`: nobody wants them. Returns how many."""
        self._writer.ledger.reconnected()
        self._writer.ledger.announce()
        count = 0
        while self.stats.messages or self._memory.has_backlog:
            for delivery in await self.fetch(_DISCARD):
                self.ack(delivery)
                count += 1
            await self._clock.sleep(0)
        return count

    def is_safe(self, since: float) -> bool:
        """Return whether what was put up to then (monotonic seconds) is on the disk or delivered."""
        oldest = self._memory.unwritten_since
        return oldest is None or oldest > since

    # -- MessageQueue

    def put(self, message: Message) -> None:
        """Take over a message. In memory only: a few microseconds, never waits. One over `MOST_PAYLOAD_BYTES` is lost."""
        memory = self._memory
        if len(message.payload) > MOST_PAYLOAD_BYTES:
            self._writer.losses.too_large(message)
            return
        memory.put(message, self._writer.live and not message.past, self._clock.monotonic())
        self._arrived.set()
        if memory.waiting_bytes > self._crowd_bytes:
            if memory.waiting_bytes > self._config.memory:
                self._writer.on_crowded()
            self._urgent.set()

    # -- Deliveries

    async def fetch(self, limit: int) -> list[Delivery]:
        """Return up to `limit` messages: live events, live windows, backlog events, other backlog. Waits for one."""
        writer = self._writer
        while True:
            self._pace.refill(self._clock.monotonic())
            strict = self._config.strict and not writer.refused
            taken = self._memory.fetch(limit, not writer.unreadable, self._pace, stored_only=strict)
            self._read_ahead(nothing_left=not taken)
            if taken:
                return taken
            if (wait_s := self._pace.delay_s) and self._memory.has_backlog:
                self._arrived.clear()
                await self._first_of(self._arrived, wait_s)
                continue
            self._arrived.clear()
            await self._arrived.wait()

    def ack(self, delivery: Delivery) -> None:
        """Forget a message that the sink has confirmed. Raises ValueError when it is not in flight."""
        self._memory.end(delivery, self._clock.monotonic())
        if self._memory.deletes >= BATCH_DELETES:
            self._urgent.set()

    def refuse(self, delivery: Delivery, reason: str) -> None:
        """Set aside what the sink will never take, with a loss record. Raises ValueError when it is not in flight."""
        entry = self._memory.end(delivery, self._clock.monotonic())
        self._writer.losses.refused(entry, reason)

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """Make backlog of what a broken connection did not confirm. Raises ValueError when one is not in flight."""
        self._memory.release(deliveries)
        self._arrived.set()

    # -- inside

    def _read_ahead(self, *, nothing_left: bool) -> None:
        """Have backlog loaded while other backlog is sent; `_arrived` says when it is there."""
        if self._reading is not None and self._reading.done():
            self._reading.result()  # a bug is loud
            self._reading = None
        wanted = nothing_left or self._memory.waiting_bytes < self._ahead_bytes
        if self._reading is None and wanted and not self._writer.unreadable and self._memory.next_load() is not None:
            self._reading = asyncio.create_task(self._writer.load(), name="outbox: reading ahead")
            self._reading.add_done_callback(lambda _: self._arrived.set())

    async def _pause(self) -> None:
        """Sleep until the oldest change is due, at most one lead; less when memory fills or deletions pile up."""
        if self._writer.refused:
            await self._clock.sleep(self._lead_s)
            return
        since, now = self._memory.due_since(), self._clock.monotonic()
        delay_s = self._lead_s if since is None else min(self._lead_s, since + self._lead_s - now)
        if (due_at := self._writer.watermarks.pending.due_at) is not None:
            delay_s = min(delay_s, max(0.0, due_at - now))
        await self._first_of(self._urgent, delay_s)

    async def _first_of(self, event: asyncio.Event, delay_s: float) -> None:
        """Return when the event is set, or after the delay."""
        waits = {
            asyncio.create_task(self._clock.sleep(delay_s), name="outbox: delay"),
            asyncio.create_task(event.wait(), name="outbox: event"),
        }
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _round(self) -> None:
        now, writer = self._clock.monotonic(), self._writer
        since = self._memory.due_since()
        due = since is not None and now >= since + self._lead_s
        if not (writer.wants_commit(now) or due or self._urgent.is_set() or writer.refused):
            return
        self._urgent.clear()
        put_by = self._put_by(now)
        while await writer.commit(put_by):
            self.beat = self._clock.monotonic()
            since = self._memory.due_since(put_by)
            if since is None or since > now:
                break

    def _put_by(self, now: float) -> float:
        """Return up to when messages were put that a commit takes: while they may be confirmed in time, only those due soon.

        A commit for the sake of deletions that wrote what is in flight would have to delete it again, and so for ever.
        """
        writer, memory = self._writer, self._memory
        if not writer.live or writer.refused or self._config.strict or memory.waiting_bytes > self._crowd_bytes:
            return inf
        since = memory.unwritten_since
        due = since is not None and now >= since + self._lead_s
        return now - self._lead_s / 2 if due else -inf
