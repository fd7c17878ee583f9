"""Every event is counted, and logged as its type says."""

import structlog
from structlog.testing import capture_logs

from gateway.core.events.device import DeviceStateChanged
from gateway.core.events.gateway import Stall
from gateway.core.events.security import SecurityEvent
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


def test_security_events_have_a_logger_of_their_own_with_source_and_result() -> None:
    events = EventLog(table(2, devices=2))
    with capture_logs(processors=[structlog.stdlib.add_logger_name]) as logs:
        events.record(Stall(time_ns=1, for_ms=3500))
        for result in ("refused", "accepted"):
            events.record(
                SecurityEvent(time_ns=1, device=1, what="trust_changed", source="device1", result=result, reason="why")
            )
    told = {"event": "trust_changed", "device": "device1", "source": "device1", "reason": "why"}
    assert [(line.pop("logger"), line.pop("log_level"), line.pop("result", "")) for line in logs] == [
        ("gateway.pipeline", "warning", ""),
        ("gateway.security", "warning", "refused"),
        ("gateway.security", "info", "accepted"),
    ]
    assert logs[1:] == [told, told]
