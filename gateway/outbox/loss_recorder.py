"""Losses as they arise: what memory gives up, what the sink refuses, what cannot be read; and their announcement."""

from collections.abc import Sequence

from gateway.core.messages import Loss, Message
from gateway.outbox.context import OutboxContext
from gateway.outbox.database.compression import MOST_PAYLOAD_BYTES
from gateway.outbox.dead_letters import DeadLetters
from gateway.outbox.losses import LossLedger, losses_of
from gateway.outbox.memory.memory import Memory
from gateway.outbox.records import LOSS_LANE, Broken, Entry


class LossRecorder:
    """Records losses in the ledger; what can be of use to people stands beside the outbox as well."""

    def __init__(self, context: OutboxContext, memory: Memory, ledger: LossLedger) -> None:
        self.dead_letters = DeadLetters(context.config.path)
        self._context, self._memory, self._ledger = context, memory, ledger

    def given_up(self, entries: Sequence[Entry], cause: str, detail: str, *, parked: bool = False) -> None:
        """Record the loss of messages that were in memory, and anew what those among them announced."""
        self._ledger.add(losses_of((entry.row for entry in entries), cause, detail), parked)
        announced = (self._context.decode_loss(entry.message) for entry in entries if entry.lane == LOSS_LANE)
        self._ledger.announcements_lost(announced, parked)

    def refused(self, entry: Entry, reason: str) -> None:
        """Set aside what the sink will never take."""
        self.dead_letters.add(entry.message, reason, self._context.clock.now_ns())
        # a refused announcement is announced on the next connection: at once would go round in circles
        self.given_up([entry], "refused", reason, parked=entry.lane == LOSS_LANE)

    def broken(self, rows: Sequence[Broken]) -> None:
        """Set aside rows that cannot be used, with what is kept of them."""
        for reason in sorted({one.reason for one in rows}):
            self._ledger.add(losses_of((one.row for one in rows if one.reason == reason), "damaged", reason))
        for one in rows:
            self.dead_letters.add_row(one, self._context.clock.now_ns())

    def too_large(self, message: Message) -> None:
        """Record the loss of a message that is larger than any that is kept."""
        detail = f"a message of {len(message.payload)} bytes, more than {MOST_PAYLOAD_BYTES // 2**20} MiB"
        self.given_up([Entry(0, message, False, message.lane, 0.0)], "memory", detail)

    def noted(self, losses: Sequence[Loss]) -> None:
        """Take over the losses that the stop of an earlier run has noted."""
        self._ledger.add(losses)

    def lost_with_stop(self, reason: str) -> None:
        """Record the loss of all that the disk lacks at the end."""
        self.given_up(self._memory.unwritten_entries, "memory", f"lost with a stop: {reason}")

    def announce(self) -> None:
        """Make messages of all losses that are not announced yet."""
        for loss in self._ledger.announce():
            self._memory.put_loss(self._context.encode_loss(loss), self._context.clock.monotonic())
