"""What may expire at the broker, and what must not."""

from collections.abc import Sequence

import pytest

from gateway.core.clock import SystemClock
from gateway.core.messages import Lane, Message
from gateway.core.ports.layout import Packet, Properties
from gateway.core.ports.outbox import Delivery
from gateway.sinks.mqtt.message_expiry import MessageExpiry
from gateway.sinks.mqtt.packet_sender import PacketSender
from tests.support.mqtt_client import FakeMqttClient


class Two:
    def packets(self, message: Message, *, hist: bool, most_bytes: int) -> Sequence[Packet]:
        head = Properties("application/json", (("seq", "1"),))
        return [Packet("a", message.payload, properties=head), Packet("a/kept", message.payload, is_latest=True)]


@pytest.mark.parametrize(
    ("live_s", "backlog_s", "lane", "hist", "expected"),
    [
        (60, 0, Lane.WINDOW, False, 60),
        (60, 0, Lane.WINDOW, True, 0),
        (60, 60, Lane.SUMMARY, True, 60),
        (60, 60, Lane.EVENT, False, 0),
        (0, 0, Lane.WINDOW, False, 0),
    ],
)
async def test_live_windows_expire_events_and_retained_packets_never(
    live_s: int, backlog_s: int, lane: Lane, hist: bool, expected: int
) -> None:
    client = FakeMqttClient()
    await client.open()
    sender = PacketSender(client, Two(), SystemClock(), limit=20, expiry=MessageExpiry(live_s, backlog_s))
    await sender.send(Delivery(1, Message("a", "b", 1, lane, 0, 0, b"x"), not hist))
    assert [published.expiry_s for published in client.published] == [expected, 0]
    assert client.published[0].properties.user == (("seq", "1"),)
