"""How well the gateway is: one level with the reasons, from what its parts say."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from gateway.web.live_view import DeviceView
from gateway.web.view import GatewayView

SILENT_S: Final = 10.0
"""A polled device that has given no sample for so long, and for three of its intervals, is silent."""

_MOST_NAMED: Final = 5

Level = Literal["ok", "degraded", "red"]


@dataclass(frozen=True, slots=True)
class Health:
    """The health of a gateway."""

    level: Level
    """`red`: it does not do its work; `degraded`: a part of it is not done."""
    reasons: tuple[str, ...]
    """Why, in words; empty when ok."""
    is_alive: bool
    """Scheduler and outbox make progress. That there is an answer proves that the event loop turns."""
    is_ready: bool
    """It is alive, and at least one device is read."""


def health_of(view: GatewayView) -> Health:
    """Return the health as it is now."""
    stuck = list(view.stuck())
    devices = view.live.devices()
    silent = silent_devices(view, devices)
    unread = [device for device in devices if device.state == "down" or device.name in silent]
    all_away = bool(devices) and len(unread) == len(devices)
    reasons = [f"no progress: {part}" for part in stuck]
    if all_away:
        reasons.append("no device is read")
    reasons += _lesser(view, devices, silent)
    level: Level = "red" if stuck or all_away else "degraded" if reasons else "ok"
    return Health(level, tuple(reasons), not stuck, not stuck and not all_away)


def _lesser(view: GatewayView, devices: Sequence[DeviceView], silent: set[str]) -> Iterator[str]:
    """Yield what is not as it should be, and costs the gateway only a part of its work."""
    for state in ("down", "degraded"):
        if names := [device.name for device in devices if device.state == state]:
            yield f"{state}: {_some(names)}"
    if silent:
        yield f"silent: {_some(sorted(silent))}"
    for name, problem in list(view.refused().items())[:_MOST_NAMED]:
        yield f"configuration of {name} cannot be used: {problem}"
    if not view.is_connected():
        away = [one.name for one in view.sinks() if not one.connected] or [view.sink]
        yield f"{_some(away)} {'is' if len(away) == 1 else 'are'} not connected"
    elif fault := view.sink_fault():
        yield fault
    if refused := view.outbox().refused:
        yield f"the disk refuses: {refused}"


def _some(names: Sequence[str], most: int = _MOST_NAMED) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def silent_devices(view: GatewayView, devices: Sequence[DeviceView]) -> set[str]:
    """Return the devices that count as up although none of their polled tags has had a sample, not even a bad one."""
    live, now_ns = view.live, view.now_ns()
    since_ns = now_ns - view.identity.started_ms * 1_000_000
    values, table = live.values(), live.table
    found = set()
    for device in devices:
        first, end = table.range_of(device.device)
        intervals = [tag.interval_ns for tag in table.tags[first : min(end, first + 64)] if tag.interval_ns]
        if device.state == "down" or not intervals or end > len(values.time):
            continue
        most_ns = SILENT_S * 1e9 + 3 * min(intervals)
        age_ns = min(now_ns - int(np.max(values.time[first:end])), since_ns, now_ns - device.since_ns)
        if age_ns > most_ns:
            found.add(device.name)
    return found
