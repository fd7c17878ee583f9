"""Wrong tokens become events, and a flood of them does not become a flood of events."""

from gateway.core.events.event import Event
from gateway.web.access import AccessRefusals
from tests.support.clock import ManualClock


async def test_the_first_is_reported_at_once_and_a_flood_once_a_minute_with_its_number() -> None:
    clock, events = ManualClock(), list[Event]()
    refusals = AccessRefusals(clock, events.append)
    refusals.refused("10.0.0.7")
    for number in range(1_000):
        refusals.refused(f"10.0.1.{number % 250}")
    (first,) = events
    assert "1 wrong token shown by 10.0.0.7" in str(first.payload()["reason"])
    await clock.advance(61)
    refusals.refused("10.0.0.7")
    assert len(events) == 2
    reason = str(events[1].payload()["reason"])
    assert reason.startswith("1001 wrong tokens shown by 10.0.1.0, ")
    assert "and others" in reason
