"""What `plugins.py` lists of the layout `device`."""

from collections.abc import Iterator, Sequence

from gateway.core.ports.layout import Layout
from gateway.core.ports.layout_plugin import LayoutFault, LayoutScope, LayoutServices, Reader
from gateway.layouts.device import topics
from gateway.layouts.device.config import DeviceLayoutConfig
from gateway.layouts.device.layout import DeviceLayout


class DevicePlugin:
    """A `core.ports.layout_plugin.LayoutPlugin`."""

    name = "device"
    description = "one topic per device and kind, as the contract says."
    config_model = DeviceLayoutConfig
    device_model = DeviceLayoutConfig
    whole_gateway_reason = ""

    def check(self, scope: LayoutScope) -> Iterator[LayoutFault]:
        """Yield nothing: this layout has no keys, and its topics differ as names of devices do."""
        yield from ()

    def build(self, scope: LayoutScope, device: int | None, services: LayoutServices) -> Layout:
        """Return the layout in the format of the device or the gateway."""
        own = scope.config if device is None else scope.devices[device].own.over(scope.config)
        return DeviceLayout(own.format, services.known_set)

    def describe(self, scope: LayoutScope) -> tuple[Sequence[str], Sequence[str]]:
        """Return lines about the gateway's own messages."""
        return topics.describe(scope)

    def describe_device(self, scope: LayoutScope, device: int) -> Sequence[str]:
        """Return lines about a device."""
        return topics.describe_device(scope, device)

    def filters(self, scope: LayoutScope, device: int | None) -> Sequence[str]:
        """Return the filter of the contract; the gateway's own messages are on such topics in any case."""
        return topics.filters_of(scope)

    def open_filters(self, root: str) -> Sequence[str]:
        """Return the filter of the contract below a root."""
        return topics.open_filters(root)

    def reader(self) -> Reader | None:
        """Return None: payloads are messages of the contract."""
        return None
