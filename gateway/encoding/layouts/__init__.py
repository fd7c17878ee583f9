"""From stored messages to what goes over the wire."""

from gateway.encoding.formats import FORMATS
from gateway.encoding.layouts.device import DeviceLayout
from gateway.encoding.layouts.route import PerDevice, layout_for

__all__ = ["JSON", "DeviceLayout", "PerDevice", "layout_for"]

JSON = FORMATS["json"].content_type
