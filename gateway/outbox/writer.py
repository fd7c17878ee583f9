"""Between memory and disk: commits, loading, making room, and what happens when the disk refuses or is damaged."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from math import inf
from typing import Any, Final, TypeVar

from gateway.core.clock import Clock
from gateway.core.errors import ConfigError, Retryable
from gateway.core.messages import Event, Loss, Message
from gateway.outbox.coding import Coder
from gateway.outbox.config import OutboxConfig
from gateway.outbox.extents import without
from gateway.outbox.faults import DamagedError, LogGoneError, MovedError, UnwritableError
from gateway.outbox.files import PathLock, may_write, remove, set_aside
from gateway.outbox.losses import LossLedger, losses_of
from gateway.outbox.memory import Batch, Memory
from gateway.outbox.mending import Mending
from gateway.outbox.records import LOSS_LANE, Change, Entry, PreviousBoot
from gateway.outbox.rescue import Accounts
from gateway.outbox.room import Room
from gateway.outbox.sealing import seal_of
from gateway.outbox.store import Store
from gateway.outbox.thinner import Merge

BATCH_BYTES: Final = 2 * 2**20
BATCH_DELETES: Final = 5_000
LOAD_ROWS: Final = 256
LOAD_BYTES: Final = 2**20

SHRINK_BYTES: Final = 16 * 2**20
"""An empty database gives its space back when it has more than this."""

RESCUE_S: Final = 5.0
"""How long a start, or a commit, may be busy with a damaged file; what is left then is copied beside the work."""

REWRITE_S: Final = 15.0
"""Longest time for writing a file again that was taken away: the watchdog's patience with the outbox is 20 s."""

MEND_S: Final = 0.1
"""How long a commit may be busy with what is left of a damaged file."""

SEVERITY: Final = {"refused": 700, "recovered": 1, "damaged": 800, "rescued": 300, "moved": 400}
"""Of what is reported, 1 to 1000 (OPC UA Part 9, 5.5.2), by `state`."""

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

    live: there is a connection, so losses are announced. refused: why the disk takes nothing at present, or empty.
    unreadable: the last attempt to load failed.
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
    ) -> None:
        self.memory = Memory(config.backlog_order == "newest-first")
        self.ledger = LossLedger()
        self.store = Store(config.path, config.synchronous)
        self.live = False
        self.refused = ""
        self.unreadable = False
        self.previous_unclean: PreviousBoot | None = None
        self.unclean: list[PreviousBoot] = []
        self._config, self._lock, self._boot, self._clock = config, lock, boot, clock
        self._encode_loss, self._decode_loss, self._report = encode_loss, decode_loss, report
        self._mending: Mending | None = None
        self._blank = False
        self._room = Room(config, clock, self.store, self.memory, self.ledger, merge)
        self._disk = asyncio.Lock()
        self._losses_known = False
        self._started_ms = clock.now_ns() // 1_000_000

    # -- opening and closing

    async def open(self) -> None:
        """Open the database for the first time. Raises ConfigError when it, or its key, is not ours or it cannot be written.

        A full, failing or read-only disk does not raise: the gateway starts with memory only, until the disk is back.
        """
        self.store.coder = Coder(self._config.compress, seal_of(self._config.key_file))
        try:
            await to_its_end(self._open())
            self.unclean = self.store.untold
        except UnwritableError as error:
            if self._lock.read_only or may_write(self._config.path):
                self._refuse(error)
                return
            raise ConfigError(
                f"outbox.path: cannot write {self._config.path}: {error}; give the file and its folder to the user the "
                f"gateway runs as, or set another outbox.path"
            ) from error
        except Retryable as error:
            self._refuse(error)
        except DamagedError as error:
            await to_its_end(self._replaced(error))

    async def _open(self) -> None:
        try:
            unclean = await self.store.open(self._boot, self._started_ms)
        except DamagedError as error:
            self._put_aside(error)
            unclean = await self._open_new()
        self._blank = False
        self.previous_unclean = self.previous_unclean or unclean
        if self._mending:
            await self._mending.begin(self.store, self.ledger)
        self._adopt()
        await self._mend(RESCUE_S)

    async def _open_new(self) -> PreviousBoot | None:
        """Start a new file. Raises Retryable also when that is damaged as well."""
        try:
            return await self.store.open(self._boot, self._started_ms)
        except DamagedError as error:
            raise Retryable(f"a new database is damaged as well: {error}") from error

    def _adopt(self) -> None:
        self.memory.disk_found(self.store.last_id)
        if not self._losses_known:  # opened again, it has nothing that the ledger lacks
            self.ledger.found(self.store.losses)
        self._losses_known = True
        self._room.restart()

    async def close(self, clean: bool) -> None:
        """Write what is left, mark the boot if it ends `clean`, close the file. Never raises; refusals are reported."""
        await to_its_end(self._close(clean))

    async def _close(self, clean: bool) -> None:
        self.live = False
        written = True
        while written and (self.memory.due_since() is not None or self.ledger.unsaved):
            written = await self._commit()
        if clean and written and self.store.is_open:
            try:
                await self.store.mark_clean()
            except (Retryable, DamagedError) as error:
                self._refuse(error)
        await self.store.close()

    # -- commits

    def wants_commit(self, now: float) -> bool:
        """Something beside messages and deletions is due: losses, a look for what is too old, a file that went."""
        urgent = self.store.is_moved or self.ledger.unsaved or self._mending is not None
        return urgent or (self.live and bool(self.ledger)) or self._room.wants_look(now)

    async def commit(self, put_by: float = inf) -> bool:
        """Write one batch, the oldest first, none put after `put_by`. False when the disk refused (reported once)."""
        return await to_its_end(self._commit(put_by))

    async def _commit(self, put_by: float = inf) -> bool:
        async with self._disk:
            try:
                if not self.store.is_open:
                    await self._open()
                if self.store.is_moved:
                    raise MovedError("the file was deleted or moved")
                if self.refused:
                    await self._room.expire()  # it may be that which makes room
                self._announce()
                await self._write(put_by)
                await self._room.expire()
                await self._mend(MEND_S)
                if self.unclean:
                    await self.store.told()
                    self.unclean = []
            except LogGoneError as error:
                await self.store.close()  # that writes the log to the database; the next commit opens it with a new one
                self._refuse(error)
                return False
            except Retryable as error:
                self._refuse(error)
                return False
            except DamagedError as error:
                return await self._replaced(error)
            if self.refused:
                self.refused = ""
                self._tell("recovered")
            return True

    async def _write(self, put_by: float) -> None:
        batch = self.memory.begin(min(BATCH_BYTES, self._config.memory // 4), BATCH_DELETES, put_by)
        losses, settled = self.ledger.unsaved_losses(), self.ledger.settled()
        change = Change(batch.inserts, batch.deletes, losses, settled)
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
            raise Retryable("there is no room: the disk has less than outbox.keep_free left")
        self.memory.committed(batch, self.live, self._clock.monotonic())
        self.ledger.saved(losses, settled)
        await self._tidy()
        await self._room.prepare()

    async def _write_without_room(self, batch: Batch) -> None:
        """Deletions make room, so they are written when nothing else can be."""
        losses = self.ledger.unsaved_losses()
        await self.store.commit(Change(deletes=batch.deletes, losses=losses))
        self.memory.committed(Batch((), batch.deletes), self.live, self._clock.monotonic())
        self.ledger.saved(losses, ())

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
            except Retryable as error:
                self.unreadable = True
                self._refuse(error)
            except DamagedError as error:
                await self._replaced(error)
            else:
                broken = self.memory.loaded(wanted, batch, self._clock.monotonic())
                self.ledger.add(losses_of(broken, "damaged", "checksum wrong"))

    # -- a disk that fails

    async def _replaced(self, error: DamagedError) -> bool:
        """True when there is a file again, with all or what was left of the old one."""
        try:
            if isinstance(error, MovedError):
                again = await self._written_again(error)
                if again is None:
                    return True
                await self._give_up_file(again)
                await self._open()
                return True
            await self.store.close()
            self._put_aside(error)
            await self._open()
        except Retryable as refusal:
            self._refuse(refusal)
            return False
        except DamagedError as again:  # the next commit deals with it
            await self.store.close()
            self._refuse(again)
            return False
        return True

    async def _written_again(self, error: MovedError) -> DamagedError | None:
        """The file went, but it is still open: all of it is put in its place again. Returns why that cannot be done."""
        try:
            kept = set_aside(self._config.path, self._clock.now_ns())
            await self.store.write_again(REWRITE_S)
        except OSError as refusal:
            raise Retryable(f"{self._config.path} was deleted or moved and cannot be written again: {refusal}") from refusal
        except DamagedError:
            return error
        await self.store.close()
        await self.store.open(self._boot, self._started_ms)
        self._room.restart()
        self._tell("moved", reason=str(error), kept=str(kept or ""))
        return None

    async def _give_up_file(self, error: DamagedError) -> None:
        """The file went and cannot be written again: what only it has, as far as it can still be read, is lost."""
        held = self.memory.held
        ids = {row.id for row in held}
        lost = max(0, sum(self.store.totals.messages.values()) - len(held))
        losses = [x.loss(of, "damaged", str(error)) for of, x in without(self.store.extents, held).items()]
        with suppress(Retryable, DamagedError):
            announced = [self._decode_loss(message) for message in await self.store.loss_messages(ids)]
            self.ledger.announcements_lost(announced)
            losses = await self.store.spans(ids, "damaged", str(error))
        self.ledger.add(losses)
        await self.store.close()
        self._lose_disk()
        unknown = max(0, lost - sum(loss.count for loss in losses))
        self._tell("damaged", reason=str(error), kept="", lost=lost, unknown=unknown, rescued=0)

    def _put_aside(self, error: DamagedError) -> None:
        """Rename the damaged file, which is closed; what it had is mended once a new one is open.

        Raises UnwritableError when it cannot be renamed; then nothing has changed.
        """
        try:
            if self._blank:  # a new file in which nothing has ever been
                remove(self._config.path)
                return
            kept = set_aside(self._config.path, self._clock.now_ns())
        except OSError as refusal:
            raise UnwritableError(f"{self._config.path} is damaged and cannot be renamed: {refusal.strerror}") from error
        known, held = None, self.memory.held
        if self._losses_known:
            store = self.store
            extents = without(store.extents, held, store.uncounted_to)
            messages = max(0, sum(store.totals.messages.values()) - len(held))
            known = Accounts((), messages, extents, store.uncounted_to)
        if self._mending:
            self._end_mending(self._mending)
        self._blank = True
        self._mending = Mending(kept, str(error), known, frozenset(row.id for row in held)) if kept else None
        self._lose_disk()

    def _lose_disk(self) -> None:
        self.memory.disk_lost()
        self.ledger.store_lost()

    async def _mend(self, most_s: float) -> None:
        """Copy what can be read of a file that was set aside, for about `most_s`. Raises as `Store` does."""
        if not self._mending:
            return
        mending, until = self._mending, self._clock.monotonic() + most_s
        batch: Sequence[Entry] | None = ()
        try:
            while batch := await mending.step(self.store, self.ledger, self._config):
                self.memory.disk_gained(batch)
                if self._clock.monotonic() >= until:
                    break
        finally:
            if batch is None:
                self._end_mending(mending)
            elif not mending.told:
                mending.told = True
                self._tell("damaged", lost=None, unknown=None, **mending.said)

    def _end_mending(self, mending: Mending) -> None:
        """Nothing more can be had of that file."""
        self._mending = None
        mending.end(self.ledger)
        state = "rescued" if mending.told else "damaged"
        self._tell(state, lost=mending.lost, unknown=mending.unknown, **mending.said)

    def _refuse(self, error: Exception) -> None:
        if not self.refused:
            self.refused = str(error) or type(error).__name__
            self._tell("refused", reason=self.refused)

    def _tell(self, state: str, **detail: object) -> None:
        detail = {"state": state, **detail, "severity": SEVERITY[state]}
        self._report(Event("outbox", self._clock.now_ns(), detail=detail))
