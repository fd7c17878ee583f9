"""The layout of one gateway, from the plug-ins that its configuration chooses."""

from gateway.core.ports.layout import Layout
from gateway.core.ports.layout_plugin import LayoutScope, LayoutServices
from gateway.encoding.per_device import PerDevice
from gateway.encoding.topics import Topics
from gateway.plugins import LAYOUTS


def build_layout(scope: LayoutScope, services: LayoutServices) -> Layout:
    """Return the gateway's layout, with those that devices have for themselves inside."""
    usual = LAYOUTS[scope.config.layout].build(scope, None, services)
    if not scope.is_per_device:
        return usual
    topics = Topics.of(scope.root, scope.gateway, [device.name for device in scope.devices])
    own: dict[str, Layout] = {}
    for number, device in enumerate(scope.devices):
        layout = LAYOUTS[device.own.over(scope.config).layout].build(scope, number, services)
        if layout != usual:
            own[topics.of_device(number)] = layout
    return PerDevice(usual, own) if own else usual
