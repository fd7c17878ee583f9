"""Between memory and disk: commits, loading, making room, and what happens when the disk refuses."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import inf
from typing import Final

import structlog

from gateway.core.errors import ConfigError, Retryable
from gateway.core.ports.watermarks import StoredWatermark
from gateway.outbox.completion import run_to_completion
from gateway.outbox.context import OutboxContext
from gateway.outbox.database.compression import Compression
from gateway.outbox.database.encryption import encryption_of
from gateway.outbox.database.sqlite_errors import DamagedError, LogGoneError, MovedError, UnwritableError
from gateway.outbox.database.store import Store
from gateway.outbox.files import may_write
from gateway.outbox.health import Health
from gateway.outbox.lock import PathLock
from gateway.outbox.loss_recorder import LossRecorder
from gateway.outbox.losses import LossLedger
from gateway.outbox.memory.memory import Batch, Memory
from gateway.outbox.previous_runs import PreviousRuns
from gateway.outbox.records import Change
from gateway.outbox.recovery.recovery import Recovery
from gateway.outbox.space_limits import SpaceLimits
from gateway.outbox.watermark_writer import WatermarkWriter
from gateway.outbox.witness_keeper import WitnessKeeper

log = structlog.get_logger("outbox")

BATCH_BYTES: Final = 2 * 2**20
BATCH_DELETES: Final = 5_000
LOAD_ROWS: Final = 256
LOAD_BYTES: Final = 2**20

SLOW_S: Final = 3.0
"""A commit that takes longer counts as refused while it lasts, seconds."""

SHRINK_BYTES: Final = 16 * 2**20
"""An empty database gives its space back when it has more than this."""


class Writer:
    """Moves messages from memory to the database and back; nobody else touches the store."""

    def __init__(self, context: OutboxContext, lock: PathLock, wake: Callable[[], None]) -> None:
        """wake: begin a commit soon."""
        config, clock = context.config, context.clock
        self._context, self._config, self._lock, self._clock = context, config, lock, clock
        self.memory = Memory(config.backlog_order == "newest-first")
        self.ledger = LossLedger()
        self.losses = LossRecorder(context, self.memory, self.ledger)
        self.store = Store(config.path, config.synchronous)
        self.unsaved = 0
        """After `close`: messages that were neither delivered nor written."""
        self.live = False
        """There is a connection, so losses are announced."""
        self.unreadable = False
        """The last attempt to load failed."""
        self.previous = PreviousRuns(self.store, lock, clock, context.boot)
        self.health = Health(clock, context.report)
        self.watermarks = WatermarkWriter(self.store, lock, clock, wake, lambda: bool(self.health.refused))
        self._witness = WitnessKeeper(self.store, lock, self.ledger, self.health.vanished)
        self._limits = SpaceLimits(config, clock, self.store, self.memory, self.ledger, context.merge)
        self._recovery = Recovery(
            context, self.store, self.memory, self.ledger, self.health, self._adopt_watermarks, self._limits.restart
        )
        self._disk = asyncio.Lock()
        self._is_closing = False

    @property
    def refused(self) -> str:
        """Return why the disk takes nothing at present, or an empty text."""
        return self.health.refused

    # -- opening and closing

    async def open(self, rescue_s: float, salvage_s: float) -> None:
        """Open the database for the first time. Raises ConfigError when it, or its key, is not ours or it cannot be written.

        A full, failing or read-only disk does not raise: the gateway starts with memory only, until the disk is back.
        """
        self._recovery.rescue_s, self._recovery.salvage_s = rescue_s, salvage_s
        encryption = self.losses.dead_letters.encryption = encryption_of(self._config.key_file)
        self.store.compression = Compression(self._config.compress, encryption, takes_plain=self._config.accept_plain)
        try:
            await run_to_completion(self._recovery.open())
        except Retryable as error:
            if isinstance(error, UnwritableError) and not (self._lock.read_only or may_write(self._config.path)):
                raise ConfigError(
                    f"outbox.path: cannot write {self._config.path}: {error}; give the file and its folder to the user the "
                    f"gateway runs as, or set another outbox.path"
                ) from error
            self.health.refuse(error, self._memory_since_ns())
        except DamagedError as error:
            await run_to_completion(self._recovery.replace(error))
        if self.refused:
            await run_to_completion(self._note(is_written=False))

    async def close(self, clean: bool) -> None:
        """Write what is left, mark the boot if it ends `clean`, close the file. Never raises; refusals are reported."""
        await run_to_completion(self._close(clean))

    async def _close(self, clean: bool) -> None:
        self.live = False
        self._is_closing = True
        written = True
        while written and self._lacks_something:
            written = await self._commit()
        if written:
            await self.watermarks.saved({})
        if clean and written and self.store.is_open:
            try:
                await self.previous.end()
                await self.store.mark_clean()
            except (Retryable, DamagedError) as error:
                self.health.refuse(error, self._memory_since_ns())
        self.unsaved = self.memory.unwritten
        if self.unsaved:
            log.error("messages are lost with this stop: the disk refuses them", count=self.unsaved)
            self.losses.lost_with_stop(self.refused)
        if clean and (self.unsaved or not written):
            await self.previous.stopped(self.ledger.unsaved_losses())
        await self.store.close()

    @property
    def _lacks_something(self) -> bool:
        """The disk does not have all that is to be on it at the end."""
        return self.memory.due_since() is not None or self.ledger.unsaved or self.watermarks.pending.due_at is not None

    # -- commits

    def wants_commit(self, now: float) -> bool:
        """Return whether something beside messages and deletions is due. now: monotonic seconds."""
        self.previous.begin(now)
        is_copying = self._recovery.is_salvaging or self.store.uncounted_to or self.store.is_checking
        urgent = self.store.is_moved or self.ledger.unsaved or is_copying
        urgent = urgent or self.previous.are_safe(self.memory.unwritten_since) or self.watermarks.is_due(now)
        return bool(urgent) or (self.live and bool(self.ledger)) or self._limits.wants_look(now)

    async def commit(self, put_by: float = inf) -> bool:
        """Write one batch, the oldest first, none put after `put_by`. False when the disk refused (reported once)."""
        slow = asyncio.get_running_loop().call_later(SLOW_S, self._report_slow)
        try:
            is_written = await run_to_completion(self._commit(put_by))
        finally:
            slow.cancel()
            self.watermarks.pending.commit_ended()
        await run_to_completion(self._note(is_written))
        return is_written

    def _report_slow(self) -> None:
        """Report that a commit does not end: all since is in memory only."""
        self.health.refuse(Retryable(f"the disk has not answered for {SLOW_S:g} s"), self._memory_since_ns())

    async def _note(self, is_written: bool) -> None:
        """Note for the next run since when messages are in memory only, or that they are not any more."""
        if not is_written:
            await self.previous.refused(self.health.since_ns or self._memory_since_ns())
        elif not self.ledger.unsaved and not self.refused:
            await self.previous.recovered()

    def _memory_since_ns(self) -> int:
        """Return when the oldest message was put that the disk lacks, ns UTC; now without any."""
        since, now = self.memory.unwritten_since, self._clock.monotonic()
        return self._clock.now_ns() - int((now - since) * 1e9 if since is not None else 0)

    async def _commit(self, put_by: float = inf) -> bool:
        async with self._disk:
            try:
                if not self.store.is_open:
                    await self._recovery.open()
                    if not self._is_closing:
                        self.previous.look()
                if self.store.is_moved:
                    raise MovedError("the file was deleted or moved")
                if self.refused:
                    await self._limits.expire()  # it may be that which makes room
                if self.live:
                    self.losses.announce()
                await self._write(put_by)
                await self._limits.expire()
                await self._recovery.continue_salvage(self._recovery.salvage_s)
                await self._witness.committed()
                await self.store.count_more()
                await self.store.check_more(self._clock.monotonic())
                if self.previous.are_safe(self.memory.unwritten_since):
                    await self.previous.mark()
            except LogGoneError as error:
                await self.store.close()  # that writes the log to the database; the next commit opens it with a new one
                self.health.refuse(error, self._memory_since_ns())
                return False
            except Retryable as error:
                self.health.refuse(error, self._memory_since_ns())
                return False
            except DamagedError as error:
                return await self._recovery.replace(error)
            self.health.recover()
            return True

    async def _write(self, put_by: float) -> None:
        batch = self.memory.next_batch(min(BATCH_BYTES, self._config.memory // 4), BATCH_DELETES, put_by)
        change = self._change(batch)
        try:
            room = await self._limits.make(batch)
            if room and change:
                await self.store.commit(change)
        except (Retryable, DamagedError):
            self.memory.failed(batch, self.live)
            raise
        if not room:
            self.memory.failed(batch, self.live)
            await self._write_without_room(batch)
            raise Retryable("there is no room: the disk has less left than outbox.keep_free and 8 MiB for the log")
        self.memory.committed(batch, self.live, self._clock.monotonic())
        self.ledger.saved(change.losses, change.superseded)
        await self.watermarks.saved(change.watermarks)
        await self._tidy()
        await self._limits.prepare()

    def _change(self, batch: Batch) -> Change:
        losses, superseded = self.ledger.unsaved_losses(), self.ledger.superseded()
        if self._is_closing and len(batch.inserts) < self.memory.unwritten:
            # At the end watermarks are exact: they say that all that was handed on is there, so they are written last.
            return Change(batch.inserts, batch.deletes, losses, superseded)
        is_due = bool(batch.inserts or batch.deletes or losses or superseded)
        return Change(batch.inserts, batch.deletes, losses, superseded, self.watermarks.changes(refresh=is_due))

    async def _write_without_room(self, batch: Batch) -> None:
        """Write deletions, which make room, and watermarks, which take none, when nothing else can be written."""
        losses = self.ledger.unsaved_losses()
        # At the end watermarks would say that all that was handed on is there, see `_change`.
        watermarks = {} if self._is_closing else self.watermarks.changes(refresh=False)
        change = Change(deletes=batch.deletes, losses=losses, watermarks=watermarks)
        await self.store.commit(change)
        self.memory.committed(Batch((), batch.deletes), self.live, self._clock.monotonic())
        self.ledger.saved(losses, ())
        await self.watermarks.saved(change.watermarks)

    async def _adopt_watermarks(self, rescued: Mapping[str, StoredWatermark], is_complete: bool) -> None:
        await self._witness.opened(is_whole=is_complete)
        self.watermarks.adopt(rescued, is_complete)
        if not self._is_closing:  # else they are written last
            with suppress(Retryable):  # the next commit tries again, and reports it
                await self.watermarks.write()

    async def _tidy(self) -> None:
        """Leave what is stored to the disk: offline all of it, online what is above half the ceiling."""
        if not self.live:
            self.memory.spill(0)
        elif self.memory.waiting_bytes > self._config.memory // 2:
            self.memory.spill(self._config.memory // 4)
        if not any(self.store.totals.messages.values()) and self.store.usage().file > SHRINK_BYTES:
            await self.store.shrink()

    # -- what memory gives up

    def on_crowded(self) -> None:
        """Keep memory under its ceiling at once: leave to the disk what it has, then drop, with losses."""
        keep = self._config.memory * 15 // 16
        self.memory.spill(keep)
        self.losses.given_up(self.memory.drop(keep), "memory", self.refused)

    # -- backlog

    async def load(self) -> None:
        """Bring the next batch of backlog into memory. When the disk refuses, `unreadable` says so."""
        await run_to_completion(self._load())

    async def _load(self) -> None:
        async with self._disk:
            wanted = self.memory.next_load()
            if wanted is None:
                return
            try:
                batch = await self.store.load(wanted, LOAD_ROWS, min(LOAD_BYTES, self._config.memory // 8))
                broken = self.memory.loaded(wanted, batch, self._clock.monotonic())
                self.losses.broken(broken)
                if self.memory.next_load() is None:
                    self.store.check_count(self.memory.rows)
            except Retryable as error:
                self.unreadable = True
                self.health.refuse(error, self._memory_since_ns())
            except DamagedError as error:
                await self._recovery.replace(error)
