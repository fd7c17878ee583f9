"""The template definitions of a node: which ones its birth has to tell, and whether it has."""

from collections.abc import Iterable, Sequence

import structlog

from gateway.layouts.sparkplug.metrics import DeviceMetrics
from gateway.layouts.sparkplug.structures import Shape

log = structlog.get_logger("sparkplug")


class Templates:
    """The definitions of one node. A definition is only in NBIRTH, and there before any instance (6.4.14).

    Attributes:
        is_on: structures are sent as templates.
        is_new: a device has an instance of a template that the last birth did not define.
    """

    def __init__(self, *, is_on: bool) -> None:
        self.is_on = is_on
        self.is_new = False
        self.defined: set[str] = set()
        """Names of the definitions in the last birth."""

    def look(self, device: DeviceMetrics) -> None:
        """See whether a device, of which a message has just been read, has an instance of a template that is not defined."""
        if self.is_on and not device.born:
            self.is_new = self.is_new or any(shape.name not in self.defined for shape in device.templates())

    def define(self, devices: Iterable[DeviceMetrics]) -> Sequence[Shape]:
        """Return what a birth that is sent now has to define, each template after those that it consists of."""
        if not self.is_on:
            return ()
        shapes = {shape.name: shape for device in devices for shape in device.templates()}
        self.defined, self.is_new = set(shapes), False
        return list(shapes.values())

    def give_up(self, devices: Iterable[DeviceMetrics], size: int, most_bytes: int) -> None:
        """Send structures as text from now on: a birth with their definitions is larger than the broker takes."""
        log.warning("structures are sent as text", templates=len(self.defined), birth_bytes=size, most_bytes=most_bytes)
        self.is_on, self.is_new = False, False
        self.defined.clear()
        for device in devices:
            device.make_text()
