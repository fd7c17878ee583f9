"""The parts that this gateway is put together from. A new one is a new folder and one line here."""

from typing import Final

from gateway.core.events.event import Event
from gateway.core.events.kinds import CORE_EVENTS
from gateway.core.ports.detector import AnyDetectorPlugin
from gateway.core.ports.plugin import Plugin, WithEventTypes
from gateway.layouts.sparkplug.events import SPARKPLUG_EVENTS
from gateway.sources.modbus.plugin import ModbusPlugin
from gateway.sources.opcua.plugin import OpcUaPlugin
from gateway.stages.detectors.ewma import EwmaPlugin

_SOURCES: Final[tuple[Plugin, ...]] = (
    ModbusPlugin(),
    OpcUaPlugin(),
)

SOURCES: Final[dict[str, Plugin]] = {plugin.name: plugin for plugin in _SOURCES}
"""Protocols by the value of `protocol:` in a device file."""

_DETECTORS: Final[tuple[AnyDetectorPlugin, ...]] = (EwmaPlugin(),)

DETECTORS: Final[dict[str, AnyDetectorPlugin]] = {plugin.name: plugin for plugin in _DETECTORS}
"""Detectors by their name in the list `anomaly:` of a tag."""

EVENT_TYPES: Final[tuple[type[Event], ...]] = (
    *CORE_EVENTS,
    *(one for plugin in _SOURCES if isinstance(plugin, WithEventTypes) for one in plugin.event_types),
    *SPARKPLUG_EVENTS,
)
"""Every type of event that this gateway publishes."""
