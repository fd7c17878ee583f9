"""What does not go together with layout `sparkplug`, and the other way round."""

from collections.abc import Iterator
from typing import Final

from gateway.core.ports.layout_plugin import LayoutFault, LayoutScope
from gateway.layouts.sparkplug.config import SparkplugConfig

_NAME: Final = "sparkplug"


def check(scope: LayoutScope) -> Iterator[LayoutFault]:
    """Yield faults between the layout, the sink's section and the device files."""
    general, sink = scope.config, scope.sink_name
    if general.layout != _NAME:
        if general.sparkplug != SparkplugConfig():
            key = ("publish", "sparkplug")
            yield LayoutFault(key, "has no effect with another layout", "publish.layout: sparkplug")
        return
    if general.format != "json":
        message = f"{general.format} has no effect: payloads of Sparkplug are protobuf"
        yield LayoutFault(("publish", "format"), message, "no format, or another layout")
    if general.sparkplug.group is None and "/" in scope.root:
        message = f"{sink}.root {scope.root!r} has several levels, and a Sparkplug group has one"
        yield LayoutFault(("publish", "layout"), message, "publish.sparkplug.group")
    if not getattr(scope.sink, "clean_start", True):
        message = "Sparkplug begins each connection with a clean session (3.0.0, 5.3)"
        yield LayoutFault((sink, "clean_start"), message, "true, or another layout")
    if getattr(scope.sink, "expiry", 0):
        message = "has no effect: messages of Sparkplug do not expire"
        yield LayoutFault((sink, "expiry"), message, "no expiry, or another layout")
    for number, device in enumerate(scope.devices):
        if device.own != type(device.own)():
            message = "has no effect: gateway.yaml says layout: sparkplug, which is for all devices together"
            expected = "no publish: in device files, or another layout"
            yield LayoutFault(("publish",), message, expected, device=number)
