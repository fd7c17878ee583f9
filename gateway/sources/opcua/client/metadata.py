"""What is asked about nodes beside their values: meanings, units, which there are, and whether that has changed."""

from collections.abc import Mapping, Sequence
from typing import Final

from gateway.sources.opcua.client.addresses import Addresses
from gateway.sources.opcua.client.browser import Walker
from gateway.sources.opcua.client.definitions import UNITS, VERSION, Definitions
from gateway.sources.opcua.client.read_values import ValueReads
from gateway.sources.opcua.client.services import Services
from gateway.sources.opcua.config.browse import Browse
from gateway.sources.opcua.port.measures import Measure, measure_of
from gateway.sources.opcua.port.metadata import FoundTag
from gateway.sources.opcua.port.values import Item

_MARKS: Final = (Item(0, "i=2255", 0, 0), Item(1, "i=2257", 0, 0))
"""NamespaceArray and the time of the server's start."""


class Inquiries:
    """Everything raises NotConnected."""

    def __init__(self, services: Services, addresses: Addresses, definitions: Definitions, values: ValueReads) -> None:
        self._services = services
        self._addresses = addresses
        self._definitions = definitions
        self._values = values

    async def labels(self, items: Sequence[Item]) -> list[Mapping[int, object] | None]:
        """See `Connection.labels`."""
        await self._addresses.resolve(item.node for item in items)
        there = [item for item in items if not self._addresses.status_of(item.node)]
        labels = await self._definitions.labels([self._addresses.node(item.node) for item in there])
        told = dict(zip((item.row for item in there), labels, strict=True))
        return [told.get(item.row) for item in items]

    async def find(self, wanted: Sequence[Browse]) -> tuple[list[FoundTag], bool]:
        """See `Connection.find`."""
        findings = await Walker(self._services, self._addresses, self._definitions).find(wanted)
        return findings.tags, findings.is_cut

    async def measures(self, nodes: Sequence[str]) -> list[Measure]:
        """See `Connection.measures`."""
        await self._addresses.resolve(nodes)
        there = [node for node in dict.fromkeys(nodes) if not self._addresses.status_of(node)]
        properties = await self._definitions.properties([self._addresses.node(node) for node in there], UNITS)
        told = {node: measure_of(some) for node, some in zip(there, properties, strict=True)}
        return [told.get(node, Measure()) for node in nodes]

    async def marks(self, nodes: Sequence[str]) -> Sequence[str]:
        """See `Connection.marks`."""
        if not nodes:
            return ()
        told: dict[int, object] = {}
        for answer in await self._values.read(_MARKS):
            told |= {int(answer.columns.row[place]): value for place, value in answer.columns.objects.items()}
        await self._addresses.resolve(nodes)
        there = [self._addresses.node(node) for node in nodes if not self._addresses.status_of(node)]
        versions = await self._definitions.properties(there, VERSION)
        return [repr(told.get(0)), repr(told.get(1)), *(str(some.get("NodeVersion")) for some in versions)]
