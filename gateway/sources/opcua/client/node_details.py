"""What a server says of its nodes beside values: types, data types and descriptions, by name."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds

from gateway.sources.opcua.client.services import Services
from gateway.sources.opcua.client.walk import Visited
from gateway.sources.opcua.codec.texts import sound

_MOST_NAMES: Final = 10_000
"""Types whose names are kept."""
_ABSTRACT: Final = frozenset({"BaseDataType", "Number", "Integer", "UInteger", "Structure"})
"""Data types that say less than the value itself."""


@dataclass(frozen=True, slots=True)
class NodeDetails:
    """One node's; each empty where the server does not say."""

    type: str = ""
    """The type of the object or variable."""
    data_type: str = ""
    """A variable's data type, empty where the value says more."""
    description: str = ""


class DetailReads:
    """Reads details of nodes; the names of types once each."""

    def __init__(self, services: Services) -> None:
        """Read nothing yet."""
        self._services = services
        self._names: dict[ua.NodeId, str] = {}

    async def read(self, visited: Sequence[Visited]) -> list[NodeDetails]:
        """Return the details of each node. Raises NotConnected."""
        described = await self._services.attributes((one.node, AttributeIds.Description) for one in visited)
        variables = [one.node for one in visited if one.is_variable]
        answers = await self._services.attributes((node, AttributeIds.DataType) for node in variables)
        data_types = {node: answer for node, answer in zip(variables, answers, strict=True) if isinstance(answer, ua.NodeId)}
        await self._learn([*data_types.values(), *(one.type for one in visited if one.type is not None)])
        details = []
        for one, text in zip(visited, described, strict=True):
            data_type = self._name(data_types.get(one.node))
            words = " ".join(str(text.Text or "")[:1000].split()) if isinstance(text, ua.LocalizedText) else ""
            words = "" if words == " ".join(one.path[-1].split()) else words  # some libraries repeat the name
            details.append(NodeDetails(self._name(one.type), "" if data_type in _ABSTRACT else data_type, words))
        return details

    def _name(self, node: ua.NodeId | None) -> str:
        return "" if node is None else self._names.get(node, "")

    async def _learn(self, nodes: Iterable[ua.NodeId]) -> None:
        new = [node for node in dict.fromkeys(nodes) if node not in self._names][: _MOST_NAMES - len(self._names)]
        names = await self._services.attributes((node, AttributeIds.BrowseName) for node in new)
        for node, name in zip(new, names, strict=True):
            self._names[node] = sound(str(name.Name or "")) if isinstance(name, ua.QualifiedName) else ""
