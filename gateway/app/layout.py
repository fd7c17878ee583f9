"""The layout of one gateway, from the plug-ins that its configuration chooses."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from gateway.core.ports.layout import Layout, TableFollower
from gateway.core.ports.layout_plugin import FillsTopics, LayoutScope, LayoutServices
from gateway.encoding.descriptions import Descriptions
from gateway.encoding.encoder import WindowStyle
from gateway.encoding.formats import FORMATS
from gateway.encoding.per_device import PerDevice
from gateway.encoding.topics import Topics
from gateway.encoding.window_json import STATISTICS
from gateway.plugins import LAYOUTS


def build_layout(scope: LayoutScope, services: LayoutServices) -> Layout:
    """Return the gateway's layout, which uses the layouts that devices have chosen for themselves."""
    if not scope.is_per_device:
        return LAYOUTS[scope.config.layout].build(scope, None, services)
    descriptions = None
    if scope.config.descriptions:
        file = services.state_file.with_name(f"{services.state_file.name}.retained")
        descriptions = Descriptions(_topics(scope), services.table, file, _standing(scope, services))
        services = replace(services, known_set=descriptions.known_set)
    default = LAYOUTS[scope.config.layout].build(scope, None, services)
    names = [device.name for device in scope.devices]
    own = dict(_own_layouts(scope, services, names))
    return PerDevice(default, {topic: layout for topic, layout in own.items() if layout != default}, descriptions)


def window_styles(scopes: Sequence[LayoutScope]) -> list[WindowStyle]:
    """Return how the windows of each device are stored, which is how they are sent.

    As columns where all sinks want that; with the statistics that any of them wants.
    """
    of_sinks = [_window_styles(scope) for scope in scopes]
    return [
        WindowStyle(
            all(one.columns for one in some),
            tuple(name for name in STATISTICS if any(name in one.statistics for one in some)),
        )
        for some in zip(*of_sinks, strict=True)
    ]


def _window_styles(scope: LayoutScope) -> list[WindowStyle]:
    configs = [device.own.over(scope.config) if scope.is_per_device else scope.config for device in scope.devices]
    return [WindowStyle(scope.is_per_device and FORMATS[one.format].columns, one.statistics) for one in configs]


def prepare_layout(
    layout: Layout, scope: LayoutScope, services: LayoutServices, changed: Collection[str]
) -> Callable[[], None]:
    """Return what has the layout go over to other devices when it is called, on the loop. Changes nothing; for a thread.

    changed: devices that are new, or not as they were; others keep what they know.
    """
    if isinstance(layout, TableFollower):
        return partial(layout.take_table, services.table, layout.prepare_table(services.table, changed))
    if not isinstance(layout, PerDevice):
        return _nothing
    topics, descriptions, adopt = _topics(scope), layout.descriptions, _nothing
    if descriptions is not None:
        services = replace(services, known_set=descriptions.known_set)
        adopt = partial(descriptions.adopt, topics, services.table, _standing(scope, services))
    stay = [topics.of_device(row) for row, name in enumerate(topics.devices) if name not in changed]
    known = {topic: layout.own[topic] for topic in stay if topic in layout.own}
    own = known | dict(_own_layouts(scope, services, changed))

    def change() -> None:
        adopt()
        layout.adopt(own)

    return change


def _nothing() -> None:
    """Change nothing."""


def _topics(scope: LayoutScope) -> Topics:
    return Topics.of(scope.root, scope.gateway, [device.name for device in scope.devices])


def _standing(scope: LayoutScope, services: LayoutServices) -> Callable[[], Mapping[str, bytes]]:
    """Return what returns all topics that devices' layouts fill."""

    def found() -> Mapping[str, bytes]:
        topics: dict[str, bytes] = {}
        for number, device in enumerate(scope.devices):
            plugin = LAYOUTS[device.own.over(scope.config).layout]
            if isinstance(plugin, FillsTopics):
                topics |= plugin.standing(scope, number, services.table)
        return topics

    return found


def _own_layouts(scope: LayoutScope, services: LayoutServices, names: Collection[str]) -> Iterator[tuple[str, Layout]]:
    """Yield the layouts of these devices, each with what the device's topics begin with."""
    topics = _topics(scope)
    for number, device in enumerate(scope.devices):
        if device.name in names:
            yield topics.of_device(number), LAYOUTS[device.own.over(scope.config).layout].build(scope, number, services)
