"""From stored messages to what goes over the wire."""

from gateway.encoding.layouts.device import DeviceLayout
from gateway.encoding.layouts.route import PerDevice, layout_for

__all__ = ["DeviceLayout", "PerDevice", "layout_for"]
