"""Opening the database, and having another one in its place when it is damaged or was taken away."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from gateway.core.clock import Clock
from gateway.core.errors import Retryable
from gateway.core.events.delivery import OutboxState
from gateway.core.messages import Loss, Message
from gateway.core.ports.watermarks import StoredWatermark
from gateway.outbox.config import OutboxConfig
from gateway.outbox.database.sqlite_errors import DamagedError, MovedError, UnwritableError
from gateway.outbox.database.store import Store
from gateway.outbox.database.topic_counts import without
from gateway.outbox.files import remove, set_aside
from gateway.outbox.health import Health
from gateway.outbox.losses import LossLedger
from gateway.outbox.memory.memory import Memory
from gateway.outbox.records import Entry
from gateway.outbox.recovery.damaged_reader import Accounts
from gateway.outbox.recovery.salvage import DAMAGED, Mending

RESCUE_S: Final = 5.0
"""How long a start, or a commit, may be busy with a damaged file; what is left then is copied beside the work."""

REWRITE_S: Final = 15.0
"""Longest time for writing a file again that was taken away: the watchdog's patience with the outbox is 20 s."""

MEND_S: Final = 0.1
"""How long a commit may be busy with what is left of a damaged file."""


class Recovery:
    """Gives the store a file, whatever becomes of it; called under the writer's lock, never cancelled half-way."""

    def __init__(
        self,
        config: OutboxConfig,
        boot: str,
        clock: Clock,
        store: Store,
        memory: Memory,
        ledger: LossLedger,
        health: Health,
        decode_loss: Callable[[Message], Loss],
        adopt_watermarks: Callable[[Mapping[str, StoredWatermark], bool], None],
        opened: Callable[[], None],
    ) -> None:
        """adopt_watermarks: called when a file was opened, with those of a damaged file that it replaces, and whether there
        were no others. opened: called when the store has opened a file."""
        self._config, self._boot, self._clock = config, boot, clock
        self._store, self._memory, self._ledger, self._health = store, memory, ledger, health
        self._decode_loss, self._opened, self._adopt_watermarks = decode_loss, opened, adopt_watermarks
        self._mending: Mending | None = None
        self._blank = False
        self._losses_known = False
        self._started_ms = clock.now_ns() // 1_000_000

    @property
    def mending(self) -> bool:
        """Something of a damaged file is still to be copied."""
        return self._mending is not None

    async def open(self) -> None:
        """Open the database, or start a new one where it is damaged. Raises as `Store` does."""
        try:
            await self._store.open(self._boot, self._started_ms)
        except DamagedError as error:
            self._put_aside(error)
            await self._open_new()
        self._blank = False
        if self._mending:
            await self._mending.begin(self._store, self._ledger)
        self._adopt()
        await self.mend(RESCUE_S)

    async def _open_new(self) -> None:
        """Start a new file. Raises Retryable also when that is damaged as well."""
        try:
            await self._store.open(self._boot, self._started_ms)
        except DamagedError as error:
            raise Retryable(f"a new database is damaged as well: {error}") from error

    def _adopt(self) -> None:
        self._memory.disk_found(self._store.last_id)
        if not self._losses_known:  # opened again, it has nothing that the ledger lacks
            self._ledger.found(self._store.losses)
        self._losses_known = True
        rescued = self._mending.watermarks if self._mending else {}
        self._adopt_watermarks(rescued, self._mending is None)
        self._opened()

    async def replace(self, error: DamagedError) -> bool:
        """True when there is a file again, with all or what was left of the old one."""
        try:
            if isinstance(error, MovedError):
                again = await self._written_again(error)
                if again is None:
                    return True
                await self._give_up_file(again)
                await self.open()
                return True
            await self._store.close()
            self._put_aside(error)
            await self.open()
        except Retryable as refusal:
            self._health.refuse(refusal)
            return False
        except DamagedError as again:  # the next commit deals with it
            await self._store.close()
            self._health.refuse(again)
            return False
        return True

    async def _written_again(self, error: MovedError) -> DamagedError | None:
        """The file went, but it is still open: all of it is put in its place again. Returns why that cannot be done."""
        try:
            kept = set_aside(self._config.path, self._clock.now_ns())
            await self._store.write_again(REWRITE_S)
        except OSError as refusal:
            raise Retryable(f"{self._config.path} was deleted or moved and cannot be written again: {refusal}") from refusal
        except DamagedError:
            return error
        await self._store.close()
        await self._store.open(self._boot, self._started_ms)
        self._adopt_watermarks({}, True)
        self._opened()
        self._health.tell("moved", reason=str(error), kept=str(kept or ""))
        return None

    async def _give_up_file(self, error: DamagedError) -> None:
        """The file went and cannot be written again: what only it has, as far as it can still be read, is lost."""
        held = self._memory.held
        ids = {row.id for row in held}
        lost = max(0, sum(self._store.totals.messages.values()) - len(held))
        losses = [x.loss(of, DAMAGED, str(error)) for of, x in without(self._store.extents, held).items()]
        with suppress(Retryable, DamagedError):
            announced = [self._decode_loss(message) for message in await self._store.loss_messages(ids)]
            self._ledger.announcements_lost(announced)
            losses = await self._store.spans(ids, DAMAGED, str(error))
        self._ledger.add(losses)
        await self._store.close()
        self._lose_disk()
        unknown = max(0, lost - sum(loss.count for loss in losses))
        self._health.tell("damaged", reason=str(error), kept="", lost=lost, unknown=unknown, rescued=0)

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
        known, held = None, self._memory.held
        if self._losses_known:
            store = self._store
            extents = without(store.extents, held, store.uncounted_to)
            messages = max(0, sum(store.totals.messages.values()) - len(held))
            known = Accounts((), messages, extents, store.uncounted_to)
        if self._mending:
            self._end_mending(self._mending)
        self._blank = True
        self._mending = Mending(kept, str(error), known, frozenset(row.id for row in held)) if kept else None
        self._lose_disk()

    def _lose_disk(self) -> None:
        self._memory.disk_lost()
        self._ledger.store_lost()

    async def mend(self, most_s: float) -> None:
        """Copy what can be read of a file that was set aside, for about `most_s`. Raises as `Store` does."""
        if not self._mending:
            return
        mending, until = self._mending, self._clock.monotonic() + most_s
        batch: Sequence[Entry] | None = ()
        try:
            while batch := await mending.step(self._store, self._ledger, self._config):
                self._memory.disk_gained(batch)
                if self._clock.monotonic() >= until:
                    break
        finally:
            if batch is None:
                self._end_mending(mending)
            elif not mending.told:
                mending.told = True
                self._health.tell("damaged", lost=None, unknown=None, **mending.said)

    def _end_mending(self, mending: Mending) -> None:
        """Nothing more can be had of that file."""
        self._mending = None
        mending.end(self._ledger)
        state: OutboxState = "rescued" if mending.told else "damaged"
        self._health.tell(state, lost=mending.lost, unknown=mending.unknown, **mending.said)
