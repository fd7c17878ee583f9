"""What goes over a connection to the broker, and comes from it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from gateway.core.errors import GatewayError, Permanent

_OBJECT_BYTES: Final = 256

QoS = Literal[0, 1]
"""Quality of service (MQTT 5.0, 4.3). 2 is never used: what it promises, (boot, topic, seq) gives to subscribers."""


@dataclass(frozen=True, slots=True)
class Will:
    """The last will: what the broker publishes at QoS 1 when this client vanishes (MQTT 5.0, 3.1.2.5)."""

    topic: str
    payload: bytes
    content_type: str = ""
    retain: bool = True
    after_disconnect: Callable[[], bool] = lambda: False
    """Asked at a proper end: whether MQTT 5 is to send the will then as well (3.14.2.1, 0x04)."""


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message from a subscription. A `core.ports.sink.ReceivedMessage`."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    """The broker had kept it from earlier."""
    dup: bool
    """The broker has sent it before."""
    properties: bytes = b""
    """As they came (MQTT 5), without their length."""
    skipped_bytes: int = 0
    """Of a payload that was too large to be taken."""

    @property
    def memory_bytes(self) -> int:
        """Return about how many bytes of memory it takes while it waits."""
        return len(self.topic) + len(self.payload) + len(self.properties) + self.skipped_bytes + _OBJECT_BYTES

    @property
    def is_kept(self) -> bool:
        """Return whether it was retained."""
        return self.retain

    @property
    def is_repeated(self) -> bool:
        """Return whether it has the DUP flag."""
        return self.dup

    @property
    def is_fleeting(self) -> bool:
        """Return whether it came at QoS 0, of which brokers keep nothing for those who are away."""
        return self.qos == 0


class PacketTooLarge(Permanent):
    """The broker does not take packets of this size; smaller ones of the same message it may take."""


@dataclass(slots=True, eq=False)
class Outgoing:
    """A message to publish."""

    topic: str
    payload: bytes
    retain: bool
    properties: bytes | None
    """Packed; None in MQTT 3.1.1."""
    future: asyncio.Future[None]
    """Ends with the PUBACK, or at QoS 0 with the PINGRESP to a PINGREQ sent later."""
    alias: int = 0
    """The topic alias it was sent with, 0 for none."""
    qos: QoS = 1

    def fail(self, error: GatewayError) -> None:
        """End the future with `error`, unless it has ended."""
        end(self.future, error)


def end(future: asyncio.Future[None], error: GatewayError | None) -> None:
    """End a future with None or an error, unless it has ended."""
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
        future.exception()  # counts as seen: whoever asked may have gone, and the log is not the place for it
