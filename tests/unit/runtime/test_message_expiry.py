"""What may expire at the broker, and what must not."""

from collections.abc import Sequence

import pytest

from gateway.core.messages import Lane, Message
from gateway.core.ports.sink import Packet, Properties
from gateway.runtime.message_expiry import Expiring


class Two:
    def packets(self, message: Message, *, hist: bool, most_bytes: int) -> Sequence[Packet]:
        head = Properties("application/json", (("seq", "1"),))
        return [Packet("a", message.payload, properties=head), Packet("a/kept", message.payload, retain=True)]


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
def test_live_windows_expire_events_and_retained_packets_never(
    live_s: int, backlog_s: int, lane: Lane, hist: bool, expected: int
) -> None:
    message = Message("a", "b", 1, lane, 0, 0, b"x")
    packets = Expiring(Two(), live_s, backlog_s).packets(message, hist=hist, most_bytes=100)
    assert [packet.properties.expiry_s for packet in packets] == [expected, 0]
    assert packets[0].properties.user == (("seq", "1"),)
