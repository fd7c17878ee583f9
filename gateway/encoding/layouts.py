"""From stored messages to what goes over the wire."""

from collections.abc import Sequence

from gateway.core.messages import Message
from gateway.core.ports import Packet, Properties
from gateway.encoding.encoder import mark_hist

JSON = "application/json"


class DeviceLayout:
    """The contract as it stands in the README: one topic per device and kind. A `core.ports.Layout`."""

    def packets(self, message: Message, *, hist: bool, most_bytes: int) -> Sequence[Packet]:
        """The message as it is stored, marked when it comes from backlog."""
        payload = mark_hist(message.payload) if hist else message.payload
        return [
            Packet(message.topic, payload, properties=Properties(JSON, (("boot", message.boot), ("seq", str(message.seq)))))
        ]
