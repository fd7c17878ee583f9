"""What is learned of a broker's largest packet."""

from gateway.sinks.mqtt.packet_limit import PacketLimit

ALL = 1 << 28


def test_a_payload_that_fails_leads_to_a_quarter_of_it() -> None:
    limit = PacketLimit(ALL)
    limit.failed(14_000)
    assert limit.most_bytes == 3_500
    limit.failed(3_400)
    assert limit.most_bytes == 850


def test_it_never_goes_below_what_has_passed_nor_below_half_a_kilobyte() -> None:
    limit = PacketLimit(ALL)
    limit.passed(9_000)
    limit.failed(14_000)
    assert limit.most_bytes == 9_000
    limit.failed(8_000)
    assert limit.most_bytes == 9_000, "such a size has passed: it was not the reason"
    limit.reconnected()
    limit.failed(8_000)
    assert limit.most_bytes == 2_000, "the broker may take less than before"
    for _ in range(10):
        limit.failed(limit.most_bytes)
    assert limit.most_bytes == 512
