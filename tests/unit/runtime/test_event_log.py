"""Every event is counted, and logged as its type says."""

from structlog.testing import capture_logs

from gateway.core.events.device import DeviceStateChanged
from gateway.core.events.gateway import Stall
from gateway.runtime.event_log import EventLog
from tests.support.blocks import table
from tests.support.events import limit_alarm


def test_events_are_counted_by_kind_and_logged_at_their_level() -> None:
    events = EventLog(table(2, devices=2))
    with capture_logs() as logs:
        events.record(DeviceStateChanged(time_ns=1, device=1, state="down", reason="no route"))
        events.record(Stall(time_ns=1, for_ms=3500))
        events.record(limit_alarm())
        events.record(limit_alarm())
    assert logs == [
        {"event": "device", "log_level": "warning", "device": "device1", "state": "down", "reason": "no route"},
        {"event": "stood still", "log_level": "warning", "for_s": 3.5},
    ]
    assert events.counts == {"device": 1, "stall": 1, "alarm": 2}
