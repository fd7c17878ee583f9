"""What an outbox is given by the gateway that it is built into."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.core.clock import Clock
from gateway.core.events.event import Event
from gateway.core.messages import Loss, Message
from gateway.outbox.config import OutboxConfig
from gateway.outbox.window_compaction import Merge


@dataclass(frozen=True, slots=True)
class OutboxContext:
    """Settings, clock and functions of one outbox; the fields are those of `Outbox`."""

    config: OutboxConfig
    boot: str
    """The name of this boot, as in `Message.boot`."""
    clock: Clock
    encode_loss: Callable[[Loss], Message]
    """Make the message that announces a loss, in lane EVENT."""
    decode_loss: Callable[[Message], Loss]
    """Read such a message back, when it was refused or there was no room for it."""
    merge: Merge | None
    """Merge old windows into longer ones; called in a thread. None: they are not merged."""
    report: Callable[[Event], None]
    """Take an event about the disk."""
