"""The view of a configuration that layouts get: to check it, to be built from it, to describe what it publishes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway.core.ports.layout_plugin import DeviceScope, LayoutScope
from gateway.plugins import LAYOUTS

if TYPE_CHECKING:
    from gateway.settings.model import Root


def scope_of(root: "Root", devices: Sequence[DeviceScope]) -> LayoutScope:
    """Return the scope of a gateway. devices: in the order of the tag table."""
    return LayoutScope(
        root=root.topic_root,
        gateway=root.name,
        config=root.publish,
        devices=devices,
        sink_name=root.sink_plugin.name,
        sink=root.sink,
        is_per_device=LAYOUTS[root.publish.layout].device_model is not None,
        window_s=root.window.length / 1e9,
    )
