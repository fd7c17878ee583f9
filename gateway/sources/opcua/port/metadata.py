"""The role `Metadata` of a session: what a server says of its nodes beside their values."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.sources.opcua.config.browse import Browse
from gateway.sources.opcua.port.findings import Findings
from gateway.sources.opcua.port.units import EngineeringUnit
from gateway.sources.opcua.port.values import Item


class Metadata(Protocol):
    """Types, units and structure of the address space. Calls may overlap. Every call raises NotConnected."""

    async def labels(self, items: Sequence[Item]) -> list[Mapping[int, object] | None]:
        """Return per node what its numbers mean, by number: a text, or the names of the bits that are set.

        Empty for a node whose numbers are no enumeration; None where the server did not answer, so ask again.
        """
        ...

    async def browse(self, wanted: Sequence[Browse]) -> Findings:
        """Return the variables that entries of `browse` ask for, and what they leave out.

        Raises NotFound where a root is not there.
        """
        ...

    async def units(self, nodes: Sequence[str]) -> list[EngineeringUnit]:
        """Return units and ranges of nodes; empty for those that have none or are not there."""
        ...

    async def model_version(self, nodes: Sequence[str]) -> Sequence[str]:
        """Return texts that differ after the model has changed, cheap to read; empty without nodes.

        They are the namespaces, the server's start time, and the NodeVersion (Part 3, 5.2.5) of these nodes.
        """
        ...
