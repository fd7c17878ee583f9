"""The layout of one gateway, from the plug-ins that its configuration chooses."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from gateway.core.ports.layout import Layout, TableFollower
from gateway.core.ports.layout_plugin import LayoutScope, LayoutServices
from gateway.core.tags import TagTable
from gateway.encoding.encoder import WindowStyle
from gateway.encoding.formats import FORMATS
from gateway.encoding.per_device import PerDevice
from gateway.encoding.topics import Topics
from gateway.plugins import LAYOUTS


def build_layout(scope: LayoutScope, services: LayoutServices) -> Layout:
    """Return the gateway's layout, which uses the layouts that devices have chosen for themselves."""
    default = LAYOUTS[scope.config.layout].build(scope, None, services)
    if not scope.is_per_device:
        return default
    names = [device.name for device in scope.devices]
    own = dict(_own_layouts(scope, services, names))
    return PerDevice(default, {topic: layout for topic, layout in own.items() if layout != default})


def window_styles(scopes: Sequence[LayoutScope]) -> list[WindowStyle]:
    """Return how the windows of each device are stored, which is how they are sent: as columns where all sinks want that."""
    of_sinks = [_window_styles(scope) for scope in scopes]
    return [WindowStyle(all(one.columns for one in some), some[0].statistics) for some in zip(*of_sinks, strict=True)]


def _window_styles(scope: LayoutScope) -> list[WindowStyle]:
    configs = [device.own.over(scope.config) if scope.is_per_device else scope.config for device in scope.devices]
    return [WindowStyle(scope.is_per_device and FORMATS[one.format].columns, one.statistics) for one in configs]


def prepare_layout(layout: Layout, scope: LayoutScope, services: LayoutServices, changed: Collection[str]) -> Any:
    """Return what `change_layout` needs, on a thread.

    changed: devices that are new, or not as they were; others keep what they know.
    """
    if isinstance(layout, PerDevice):
        topics = Topics.of(scope.root, scope.gateway, [device.name for device in scope.devices])
        stay = [topics.of_device(row) for row, name in enumerate(topics.devices) if name not in changed]
        known = {topic: layout.own[topic] for topic in stay if topic in layout.own}
        return known | dict(_own_layouts(scope, services, changed))
    return layout.prepare_table(services.table, changed) if isinstance(layout, TableFollower) else None


def change_layout(layout: Layout, table: TagTable, prepared: Any) -> None:
    """Have a layout go over to other devices."""
    if isinstance(layout, PerDevice):
        layout.adopt(prepared)
    elif isinstance(layout, TableFollower):
        layout.take_table(table, prepared)


def _own_layouts(scope: LayoutScope, services: LayoutServices, names: Collection[str]) -> Iterator[tuple[str, Layout]]:
    """Yield the layouts of these devices, each with what the device's topics begin with."""
    topics = Topics.of(scope.root, scope.gateway, [device.name for device in scope.devices])
    for number, device in enumerate(scope.devices):
        if device.name in names:
            yield topics.of_device(number), LAYOUTS[device.own.over(scope.config).layout].build(scope, number, services)
