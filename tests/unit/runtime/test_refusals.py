"""Refused logins and certificates become security events: once, again after an hour, and again after a connection."""

from gateway.core.errors import NotConnected
from gateway.core.events.event import Event
from gateway.runtime.refusals import RefusalReports
from tests.support.clock import ManualClock

REFUSED = NotConnected("the server refuses the user", security="login_refused")


def test_what_is_no_matter_of_security_is_not_published() -> None:
    events: list[Event] = []
    RefusalReports(events.append, ManualClock()).record(NotConnected("no answer"), "line")
    assert not events


def test_a_refusal_is_published_once_for_each_device_with_what_source_result_and_reason() -> None:
    events: list[Event] = []
    reports = RefusalReports(events.append, ManualClock())
    for device in (0, 1, 0, 1):
        reports.record(REFUSED, "line", device)
    assert [event.device for event in events] == [0, 1]
    assert events[0].payload() == {
        "what": "login_refused",
        "source": "line",
        "result": "refused",
        "reason": "the server refuses the user",
        "severity": 600,
    }


async def test_a_refusal_is_published_again_after_an_hour_another_reason_or_a_connection() -> None:
    events: list[Event] = []
    clock = ManualClock()
    reports = RefusalReports(events.append, clock)
    reports.record(REFUSED, "broker")
    await clock.advance(3599)
    reports.record(REFUSED, "broker")
    assert len(events) == 1
    await clock.advance(2)
    reports.record(REFUSED, "broker")
    assert len(events) == 2
    reports.record(NotConnected("no fingerprint", security="certificate_refused"), "broker")
    assert len(events) == 3
    reports.forget()
    reports.record(NotConnected("no fingerprint", security="certificate_refused"), "broker")
    assert len(events) == 4
