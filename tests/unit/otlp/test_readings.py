"""What waits for a collector that is away is bounded in time and number."""

from gateway.core.spans import Span
from gateway.otlp import readings
from gateway.otlp.readings import EndedSpan, Points, Reading, WaitingReadings

SECOND_NS = 1_000_000_000


def reading(at_s: int, values: int = 1) -> Reading:
    return Reading(at_s * SECOND_NS, [Points("m", "gauge", "", [(1.0, {})] * values)])


def test_older_readings_go_and_are_counted() -> None:
    waiting = WaitingReadings(300 * SECOND_NS)
    for at_s in range(0, 1_000, 10):
        waiting.add(reading(at_s))
    assert len(waiting) == 31
    assert waiting.oldest == reading(690)
    assert waiting.dropped == 100 - 31


def test_there_is_a_ceiling_of_values_and_the_newest_always_stays() -> None:
    waiting = WaitingReadings(3600 * SECOND_NS)
    for at_s in range(5):
        waiting.add(reading(at_s, readings.MOST_VALUES // 2))
    assert len(waiting) == 2
    waiting.add(reading(9, 2 * readings.MOST_VALUES))
    assert waiting.oldest == reading(9, 2 * readings.MOST_VALUES)
    waiting.sent(reading(8))
    assert len(waiting) == 1, "another one than the oldest was dropped meanwhile"


def test_spans_that_were_not_sent_stay_before_newer_ones() -> None:
    waiting = WaitingReadings(0)
    spans = [EndedSpan(n, Span("poll", 1.0)) for n in range(1_500)]
    for one in spans[:1_200]:
        waiting.add_span(one)
    taken = waiting.take_spans()
    assert taken == spans[200:1_200]
    for one in spans[1_200:1_300]:
        waiting.add_span(one)
    waiting.put_back(taken)
    assert waiting.take_spans() == spans[300:1_300]
