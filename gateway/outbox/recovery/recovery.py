"""Recovery: open the database, and put another one in its place when it is damaged or was taken away."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from gateway.core.errors import Retryable
from gateway.core.events.delivery import OutboxState
from gateway.core.plural import counted
from gateway.core.ports.watermarks import StoredWatermark
from gateway.outbox.context import OutboxContext
from gateway.outbox.database.sqlite_errors import DamagedError, MovedError, SealBrokenError, UnwritableError
from gateway.outbox.database.store import Store
from gateway.outbox.database.topic_counts import without
from gateway.outbox.files import remove, set_aside
from gateway.outbox.health import Health
from gateway.outbox.losses import LossLedger
from gateway.outbox.memory.memory import Memory
from gateway.outbox.records import Entry
from gateway.outbox.recovery.damaged_reader import Accounts
from gateway.outbox.recovery.salvage import DAMAGED, Salvage

RESCUE_S: Final = 5.0
"""How long a start, or a commit, may be busy with a damaged file; what is left then is copied beside the work."""

REWRITE_S: Final = 15.0
"""Longest time for writing a file again that was taken away: the watchdog waits 20 s for the outbox."""

SALVAGE_S: Final = 0.1
"""How long a commit may be busy with what is left of a damaged file."""


class Recovery:
    """Opens files for the store, whatever happens to them; called under the writer's lock, never cancelled half-way."""

    def __init__(
        self,
        context: OutboxContext,
        store: Store,
        memory: Memory,
        ledger: LossLedger,
        health: Health,
        adopt_watermarks: Callable[[Mapping[str, StoredWatermark], bool], Awaitable[None]],
        on_opened: Callable[[], None],
    ) -> None:
        """adopt_watermarks, on_opened: called when a file was opened.

        The first gets the watermarks of a damaged file that this one replaces, and whether there were no others; it
        writes what the file lacks of them, where the disk takes it. Raises DamagedError.
        """
        self.rescue_s = RESCUE_S
        """Longest time of `open` with a damaged file, seconds."""
        self.salvage_s = SALVAGE_S
        """Longest time of a commit with one, seconds."""
        self._config, self._boot, self._clock = context.config, context.boot, context.clock
        self._decode_loss = context.decode_loss
        self._store, self._memory, self._ledger, self._health = store, memory, ledger, health
        self._adopt_watermarks, self._on_opened = adopt_watermarks, on_opened
        self._salvage: Salvage | None = None
        self._is_blank = False
        self._losses_known = False
        self._started_ms = context.clock.now_ns() // 1_000_000

    @property
    def is_salvaging(self) -> bool:
        """Return whether something of a damaged file is still to be copied."""
        return self._salvage is not None

    async def open(self) -> None:
        """Open the database, or start a new one where it is damaged. Raises as `Store` does."""
        try:
            await self._store.open(self._boot, self._started_ms)
        except DamagedError as error:
            self._put_aside(error)
            await self._open_new()
        self._is_blank = False
        if self._salvage:
            await self._salvage.begin(self._store, self._ledger)
        await self._adopt()
        await self.continue_salvage(self.rescue_s)

    async def _open_new(self) -> None:
        """Start a new file. Raises Retryable also when that is damaged as well."""
        try:
            await self._store.open(self._boot, self._started_ms)
        except DamagedError as error:
            raise Retryable(f"a new database is damaged as well: {error}") from error

    async def _adopt(self) -> None:
        self._memory.disk_found(self._store.last_id)
        if not self._losses_known:  # opened again, it has nothing that the ledger lacks
            self._ledger.found(self._store.losses)
        self._losses_known = True
        self._on_opened()
        rescued = self._salvage.watermarks if self._salvage else {}
        await self._adopt_watermarks(rescued, self._salvage is None)
        if self._store.unsealed_before:
            count, self._store.unsealed_before = self._store.unsealed_before, 0
            what = "from before are taken as they are"
            if self._store.is_unproven:
                what = "from before schema 5 are taken if each was encrypted with this key; watermarks count as uncertain"
            self._health.report("sealed", reason=f"{counted(count, 'message')} {what}")

    async def replace(self, error: DamagedError) -> bool:
        """Return whether there is a file again, with all or what was left of the old one."""
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
            self._health.refuse(refusal, self._clock.now_ns())
            return False
        except DamagedError as again:  # the next commit deals with it
            await self._store.close()
            self._health.refuse(again, self._clock.now_ns())
            return False
        return True

    async def _written_again(self, error: MovedError) -> DamagedError | None:
        """Copy the file that went, but is still open, to its place again. Returns why that cannot be done."""
        try:
            kept = set_aside(self._config.path, self._clock.now_ns())
            await self._store.write_again(REWRITE_S)
        except OSError as refusal:
            raise Retryable(f"{self._config.path} was deleted or moved and cannot be written again: {refusal}") from refusal
        except DamagedError:
            return error
        await self._store.close()
        await self._store.open(self._boot, self._started_ms)
        self._on_opened()
        self._health.report("moved", reason=str(error), kept=str(kept or ""))
        await self._adopt_watermarks({}, True)
        return None

    async def _give_up_file(self, error: DamagedError) -> None:
        """Declare lost what only a file has that went and cannot be written again, as far as it can still be read."""
        held = self._memory.held
        ids = {row.id for row in held}
        lost = max(0, sum(self._store.totals.messages.values()) - len(held))
        losses = [x.loss(of, DAMAGED, str(error)) for of, x in without(self._store.topic_counts, held).items()]
        with suppress(Retryable, DamagedError):
            announced = [self._decode_loss(message) for message in await self._store.loss_messages(ids)]
            self._ledger.announcements_lost(announced)
            losses = await self._store.spans(ids, DAMAGED, str(error))
        self._ledger.add(losses)
        await self._store.close()
        self._lose_disk()
        unknown = max(0, lost - sum(loss.count for loss in losses))
        self._health.report("damaged", reason=str(error), kept="", lost=lost, unknown=unknown, rescued=0)

    def _put_aside(self, error: DamagedError) -> None:
        """Rename the damaged file, which is closed; what it had is mended once a new one is open.

        Raises UnwritableError when it cannot be renamed; then nothing has changed.
        """
        try:
            if self._is_blank:  # a new file in which nothing has ever been
                remove(self._config.path)
                return
            kept = set_aside(self._config.path, self._clock.now_ns())
        except OSError as refusal:
            raise UnwritableError(f"{self._config.path} is damaged and cannot be renamed: {refusal.strerror}") from error
        known, held, sealed = None, self._memory.held, None
        if isinstance(error, SealBrokenError):
            self._health.seal_broken(self._config.path, str(error), kept)
        if self._losses_known:
            sealed = self._store.seal_state
            store = self._store
            topic_counts = without(store.topic_counts, held, store.uncounted_to)
            messages = max(0, sum(store.totals.messages.values()) - len(held))
            known = Accounts((), messages, topic_counts, store.uncounted_to)
        if self._salvage:
            self._end_salvage(self._salvage)
        self._is_blank = True
        self._salvage = Salvage(kept, str(error), known, frozenset(row.id for row in held), sealed) if kept else None
        self._lose_disk()

    def _lose_disk(self) -> None:
        self._memory.disk_lost()
        self._ledger.store_lost()

    async def continue_salvage(self, most_s: float) -> None:
        """Copy what can be read of a file that was set aside, for about `most_s`. Raises as `Store` does."""
        if not self._salvage:
            return
        salvage, until = self._salvage, self._clock.monotonic() + most_s
        batch: Sequence[Entry] | None = ()
        try:
            while batch := await salvage.step(self._store, self._ledger, self._config):
                self._memory.disk_gained(batch)
                if self._clock.monotonic() >= until:
                    break
        finally:
            if batch is None:
                self._end_salvage(salvage)
            elif not salvage.is_reported:
                salvage.is_reported = True
                self._health.report("damaged", lost=None, unknown=None, **salvage.detail)

    def _end_salvage(self, salvage: Salvage) -> None:
        """Nothing more can be had of that file."""
        self._salvage = None
        salvage.end(self._ledger)
        state: OutboxState = "rescued" if salvage.is_reported else "damaged"
        self._health.report(state, lost=salvage.lost, unknown=salvage.unknown, **salvage.detail)
