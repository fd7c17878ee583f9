"""What a broker may send, and how fast it is read."""

from gateway.sinks.mqtt.read_pace import EMPTY_PER_S, MOST_EMPTY, ReadPace


def test_frames_that_carry_nothing_are_a_flood_beyond_a_number_at_once() -> None:
    pace = ReadPace(is_paced=True)
    pace.frames(MOST_EMPTY, MOST_EMPTY, 1.0)
    assert not pace.is_flooded
    pace.answer(was_asked=False)
    assert pace.is_flooded


def test_slowly_they_may_come_for_ever() -> None:
    pace = ReadPace(is_paced=True)
    for second in range(100):
        pace.frames(EMPTY_PER_S, EMPTY_PER_S, float(second))
        assert not pace.is_flooded


def test_a_broker_that_only_answers_is_never_slowed_down() -> None:
    pace = ReadPace(is_paced=True)
    for _ in range(200_000):
        pace.frames(1, 0, 1.0)
        pace.answer(was_asked=True)
    assert pace.pause_s == 0


def test_messages_pause_reading_by_number_and_by_bytes_until_their_time_has_come() -> None:
    for size, count in ((100, 60_000), (1 << 20, 60)):
        pace = ReadPace(is_paced=True)
        pace.frames(0, 0, 1.0)
        for _ in range(count):
            pace.message(size)
        assert pace.pause_s > 1
        pace.frames(0, 0, 1.0 + pace.pause_s)
        assert pace.pause_s == 0
        assert not pace.is_flooded


def test_a_subscriber_by_trade_reads_messages_as_fast_as_they_come() -> None:
    pace = ReadPace(is_paced=False)
    for _ in range(100_000):
        pace.message(100)
    assert pace.pause_s == 0
