"""What `plugins.py` lists of the layout `sparkplug`."""

from collections.abc import Iterator, Sequence

from gateway.core.ports.layout import Layout
from gateway.core.ports.layout_plugin import LayoutFault, LayoutScope, LayoutServices, Reader
from gateway.layouts.sparkplug import topics
from gateway.layouts.sparkplug.check import check
from gateway.layouts.sparkplug.config import SparkplugLayoutConfig
from gateway.layouts.sparkplug.events import SPARKPLUG_EVENTS


class SparkplugPlugin:
    """A `core.ports.layout_plugin.LayoutPlugin`: Eclipse Sparkplug B, 3.0.0."""

    name = "sparkplug"
    description = "Sparkplug B."
    config_model = SparkplugLayoutConfig
    device_model = None
    event_types = SPARKPLUG_EVENTS
    whole_gateway_reason = "its births and sequence numbers span all devices"

    def check(self, scope: LayoutScope) -> Iterator[LayoutFault]:
        """Yield what does not go together with this layout, and its own keys where another one is chosen."""
        return check(scope)

    def build(self, scope: LayoutScope, device: int | None, services: LayoutServices) -> Layout:
        """Return the edge node. Its bdSeq is kept in a file beside the outbox."""
        from gateway.layouts.sparkplug.bd_seq_counter import BdSeqCounter
        from gateway.layouts.sparkplug.layout import SparkplugLayout

        path = services.state_file.with_name(f"{services.state_file.name}.bdseq")
        return SparkplugLayout(scope, services, BdSeqCounter(path).next)

    def describe(self, scope: LayoutScope) -> tuple[Sequence[str], Sequence[str]]:
        """Return lines about the node."""
        return topics.describe(scope)

    def describe_device(self, scope: LayoutScope, device: int) -> Sequence[str]:
        """Return lines about a device."""
        return topics.describe_device(scope, device)

    def filters(self, scope: LayoutScope, device: int | None) -> Sequence[str]:
        """Return the filter of the node and its devices."""
        return topics.filters_of(scope)

    def open_filters(self, root: str) -> Sequence[str]:
        """Return the filter of all nodes: Sparkplug's topics do not depend on the root."""
        return topics.OPEN_FILTERS

    def reader(self) -> Reader | None:
        """Return a reader that follows births, aliases and sequence numbers of all nodes."""
        from gateway.layouts.sparkplug.reader import SparkplugReader

        return SparkplugReader()
