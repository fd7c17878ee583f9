"""What `plugins.py` lists of the layout `tag`."""

from collections.abc import Iterator, Mapping, Sequence

from gateway.core.ports.layout import Layout
from gateway.core.ports.layout_plugin import LayoutFault, LayoutScope, LayoutServices, Reader
from gateway.core.tags import TagTable
from gateway.encoding.formats import FORMATS
from gateway.layouts.device import topics as contract
from gateway.layouts.device.layout import DeviceLayout
from gateway.layouts.tag import topics
from gateway.layouts.tag.check import check
from gateway.layouts.tag.config import TagLayoutConfig, TagLayoutDeviceConfig
from gateway.layouts.tag.layout import TagLayout
from gateway.layouts.tag.topics import TagTopics


class TagPlugin:
    """A `core.ports.layout_plugin.LayoutPlugin`. Templated."""

    name = "tag"
    description = "one topic per tag."
    config_model = TagLayoutConfig
    device_model = TagLayoutDeviceConfig
    whole_gateway_reason = ""

    def check(self, scope: LayoutScope) -> Iterator[LayoutFault]:
        """Yield fields without a value, two things on one topic, and keys that have no effect."""
        return check(scope)

    def build(self, scope: LayoutScope, device: int | None, services: LayoutServices) -> Layout:
        """Return the layout of a device; what the gateway itself publishes is on the contract's topics."""
        if device is None:
            return DeviceLayout(scope.config.format, services.known_set)
        config = scope.devices[device].own.over(scope.config)
        own = TagTopics.of(config, contract.topics_of(scope), device)
        return TagLayout(own, config.format, keep_latest=config.retain, quality_topic=config.quality_topic)

    def describe(self, scope: LayoutScope) -> tuple[Sequence[str], Sequence[str]]:
        """Return lines about the gateway's own messages."""
        return contract.describe(scope)

    def describe_device(self, scope: LayoutScope, device: int) -> Sequence[str]:
        """Return lines about a device."""
        return topics.describe_device(scope, contract.topics_of(scope), device)

    def filters(self, scope: LayoutScope, device: int | None) -> Sequence[str]:
        """Return the filter of a device's tags, and of the contract's topics for all else."""
        if device is None:
            return contract.filters_of(scope)
        own = TagTopics.of(scope.devices[device].own.over(scope.config), contract.topics_of(scope), device)
        return [topics.filter_of_tags(own.topic("+"))]

    def open_filters(self, root: str) -> Sequence[str]:
        """Return nothing: without its template no topic is known."""
        return []

    def standing(self, scope: LayoutScope, device: int, table: TagTable) -> Mapping[str, bytes]:
        """Return the topics of a device's tags where they are retained."""
        config = scope.devices[device].own.over(scope.config)
        own = TagTopics.of(config, contract.topics_of(scope), device)
        first, end = table.range_of(device)
        names = [tag.name for tag in table.tags[first:end] if tag.published] if config.retain else []
        with_quality = config.quality_topic and FORMATS[config.format].plain
        kept = [own.topic(name) for name in names] + [own.quality(name) for name in names if with_quality]
        return dict.fromkeys(kept, b"")

    def reader(self) -> Reader | None:
        """Return None: payloads are messages of the contract, cut by tags."""
        return None

    def template_filter(self, template: str, root: str) -> str:
        """Return the topic filter of all tags of a template. Raises ValueError."""
        return topics.template_filter(template, root)
