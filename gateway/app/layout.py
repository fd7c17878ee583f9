"""The layout of one gateway, from the plug-ins that its configuration chooses."""

from gateway.core.ports.layout import Layout
from gateway.core.ports.layout_plugin import LayoutScope, LayoutServices
from gateway.encoding.per_device import PerDevice
from gateway.encoding.topics import Topics
from gateway.plugins import LAYOUTS


def build_layout(scope: LayoutScope, services: LayoutServices) -> Layout:
    """Return the gateway's layout, which uses the layouts that devices have chosen for themselves."""
    default = LAYOUTS[scope.config.layout].build(scope, None, services)
    if not scope.is_per_device:
        return default
    topics = Topics.of(scope.root, scope.gateway, [device.name for device in scope.devices])
    own: dict[str, Layout] = {}
    for number, device in enumerate(scope.devices):
        layout = LAYOUTS[device.own.over(scope.config).layout].build(scope, number, services)
        if layout != default:
            own[topics.of_device(number)] = layout
    return PerDevice(default, own) if own else default
