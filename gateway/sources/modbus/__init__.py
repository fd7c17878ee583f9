"""Modbus over TCP, UDP, TLS and serial lines: holding and input registers, coils and discrete inputs, polled."""

from collections.abc import Sequence

from gateway.core.clock import Clock
from gateway.core.plural import counted
from gateway.core.ports.plugin import DeviceEntry, SourceKind
from gateway.core.ports.source import Source
from gateway.sources.modbus.config import ModbusDevice
from gateway.sources.modbus.plan import check_devices, check_tag, check_tags, interval_ns, plan_device
from gateway.sources.modbus.tag import ModbusTag


def _is_single(_: ModbusDevice, tag: ModbusTag) -> bool:
    # an offset may need more digits than a float32 has: 1e9 + 0.25
    return tag.value_type == "float32" and tag.offset == 0


def _is_logical(_: ModbusDevice, tag: ModbusTag) -> bool:
    return tag.value_type == "bool" and not tag.labels


def _is_text(_: ModbusDevice, tag: ModbusTag) -> bool:
    return tag.is_text


def _plan(entries: Sequence[DeviceEntry]) -> list[str]:
    return [
        f"{entry.config.name}: unit {entry.config.unit} at {entry.config.url}, "
        f"{request.table} {request.start}..{request.start + request.count - 1}, "
        f"{counted(len(request.spans), 'tag')}, every {interval / 1e9:g}s"
        for entry in entries
        for interval, request in plan_device(entry.config, entry.tags)
    ]


def _build(entries: Sequence[DeviceEntry], clock: Clock) -> list[Source]:
    from gateway.sources.modbus.source import ModbusSource

    connections: dict[str, list[DeviceEntry]] = {}
    for entry in entries:
        connections.setdefault(entry.config.url, []).append(entry)
    # the golden ratio spreads any number of connections evenly over the first second
    return [ModbusSource(group, clock, phase=place * 0.618034 % 1) for place, group in enumerate(connections.values())]


KIND = SourceKind(
    "modbus",
    ModbusDevice,
    ModbusTag,
    check_tag,
    _is_single,
    interval_ns,
    _plan,
    _build,
    check_tags,
    check_devices,
    _is_logical,
    _is_text,
)
