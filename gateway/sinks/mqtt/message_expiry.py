"""How long the broker keeps messages for subscribers that are away (MQTT 5.0, 3.3.2.3.3)."""

from dataclasses import dataclass
from typing import Final

from gateway.core.messages import Lane, Message


@dataclass(frozen=True, slots=True)
class MessageExpiry:
    """Message expiry intervals, in whole seconds; 0 for never."""

    live_s: int = 0
    """Of what is sent live."""
    backlog_s: int = 0
    """Of what is sent from backlog."""

    def of(self, message: Message, *, hist: bool) -> int:
        """Return the interval for the packets of a message, 0 for none.

        Events never expire, since they hold alarms and loss records. Neither do retained packets (`PacketSender`): the
        broker would forget the newest state.
        """
        return 0 if message.lane is Lane.EVENT else self.backlog_s if hist else self.live_s


NO_EXPIRY: Final = MessageExpiry()
