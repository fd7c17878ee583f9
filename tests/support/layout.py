"""Layouts for tests: a fake one, shipped with the port, and real ones without a whole gateway."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.app.layout import build_layout
from gateway.core.clock import Clock, SystemClock
from gateway.core.events.event import Event
from gateway.core.messages import DeviceState, Message
from gateway.core.ports.layout import Layout, Packet
from gateway.core.ports.layout_plugin import DeviceScope, LayoutScope, LayoutServices
from gateway.core.tags import TagTable
from gateway.encoding.topics import Topics
from gateway.plugins import LAYOUTS


class PlainLayout:
    """A `core.ports.layout.Layout`: every message as one packet on its own topic. Marks nothing."""

    def packets(self, message: Message, *, hist: bool, most_bytes: int) -> Sequence[Packet]:
        """The payload as it is."""
        return [Packet(message.topic, message.payload)]


def scope_for(general: Any, own: Sequence[Any], topics: Topics, *, sink: Any = None) -> LayoutScope:
    """The scope of a gateway. general: its `Publish`; own: a `DevicePublish` for each device."""
    devices = [DeviceScope(name, ["tag0"], one) for name, one in zip(topics.devices, own, strict=True)]
    is_per_device = LAYOUTS[general.layout].device_model is not None
    return LayoutScope(topics.root, topics.gateway, general, devices, "mqtt", sink, is_per_device)


def services_for(
    table: TagTable = TagTable((), ()),  # noqa: B008 - it is frozen
    clock: Clock | None = None,
    facts: Mapping[str, str] | None = None,
    states: Callable[[], Mapping[int, DeviceState]] = dict,
    report: Callable[[Event], None] = lambda event: None,
    wake: Callable[[], None] = lambda: None,
) -> LayoutServices:
    """What a layout gets from its gateway."""
    return LayoutServices(table, clock or SystemClock(), facts or {}, states, report, wake, Path("/nowhere/outbox.db"))


def layout_for(general: Any, own: Sequence[Any], topics: Topics) -> Layout:
    """The layout of a gateway with these settings."""
    return build_layout(scope_for(general, own, topics), services_for())
