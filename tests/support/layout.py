"""The layout's fake, shipped with the port: every message as one packet on its own topic."""

from collections.abc import Sequence

from gateway.core.messages import Message
from gateway.core.ports.layout import Packet


class PlainLayout:
    """A `core.ports.layout.Layout`. Marks nothing."""

    def packets(self, message: Message, *, hist: bool, most_bytes: int) -> Sequence[Packet]:
        """The payload as it is."""
        return [Packet(message.topic, message.payload)]
