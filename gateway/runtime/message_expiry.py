"""How long the broker keeps messages for subscribers that are away."""

from collections.abc import Sequence
from dataclasses import replace

from gateway.core.messages import Lane, Message
from gateway.core.ports.layout import Layout
from gateway.core.ports.sink import Packet


class Expiring:
    """A layout whose packets expire at the broker (MQTT 5.0, 3.3.2.3.3). A `core.ports.Layout`.

    Retained packets do not: the broker would forget the newest state. Nor do events, which hold alarms and loss records.
    """

    def __init__(self, layout: Layout, live_s: int, backlog_s: int) -> None:
        """live_s, backlog_s: whole seconds for what is sent live and from backlog; 0 for never."""
        self._layout = layout
        self._live_s, self._backlog_s = live_s, backlog_s

    def packets(self, message: Message, *, hist: bool, most_bytes: int) -> Sequence[Packet]:
        """Those of the layout, with a time to live."""
        packets = self._layout.packets(message, hist=hist, most_bytes=most_bytes)
        expiry_s = self._backlog_s if hist else self._live_s
        if not expiry_s or message.lane is Lane.EVENT:
            return packets
        return [p if p.retain else replace(p, properties=replace(p.properties, expiry_s=expiry_s)) for p in packets]
