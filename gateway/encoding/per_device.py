"""Which layout a message gets: the gateway's, or its device's own."""

from collections.abc import Mapping, Sequence

from gateway.core.messages import Message
from gateway.core.ports.layout import Layout, Packet


class PerDevice:
    """A `core.ports.layout.Layout` that hands each message to the layout of its device.

    Messages of the gateway itself, and of devices that are no longer configured, go to `usual`.
    """

    def __init__(self, usual: Layout, own: Mapping[str, Layout]) -> None:
        """own: layouts by what the topics of a device begin with."""
        self._usual = usual
        self._own = own

    def packets(self, message: Message, *, hist: bool, most_bytes: int) -> Sequence[Packet]:
        """Return the packets that the device's layout makes."""
        layout = self._own.get(message.topic.rpartition("/")[0], self._usual)
        return layout.packets(message, hist=hist, most_bytes=most_bytes)
