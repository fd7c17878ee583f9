"""The parts that this gateway is put together from. A new one is a new folder and one line here."""

from typing import Final

from gateway.core.ports.plugin import Plugin
from gateway.sources.modbus.plugin import ModbusPlugin
from gateway.sources.opcua.plugin import OpcUaPlugin

_SOURCES: Final[tuple[Plugin, ...]] = (
    ModbusPlugin(),
    OpcUaPlugin(),
)

SOURCES: Final[dict[str, Plugin]] = {plugin.name: plugin for plugin in _SOURCES}
"""Protocols by the value of `protocol:` in a device file."""
