"""Check the alarms of a device's tags against its other tags, and against each other."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from gateway.core.nearest import nearest
from gateway.settings.device_files import Device
from gateway.stages.alarms.config import LIMITS, AlarmConfig
from gateway.stages.config import TagPolicy


def check_alarms(device: Device) -> None:
    """Add each fault in the alarms of a device to the file of its tag."""
    given = device.defaults.hysteresis
    for tag, file, path in device.all_tags:
        policy: TagPolicy = tag
        if not policy.alarms and all(getattr(policy, name) is None for name in LIMITS):
            continue
        for at, alarm in enumerate(policy.alarms):
            if (fault := _second_tag_fault(device, tag.name, alarm)) is not None:
                key, message, expected = fault
                file.add((*path, "alarms", at, key), message, expected)
        band = policy.hysteresis if "hysteresis" in policy.model_fields_set or given is None else given
        for where, message, expected in _band_faults(policy, band, tag.range):
            file.add((*path, *where), message, expected)


def _second_tag_fault(device: Device, name: str, alarm: AlarmConfig) -> tuple[str, str, str] | None:
    if (other := alarm.pair) is None:
        return None
    key = "set_point" if alarm.set_point is not None else "other"
    if other == name:
        return key, f"{other!r} is the tag itself", "another tag of this device"
    if other not in device.names and not device.finds_tags:
        close = nearest(other, device.names)
        return key, f"{other!r} is no tag of this device", f"{close}?" if close else "a tag of the same device"
    return None


def _band_faults(
    policy: TagPolicy, band: tuple[float, float], value_range: tuple[float, float] | None
) -> Iterator[tuple[Sequence[Any], str, str]]:
    """Yield alarms that could not clear, because their band reaches the opposite limit or all of the range."""
    found: set[Sequence[Any]] = set()
    alarms = policy.all_alarms
    first = len(alarms) - len(policy.alarms)
    for at, alarm in enumerate(alarms):
        if alarm.kind not in LIMITS:
            continue
        own = alarm.hysteresis is not None
        absolute, fraction = alarm.hysteresis or band
        if fraction and value_range is not None:
            absolute = fraction * (value_range[1] - value_range[0])
        room, to = _room(alarm, alarms, value_range)
        where = ("alarms", at - first, "hysteresis") if own else ("hysteresis",)
        if absolute >= room and where not in found:
            found.add(where)
            yield where, f"{absolute:g} is not less than the {room:g} between {alarm.kind} and {to}", "a smaller number"


def _room(alarm: AlarmConfig, alarms: Sequence[AlarmConfig], value_range: tuple[float, float] | None) -> tuple[float, str]:
    """Return how far a value can come back from a limit, and what is there."""
    is_high = alarm.kind in LIMITS[:2]
    limit: float = getattr(alarm, alarm.kind)
    ends = [
        (v, name)
        for one in alarms
        for name in (LIMITS[2:] if is_high else LIMITS[:2])
        if (v := getattr(one, name)) is not None
    ]
    if value_range is not None:
        ends.append((value_range[0 if is_high else 1], "the end of the range"))
    return min(((abs(limit - v), name) for v, name in ends), default=(math.inf, ""))
