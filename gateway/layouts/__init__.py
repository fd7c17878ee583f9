"""From stored messages to what goes over the wire."""

from gateway.encoding.formats import FORMATS
from gateway.layouts.device.layout import DeviceLayout
from gateway.layouts.per_device import PerDevice, layout_for

__all__ = ["JSON", "DeviceLayout", "PerDevice", "layout_for"]

JSON = FORMATS["json"].content_type
