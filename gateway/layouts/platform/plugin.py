"""What `plugins.py` lists of the layout `platform`."""

from collections.abc import Iterator, Sequence
from string import Template
from typing import Final

from gateway.core.ports.layout import Layout
from gateway.core.ports.layout_plugin import LayoutFault, LayoutScope, LayoutServices, Reader
from gateway.layouts.platform.config import PlatformConfig, PlatformLayoutConfig
from gateway.layouts.platform.forms import CONTRACT, form_of
from gateway.layouts.platform.templates import fill_topic, needs_id, topic_filter

_KEY: Final = ("publish", "platform")


class PlatformPlugin:
    """A `core.ports.layout_plugin.LayoutPlugin`: platforms with topics and payloads of their own."""

    name = "platform"
    description = "the topics and payloads of a cloud platform, or of templates."
    config_model = PlatformLayoutConfig
    device_model = None
    whole_gateway_reason = "a platform knows the gateway as one client with topics of its own"

    def check(self, scope: LayoutScope) -> Iterator[LayoutFault]:
        """Yield what is missing, what has no effect, and device files that choose otherwise."""
        config: PlatformConfig = scope.config.platform
        if scope.config.layout != self.name:
            if config != PlatformConfig():
                yield LayoutFault(_KEY, "has no effect with another layout", "publish.layout: platform")
            return
        if scope.config.format != "json":
            message = f"{scope.config.format} has no effect: payloads of platforms are JSON"
            yield LayoutFault(("publish", "format"), message, "no format, or another layout")
        yield from self._check_ids(scope, config)
        yield from self._check_shared_tags(scope, config)
        for number, device in enumerate(scope.devices):
            if device.own != type(device.own)():
                message = "has no effect: gateway.yaml says layout: platform, which is for all devices together"
                yield LayoutFault(("publish",), message, "no publish: in device files, or another layout", device=number)

    def _check_ids(self, scope: LayoutScope, config: PlatformConfig) -> Iterator[LayoutFault]:
        names = [device.name for device in scope.devices]
        for name in config.ids:
            if name not in names:
                yield LayoutFault((*_KEY, "ids", name), "is not a device of this gateway", f"one of {', '.join(names[:5])}")
        form = form_of(config)
        if config.id is None and (needs_id(form.topic) or needs_id(form.other_topic)):
            message = f"is missing: {form.topic} names what the platform calls the gateway"
            yield LayoutFault((*_KEY, "id"), message, "the device id, or thing, of the platform")

    def _check_shared_tags(self, scope: LayoutScope, config: PlatformConfig) -> Iterator[LayoutFault]:
        """Yield tags of one name that would be one value to the platform."""
        form = form_of(config)
        if "device" in Template(form.payload).get_identifiers() or "message" in Template(form.payload).get_identifiers():
            return
        taken: dict[tuple[str, str], str] = {}
        for number, device in enumerate(scope.devices):
            fields = {"device": device.name, "id": config.ids.get(device.name, config.id or "")}
            topic = fill_topic(form.topic, fields)
            for row, tag in enumerate(device.tags):
                first = taken.setdefault((topic, tag), device.name)
                if first != device.name:
                    message = f"{tag!r} is a tag of {first} as well, and both would be one value on {topic}"
                    expected = "another name, an id of its own below publish.platform.ids, or $device in the payload"
                    yield LayoutFault(("name",), message, expected, device=number, tag=row)

    def build(self, scope: LayoutScope, device: int | None, services: LayoutServices) -> Layout:
        """Return the layout."""
        from gateway.layouts.platform.layout import PlatformLayout

        del device, services
        return PlatformLayout(scope)

    def describe(self, scope: LayoutScope) -> tuple[Sequence[str], Sequence[str]]:
        """Return lines about what is not of single devices."""
        other = form_of(scope.config.platform).other_topic
        fields = {"root": scope.root, "gateway": scope.gateway, "id": scope.config.platform.id or "{id}"}
        return [], [f"{fill_topic(other, fields)}  (summaries, events, counters)"]

    def describe_device(self, scope: LayoutScope, device: int) -> Sequence[str]:
        """Return a line about a device."""
        config, name = scope.config.platform, scope.devices[device].name
        fields = {"root": scope.root, "gateway": scope.gateway, "device": name}
        fields["id"] = config.ids.get(name, config.id or "{id}")
        return [f"{fill_topic(form_of(config).topic, fields)}  (windows and values of {name})"]

    def filters(self, scope: LayoutScope, device: int | None) -> Sequence[str]:
        """Return the filters of all topics."""
        form, known = form_of(scope.config.platform), {"root": scope.root, "gateway": scope.gateway}
        topics = dict.fromkeys((form.topic, form.other_topic, CONTRACT, CONTRACT.replace("{device}/", "")))
        return [topic_filter(topic, known) for topic in topics]

    def open_filters(self, root: str) -> Sequence[str]:
        """Return nothing: the topics are those of a platform."""
        return []

    def reader(self) -> Reader | None:
        """Return None: payloads are messages of the contract, or a platform's own."""
        return None
