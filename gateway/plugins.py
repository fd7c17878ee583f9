"""The protocols this gateway speaks. A new one is a new folder and one line here."""

from typing import Final

from gateway.core.ports.plugin import SourceKind
from gateway.core.ports.sink import SinkPlugin
from gateway.sinks.mqtt.plugin import MqttPlugin
from gateway.sources import modbus, opcua

KINDS: Final[dict[str, SourceKind]] = {kind.name: kind for kind in (modbus.KIND, opcua.KIND)}

SINKS: Final[dict[str, SinkPlugin]] = {plugin.name: plugin for plugin in (MqttPlugin(),)}
