"""What goes over a connection to the broker."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from gateway.core.errors import GatewayError
from gateway.core.ports.sink import QoS


@dataclass(frozen=True, slots=True)
class Will:
    """The last will: what the broker publishes at QoS 1 when this client vanishes (MQTT 5.0, 3.1.2.5). after_goodbye: asked
    at a proper end; where it says so, MQTT 5 sends the will then as well (3.14.2.1, 0x04)."""

    topic: str
    payload: bytes
    content_type: str = ""
    retain: bool = True
    after_goodbye: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True)
class Received:
    """A message from a subscription. dup: the broker has sent it before; retain: it was kept from earlier."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool


@dataclass(slots=True, eq=False)
class Outgoing:
    """A message to publish, and the future that its acknowledgement ends: the PUBACK, or at QoS 0 the PINGRESP to a PINGREQ
    sent later. properties: packed; None in MQTT 3.1.1. alias: the topic alias it was sent with."""

    topic: str
    payload: bytes
    retain: bool
    properties: bytes | None
    future: asyncio.Future[None]
    alias: int = 0
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
