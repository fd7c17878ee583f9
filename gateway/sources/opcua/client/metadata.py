"""The role `Metadata` on asyncua: labels, units, tags found by browsing, and whether the model has changed."""

from collections.abc import Mapping, Sequence
from typing import Final

from gateway.core.turns import turn_after
from gateway.sources.opcua.client.addresses import Addresses
from gateway.sources.opcua.client.browser import Browser
from gateway.sources.opcua.client.definitions import UNITS, VERSION, Definitions
from gateway.sources.opcua.client.services import Services
from gateway.sources.opcua.client.values import ValueReads
from gateway.sources.opcua.config.browse import Browse
from gateway.sources.opcua.port.findings import Findings
from gateway.sources.opcua.port.units import EngineeringUnit, unit_of
from gateway.sources.opcua.port.values import Item

_VERSION_ITEMS: Final = (Item(0, "i=2255", 0, 0), Item(1, "i=2257", 0, 0))
"""NamespaceArray and the time of the server's start."""


class SessionMetadata:
    """The role `Metadata` of one session. Every call raises NotConnected."""

    def __init__(self, services: Services, addresses: Addresses, definitions: Definitions, values: ValueReads) -> None:
        self._services = services
        self._addresses = addresses
        self._definitions = definitions
        self._values = values

    async def labels(self, items: Sequence[Item]) -> list[Mapping[int, object] | None]:
        """Return what the numbers of nodes mean; see `Metadata.labels`."""
        await self._addresses.resolve(item.node for item in items)
        await turn_after(len(items))
        there = [item for item in items if not self._addresses.status_of(item.node)]
        await turn_after(len(items))
        labels = await self._definitions.labels([self._addresses.node(item.node) for item in there])
        await turn_after(len(items))
        by_row = dict(zip((item.row for item in there), labels, strict=True))
        return [by_row.get(item.row) for item in items]

    async def browse(self, wanted: Sequence[Browse]) -> Findings:
        """Return the variables that entries of `browse` ask for; see `Metadata.browse`."""
        return await Browser(self._services, self._addresses, self._definitions).find(wanted)

    async def units(self, nodes: Sequence[str]) -> list[EngineeringUnit]:
        """Return units and ranges of nodes; empty for those without."""
        await self._addresses.resolve(nodes)
        await turn_after(len(nodes))
        there = [node for node in dict.fromkeys(nodes) if not self._addresses.status_of(node)]
        await turn_after(len(nodes))
        properties = await self._definitions.properties([self._addresses.node(node) for node in there], UNITS)
        await turn_after(len(nodes))
        by_row = {node: unit_of(some) for node, some in zip(there, properties, strict=True)}
        return [by_row.get(node, EngineeringUnit()) for node in nodes]

    async def model_version(self, nodes: Sequence[str]) -> Sequence[str]:
        """Return texts that differ after the model has changed; see `Metadata.model_version`."""
        if not nodes:
            return ()
        by_row: dict[int, object] = {}
        for answer in await self._values.read(_VERSION_ITEMS):
            by_row |= {int(answer.columns.row[place]): value for place, value in answer.columns.objects.items()}
        await self._addresses.resolve(nodes)
        there = [self._addresses.node(node) for node in nodes if not self._addresses.status_of(node)]
        versions = await self._definitions.properties(there, VERSION)
        return [repr(by_row.get(0)), repr(by_row.get(1)), *(str(some.get("NodeVersion")) for some in versions)]
