"""The protocols this gateway speaks. A new one is a new folder and one line here."""

from typing import Final

from gateway.core.events.event import Event
from gateway.core.events.kinds import CORE_EVENTS
from gateway.core.ports.plugin import SourceKind
from gateway.layouts.sparkplug.events import SPARKPLUG_EVENTS
from gateway.sources import modbus, opcua

KINDS: Final[dict[str, SourceKind]] = {kind.name: kind for kind in (modbus.KIND, opcua.KIND)}

EVENT_TYPES: Final[tuple[type[Event], ...]] = (
    *CORE_EVENTS,
    *(one for kind in KINDS.values() for one in kind.events),
    *SPARKPLUG_EVENTS,
)
"""Every kind of event that this gateway publishes."""
