"""Which layout a message gets: the gateway's, or its device's own."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from gateway.core.messages import Message
from gateway.core.ports.layout import LatestStates, Layout, MessageObserver, Packet
from gateway.encoding.descriptions import Descriptions


class PerDevice:
    """A `core.ports.layout.Layout` that hands each message to the layout of its device.

    MessageObserver, LatestStates, StandingPackets. Messages of the gateway itself, and of devices that are no longer
    configured, go to `usual`.
    """

    def __init__(self, usual: Layout, own: Mapping[str, Layout], descriptions: Descriptions | None = None) -> None:
        """own: layouts by what the topics of a device begin with. descriptions: what stands beside the messages."""
        self._usual = usual
        self._own = own
        self.descriptions = descriptions

    def adopt(self, own: Mapping[str, Layout]) -> None:
        """Use other layouts of devices from now on."""
        self._own = own

    @property
    def own(self) -> Mapping[str, Layout]:
        """Return the layouts of devices that have chosen one, by what their topics begin with."""
        return self._own

    def packets(self, message: Message, *, hist: bool, most_bytes: int) -> Sequence[Packet]:
        """Return the packets that the device's layout makes."""
        return self._layout_of(message).packets(message, hist=hist, most_bytes=most_bytes)

    def observe(self, message: Message) -> None:
        """Show a message to its device's layout, where that looks at messages."""
        layout = self._layout_of(message)
        if isinstance(layout, MessageObserver):
            layout.observe(message)

    def latest_states(self) -> Iterator[Packet]:
        """Return those of all devices."""
        if self.descriptions is not None:
            self.descriptions.connected()
        own = [layout.latest_states() for layout in self._own.values() if isinstance(layout, LatestStates)]
        return chain.from_iterable(own)

    async def standing(self) -> Iterator[Packet]:
        """Return the descriptions of all devices, and what else stands."""
        if self.descriptions is None:
            await asyncio.Event().wait()
        assert self.descriptions is not None
        return await self.descriptions.changes()

    def arrived(self, packet: Packet) -> None:
        """Record that the far end has a packet that stands."""
        if self.descriptions is not None:
            self.descriptions.arrived(packet)

    def _layout_of(self, message: Message) -> Layout:
        return self._own.get(message.topic.rpartition("/")[0], self._usual)
