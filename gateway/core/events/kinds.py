"""The kinds of events that belong to no protocol and no layout."""

from typing import Final

from gateway.core.events.delivery import MessagesLost, OutboxStateChanged, SinkListChanged
from gateway.core.events.device import DeviceStateChanged, SamplesLost
from gateway.core.events.event import Event
from gateway.core.events.gateway import (
    CertificateExpiry,
    ClockJump,
    ConfigurationLoaded,
    ConfigurationRefused,
    ConfigurationReloaded,
    HistorianStateChanged,
    Stall,
    UncleanStop,
)
from gateway.core.events.process import AlarmFlood, Anomaly, LimitAlarm
from gateway.core.events.security import SecurityEvent

CORE_EVENTS: Final[tuple[type[Event], ...]] = (
    LimitAlarm,
    AlarmFlood,
    Anomaly,
    DeviceStateChanged,
    SamplesLost,
    MessagesLost,
    UncleanStop,
    ClockJump,
    Stall,
    ConfigurationLoaded,
    ConfigurationReloaded,
    ConfigurationRefused,
    OutboxStateChanged,
    SinkListChanged,
    HistorianStateChanged,
    CertificateExpiry,
    SecurityEvent,
)
"""In the order in which the schema lists them."""
