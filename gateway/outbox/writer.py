"""Between memory and disk: commits, loading, making room, and what happens when the disk refuses."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from math import inf
from typing import Any, Final, TypeVar

import structlog

from gateway.core.clock import Clock
from gateway.core.errors import ConfigError, Retryable
from gateway.core.events.event import Event
from gateway.core.messages import Loss, Message
from gateway.core.ports.watermarks import StoredWatermark
from gateway.outbox.config import OutboxConfig
from gateway.outbox.database.compression import Coder
from gateway.outbox.database.encryption import seal_of
from gateway.outbox.database.sqlite_errors import DamagedError, LogGoneError, MovedError, UnwritableError
from gateway.outbox.database.store import Store
from gateway.outbox.files import PathLock, may_write
from gateway.outbox.health import Health
from gateway.outbox.losses import LossLedger, losses_of
from gateway.outbox.memory.memory import Batch, Memory
from gateway.outbox.memory.watermarks import PATIENCE_S, PendingWatermarks
from gateway.outbox.records import LOSS_LANE, Change, Entry, PreviousBoot
from gateway.outbox.recovery.recovery import MEND_S, Recovery
from gateway.outbox.space_limits import Room
from gateway.outbox.window_compaction import Merge

log = structlog.get_logger("outbox")

BATCH_BYTES: Final = 2 * 2**20
BATCH_DELETES: Final = 5_000
LOAD_ROWS: Final = 256
LOAD_BYTES: Final = 2**20

SHRINK_BYTES: Final = 16 * 2**20
"""An empty database gives its space back when it has more than this."""

T = TypeVar("T")


async def to_its_end(operation: Coroutine[Any, Any, T]) -> T:
    """Await an operation that is finished even when the caller is cancelled, who learns of that afterwards.

    A transaction left half-way would hold the database, and nobody would know what became of it.
    """
    task = asyncio.create_task(operation, name="outbox: disk")
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):  # the first one is raised below
                await asyncio.wait({task})
        raise


class Writer:
    """Moves messages from memory to the database and back; nobody else touches the store.

    live: there is a connection, so losses are announced. unreadable: the last attempt to load failed.
    """

    def __init__(
        self,
        config: OutboxConfig,
        lock: PathLock,
        boot: str,
        clock: Clock,
        encode_loss: Callable[[Loss], Message],
        decode_loss: Callable[[Message], Loss],
        merge: Merge,
        report: Callable[[Event], None],
        wake: Callable[[], None],
    ) -> None:
        self.memory = Memory(config.backlog_order == "newest-first")
        self.ledger = LossLedger()
        self.store = Store(config.path, config.synchronous)
        self.unsaved = 0
        self._began_at: float | None = None
        self.live = False
        self.unreadable = False
        self.unclean: list[PreviousBoot] = []
        self._config, self._lock, self._clock = config, lock, clock
        self._encode_loss, self._decode_loss = encode_loss, decode_loss
        self._health = Health(clock, report)
        self.watermarks = PendingWatermarks(clock, wake, lambda: bool(self._health.refused), self._doubt)
        self._room = Room(config, clock, self.store, self.memory, self.ledger, merge)
        self._recovery = Recovery(
            config,
            boot,
            clock,
            self.store,
            self.memory,
            self.ledger,
            self._health,
            decode_loss,
            self._adopt_watermarks,
            self._room.restart,
        )
        self._disk = asyncio.Lock()
        self._closes = False

    @property
    def refused(self) -> str:
        """Why the disk takes nothing at present, or empty."""
        return self._health.refused

    # -- opening and closing

    async def open(self) -> None:
        """Open the database for the first time. Raises ConfigError when it, or its key, is not ours or it cannot be written.

        A full, failing or read-only disk does not raise: the gateway starts with memory only, until the disk is back.
        """
        self.store.coder = Coder(self._config.compress, seal_of(self._config.key_file))
        try:
            await to_its_end(self._recovery.open())
            self.unclean = self.store.untold
        except UnwritableError as error:
            if self._lock.read_only or may_write(self._config.path):
                self._health.refuse(error)
                return
            raise ConfigError(
                f"outbox.path: cannot write {self._config.path}: {error}; give the file and its folder to the user the "
                f"gateway runs as, or set another outbox.path"
            ) from error
        except Retryable as error:
            self._health.refuse(error)
        except DamagedError as error:
            await to_its_end(self._recovery.replace(error))

    async def close(self, clean: bool) -> None:
        """Write what is left, mark the boot if it ends `clean`, close the file. Never raises; refusals are reported."""
        await to_its_end(self._close(clean))

    async def _close(self, clean: bool) -> None:
        self.live = False
        written = True
        self._closes = True
        while written and (self.memory.due_since() is not None or self.ledger.unsaved or self.watermarks.due_at is not None):
            written = await self._commit()
        if written:
            await self._saved({})
        if clean and written and self.store.is_open:
            try:
                await self.store.mark_clean()
            except (Retryable, DamagedError) as error:
                self._health.refuse(error)
        self.unsaved = self.memory.unwritten
        if self.unsaved:
            log.error("messages are lost with this stop: the disk refuses them", count=self.unsaved)
        await self.store.close()

    # -- commits

    def wants_commit(self, now: float) -> bool:
        """Something beside messages and deletions is due: losses, a look for what is too old, a file that went."""
        if self._began_at is None:
            self._began_at = now
        urgent = self.store.is_moved or self.ledger.unsaved or self._recovery.mending or self.store.uncounted_to
        urgent = urgent or self._unclean_is_known
        urgent = urgent or ((due_at := self.watermarks.due_at) is not None and due_at <= now)
        return bool(urgent) or (self.live and bool(self.ledger)) or self._room.wants_look(now)

    @property
    def _unclean_is_known(self) -> bool:
        """The events about runs that ended badly, put when this one began, are on disk or at the broker."""
        if not self.unclean or self._began_at is None:
            return False
        since = self.memory.unwritten_since
        return since is None or since > self._began_at

    async def commit(self, put_by: float = inf) -> bool:
        """Write one batch, the oldest first, none put after `put_by`. False when the disk refused (reported once)."""
        try:
            return await to_its_end(self._commit(put_by))
        finally:
            self.watermarks.commit_ended()

    async def _commit(self, put_by: float = inf) -> bool:
        async with self._disk:
            try:
                if not self.store.is_open:
                    await self._recovery.open()
                if self.store.is_moved:
                    raise MovedError("the file was deleted or moved")
                if self.refused:
                    await self._room.expire()  # it may be that which makes room
                self._announce()
                await self._write(put_by)
                await self._room.expire()
                await self._recovery.mend(MEND_S)
                await self.store.count_more()
                if self._unclean_is_known:
                    await self.store.told()
                    self.unclean = []
            except LogGoneError as error:
                await self.store.close()  # that writes the log to the database; the next commit opens it with a new one
                self._health.refuse(error)
                return False
            except Retryable as error:
                self._health.refuse(error)
                return False
            except DamagedError as error:
                return await self._recovery.replace(error)
            self._health.recover()
            return True

    async def _write(self, put_by: float) -> None:
        batch = self.memory.begin(min(BATCH_BYTES, self._config.memory // 4), BATCH_DELETES, put_by)
        losses, settled = self.ledger.unsaved_losses(), self.ledger.settled()
        change = Change(batch.inserts, batch.deletes, losses, settled, self._watermarks(batch, bool(losses or settled)))
        try:
            room = await self._room.make(batch)
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
        self.ledger.saved(losses, settled)
        await self._saved(change.watermarks)
        await self._tidy()
        await self._room.prepare()

    async def _write_without_room(self, batch: Batch) -> None:
        """Deletions make room, so they are written when nothing else can be."""
        losses = self.ledger.unsaved_losses()
        change = Change(deletes=batch.deletes, losses=losses, watermarks=self.watermarks.changes())
        await self.store.commit(change)
        self.memory.committed(Batch((), batch.deletes), self.live, self._clock.monotonic())
        self.ledger.saved(losses, ())
        await self._saved(change.watermarks)

    # -- watermarks

    def _watermarks(self, batch: Batch, has_losses: bool) -> Mapping[str, StoredWatermark]:
        """Return what this commit writes of them: at the end not before all messages, for what they say is then exact."""
        if self._closes and len(batch.inserts) < self.memory.unwritten:
            return {}
        if batch.inserts or batch.deletes or has_losses or self.watermarks.due_at is not None:
            self.watermarks.refresh()
        return self.watermarks.changes()

    async def _saved(self, changes: Mapping[str, StoredWatermark]) -> None:
        self.watermarks.saved(changes)
        if self._lock.in_doubt and self.watermarks.due_at is None:
            await self._note_doubt(False)

    async def _doubt(self) -> None:
        """Note beside the database that its watermarks are no bound for what is handed on: the disk takes nothing."""
        if not self._lock.in_doubt:
            await self._note_doubt(True)

    async def _note_doubt(self, in_doubt: bool) -> None:
        """Nobody waits longer for it than for the disk itself, which may be silent."""
        noting = asyncio.create_task(asyncio.to_thread(self._lock.note_doubt, in_doubt), name="outbox: doubt")
        done, _ = await asyncio.wait({noting}, timeout=PATIENCE_S)
        for task in done:
            if isinstance(error := task.exception(), OSError):
                log.warning(
                    "a crash before the disk is back may count values of device histories twice", reason=error.strerror
                )

    def _adopt_watermarks(self, rescued: Mapping[str, StoredWatermark], is_complete: bool) -> None:
        stored = self.store.watermarks
        self.watermarks.adopt(stored, rescued, is_complete=is_complete, in_doubt=self._lock.in_doubt)

    async def _tidy(self) -> None:
        """What is stored need not wait in memory: offline nothing, online no more than half the ceiling."""
        if not self.live:
            self.memory.spill(0)
        elif self.memory.waiting_bytes > self._config.memory // 2:
            self.memory.spill(self._config.memory // 4)
        if not any(self.store.totals.messages.values()) and self.store.usage().file > SHRINK_BYTES:
            await self.store.shrink()

    def _announce(self) -> None:
        if self.live:
            for loss in self.ledger.announce():
                self.memory.hold(self._encode_loss(loss), self._clock.monotonic())

    # -- what memory gives up

    def crowded(self) -> None:
        """Keep memory under its ceiling at once: leave to the disk what it has, then drop, with losses."""
        keep = self._config.memory * 15 // 16
        self.memory.spill(keep)
        self.gone(self.memory.drop(keep), "memory", self.refused)

    def gone(self, entries: Sequence[Entry], cause: str, detail: str, parked: bool = False) -> None:
        """Note the loss of messages that were in memory, and anew what those among them announced."""
        self.ledger.add(losses_of((entry.row for entry in entries), cause, detail), parked)
        announced = (self._decode_loss(entry.message) for entry in entries if entry.lane == LOSS_LANE)
        self.ledger.announcements_lost(announced, parked)

    # -- backlog

    async def load(self) -> None:
        """Bring the next batch of backlog into memory. When the disk refuses, `unreadable` says so."""
        await to_its_end(self._load())

    async def _load(self) -> None:
        async with self._disk:
            wanted = self.memory.wants()
            if wanted is None:
                return
            try:
                batch = await self.store.load(wanted, LOAD_ROWS, min(LOAD_BYTES, self._config.memory // 8))
                broken = self.memory.loaded(wanted, batch, self._clock.monotonic())
                self.ledger.add(losses_of(broken, "damaged", "checksum wrong"))
                if self.memory.wants() is None:
                    self.store.agree(self.memory.rows)
            except Retryable as error:
                self.unreadable = True
                self._health.refuse(error)
            except DamagedError as error:
                await self._recovery.replace(error)
