"""The parts that this gateway is put together from. A new one is a new folder and one line here."""

from typing import Final

from gateway.core.events.event import Event
from gateway.core.events.kinds import CORE_EVENTS
from gateway.core.ports.detector import AnyDetectorPlugin
from gateway.core.ports.layout_plugin import LayoutPlugin
from gateway.core.ports.plugin import Plugin, WithEventTypes
from gateway.core.ports.sink_plugin import SinkPlugin
from gateway.layouts.device.plugin import DevicePlugin
from gateway.layouts.platform.plugin import PlatformPlugin
from gateway.layouts.sparkplug.plugin import SparkplugPlugin
from gateway.layouts.tag.plugin import TagPlugin
from gateway.sinks.influx.plugin import InfluxPlugin
from gateway.sinks.kafka.plugin import KafkaPlugin
from gateway.sinks.mqtt.plugin import MqttPlugin
from gateway.sinks.postgres.plugin import PostgresPlugin
from gateway.sources.modbus.plugin import ModbusPlugin
from gateway.sources.opcua.plugin import OpcUaPlugin
from gateway.stages.detectors.ewma import EwmaPlugin
from gateway.stages.detectors.joint import JointPlugin
from gateway.stages.detectors.own_range.detector import OwnRangePlugin

_SOURCES: Final[tuple[Plugin, ...]] = (
    ModbusPlugin(),
    OpcUaPlugin(),
)

_SINKS: Final[tuple[SinkPlugin, ...]] = (
    MqttPlugin(),  # the first one is used where gateway.yaml has no section of any
    KafkaPlugin(),
    PostgresPlugin(),
    InfluxPlugin(),
)

_LAYOUTS: Final[tuple[LayoutPlugin, ...]] = (
    DevicePlugin(),  # the first one is the default
    TagPlugin(),
    SparkplugPlugin(),
    PlatformPlugin(),
)

SOURCES: Final[dict[str, Plugin]] = {plugin.name: plugin for plugin in _SOURCES}
"""Protocols by the value of `protocol:` in a device file."""

SINKS: Final[dict[str, SinkPlugin]] = {plugin.name: plugin for plugin in _SINKS}
"""Sinks by their section in `gateway.yaml`."""

LAYOUTS: Final[dict[str, LayoutPlugin]] = {plugin.name: plugin for plugin in _LAYOUTS}
"""Layouts by the value of `publish.layout`."""

_DETECTORS: Final[tuple[AnyDetectorPlugin, ...]] = (OwnRangePlugin(), JointPlugin(), EwmaPlugin())

DETECTORS: Final[dict[str, AnyDetectorPlugin]] = {plugin.name: plugin for plugin in _DETECTORS}
"""Detectors by their name in the list `anomaly:` of a tag."""

EVENT_TYPES: Final[tuple[type[Event], ...]] = (
    *CORE_EVENTS,
    *(one for plugin in (*_SOURCES, *_LAYOUTS) if isinstance(plugin, WithEventTypes) for one in plugin.event_types),
)
"""Every type of event that this gateway publishes."""
