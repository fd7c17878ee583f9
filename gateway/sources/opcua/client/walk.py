"""Walking through a server's address space, level by level, below variables, too."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from asyncua import ua
from asyncua.ua.object_ids import ObjectIds

from gateway.sources.opcua.client.addresses import Addresses
from gateway.sources.opcua.client.definitions import UNITS
from gateway.sources.opcua.client.node_paths import shared_names, step_of
from gateway.sources.opcua.client.services import Services, local
from gateway.sources.opcua.client.type_search import subtypes_of, type_by_name
from gateway.sources.opcua.config.browse import Browse
from gateway.sources.opcua.config.browse_path import PathStep
from gateway.sources.opcua.config.namespaces import lacking
from gateway.sources.opcua.config.type_text import is_type_name
from gateway.sources.opcua.port.errors import NotFound
from gateway.sources.opcua.port.findings import LeftOut
from gateway.sources.opcua.status.codes import NODE_UNKNOWN, USER_ACCESS_DENIED
from gateway.sources.opcua.status.explanation import explained

VISITED_AT_ONCE: Final = 500
"""Nodes that are looked at before the event loop has its turn: about 5 ms of it."""
MOST_VISITED: Final = 200_000
"""Nodes after which a walk ends, whatever was asked for."""
_OBJECTS_AND_VARIABLES: Final = 3
_HIDDEN: Final = frozenset({USER_ACCESS_DENIED, NODE_UNKNOWN})


def _standard(number: int) -> ua.NodeId:
    return ua.NodeId(number, 0)  # type: ignore[arg-type]  # asyncua declares its own integers


_OF_THE_SERVER: Final = frozenset(map(_standard, (ObjectIds.Server, ObjectIds.Aliases)))
_PROPERTY_TYPE: Final = _standard(ObjectIds.PropertyType)
_HAS_PROPERTY: Final = _standard(ObjectIds.HasProperty)
_HISTORY_CONFIGURATION: Final = _standard(ObjectIds.HasHistoricalConfiguration)
"""Leads from a variable to how its history is kept (Part 11, 5.2.4)."""
_DESCRIBING: Final = frozenset(
    {
        "EURange", "EngineeringUnits", "InstrumentRange", "EnumStrings", "EnumValues", "OptionSetValues", "TrueState",
        "FalseState", "Definition", "ValuePrecision", "ValueAsText", "AxisScaleType", "XAxisDefinition",
        "YAxisDefinition", "ZAxisDefinition", "AxisDefinition", "Title", "MaxStringLength", "MaxByteStringLength",
        "MaxCharacters", "MaxArrayLength", "AllowNulls", "LocalTime", "DaylightSavingTime", "NodeVersion",
        "ViewVersion", "Icon", "NamingRule", "DefaultInstanceBrowseName", "DataTypeVersion", "NamespaceUri",
        "DictionaryFragment", "Annotations", "ConversionLimit", "AlternativeUnits", "LinearConversion",
        "MathMLConversion", "CurrencyUnit",
    }
)  # fmt: skip
"""Properties of the standard that only say what the value of their variable means (Part 3, Part 5 and Part 8)."""


@dataclass(frozen=True, slots=True)
class Visited:
    """A node that a walk has visited."""

    path: tuple[str, ...]
    """Browse names from below the root."""
    order: tuple[int, ...]
    """Its place among its siblings, at each level."""
    node: ua.NodeId
    is_variable: bool
    inside: bool
    """It is, or lies in, an object or variable of the wanted type."""
    steps: tuple[PathStep, ...] | None = ()
    """Its path from below the root, with namespaces; None where that does not lead to it alone."""
    is_property: bool = False
    type: ua.NodeId | None = None
    """Its type definition, where the server says."""

    @property
    def name(self) -> str:
        """Return the browse names joined by dots, with which patterns are compared."""
        return ".".join(self.path)


class Walk:
    """One walk below a node, for an entry of `browse`: `levels`, once. The rest is complete when that has ended."""

    def __init__(self, services: Services, addresses: Addresses, wanted: Browse) -> None:
        """Begin with nothing visited, without I/O."""
        self._services = services
        self._addresses = addresses
        self._wanted = wanted
        self._types: set[ua.NodeId] | None = None
        self._seen: set[ua.NodeId] = set()
        self._looked_at = 0
        self.units: dict[ua.NodeId, dict[str, ua.NodeId]] = {}
        """Nodes of unit and range by name, for each variable that was looked into."""
        self.members: dict[ua.NodeId, list[tuple[str, ua.NodeId]]] = {}
        """Variables below a variable that are no properties, with their browse names."""
        self.properties = LeftOut()
        """Properties of variables that were left out, but for those that only describe their variable."""

    @property
    def is_ended(self) -> bool:
        """Return whether it had to end because of the number of nodes."""
        return len(self._seen) >= MOST_VISITED

    async def start(self, text: str) -> ua.NodeId:
        """Return the node of an address. Raises NotFound with its status when it is not there; NotConnected."""
        self._addresses.retry([text])  # whoever walks does so seldom, and because something may have changed
        await self._addresses.resolve([text])
        unknown = lacking(text, self._addresses.namespaces)
        if status := self._addresses.status_of(text):
            raise NotFound(f"{text} is not there: {unknown or explained(status)}")
        if unknown:
            raise NotFound(f"{text} is not there: {unknown}")
        return self._addresses.node(text)

    async def levels(self) -> AsyncIterator[list[Visited]]:
        """Yield objects and variables below the root along hierarchical references, level by level.

        Each node comes once, with the first path that leads to it. Left out are the Server object and Aliases unless they
        are the root, what this user may not see, how histories are kept, and properties of variables unless they are
        wanted. Raises NotFound where the server refuses, because a part must not be taken for the whole; NotConnected.
        """
        root, of_type = self._wanted.root, self._wanted.type
        start = await self.start(root)
        if of_type is not None:
            named = is_type_name(of_type)
            node = await (type_by_name(self._services, self._addresses, of_type) if named else self.start(of_type))
            self._types = set(await subtypes_of(self._services, [node]))
        self._seen = {start}
        level = [Visited((), (), start, False, self._types is None)]
        for _ in range(self._wanted.depth):
            references = await self._services.browse(
                [one.node for one in level], ObjectIds.HierarchicalReferences, classes=_OBJECTS_AND_VARIABLES
            )
            found: list[Visited] = []
            for parent, some in zip(level, references, strict=True):
                await self._breathe()
                if isinstance(some, int):
                    self._refused(parent, start, some)
                else:
                    found += await self._children(parent, some)
            if found:
                yield found
            level = [one for one in found if self._opens(one)]
            if not level or self.is_ended:
                return

    def _opens(self, one: Visited) -> bool:
        return not one.is_variable or (self._wanted.members != "none" and not one.is_property)

    def _refused(self, parent: Visited, start: ua.NodeId, status: int) -> None:
        root = self._wanted.root
        if parent.node == start:
            self._addresses.forget(root)
        if parent.node == start or status not in _HIDDEN:
            hint = "; members: none does not look into variables" if parent.is_variable else ""
            raise NotFound(f"{'/'.join([root, *parent.path])} cannot be browsed: {explained(status)}{hint}")

    async def _children(self, parent: Visited, references: Sequence[Any]) -> list[Visited]:
        found = []
        shared = shared_names(references)
        if parent.is_variable:
            self.units.setdefault(parent.node, {})
        for at, reference in enumerate(references):
            await self._breathe()
            child = self._child(parent, at, reference, shared)
            if child is None or child.node in _OF_THE_SERVER:
                continue
            if parent.is_variable:
                if child.is_property and not self._takes_property(parent, child, reference.BrowseName):
                    continue
                if child.is_variable and not child.is_property:
                    self.members.setdefault(parent.node, []).append((child.path[-1], child.node))
            if child.node not in self._seen:
                self._seen.add(child.node)
                found.append(child)
        return found

    def _takes_property(self, parent: Visited, child: Visited, name: ua.QualifiedName) -> bool:
        if name.Name in UNITS:
            self.units.setdefault(parent.node, {})[str(name.Name)] = child.node
        if name.Name in _DESCRIBING and name.NamespaceIndex == 0:
            return False
        if not self._wanted.properties:
            self.properties.add(child.name)
        return self._wanted.properties

    async def _breathe(self) -> None:
        """Give the event loop a turn now and then."""
        self._looked_at += 1
        if self._looked_at % VISITED_AT_ONCE == 0:
            await asyncio.sleep(0)

    def _child(self, parent: Visited, at: int, reference: Any, shared: set[tuple[int, str]]) -> Visited | None:
        """Return what a reference leads to; None for what is not walked to. shared: see `shared_names`."""
        node, name = local(reference.NodeId), reference.BrowseName
        if node is None or reference.ReferenceTypeId == _HISTORY_CONFIGURATION:
            return None
        of_type = local(reference.TypeDefinition)
        is_variable = reference.NodeClass == ua.NodeClass.Variable
        is_alone = parent.steps is not None and (name.NamespaceIndex, name.Name) not in shared
        return Visited(
            (*parent.path, name.Name or ""),
            (*parent.order, at),
            node,
            is_variable,
            parent.inside or (self._types is not None and of_type in self._types),
            (*(parent.steps or ()), step_of(name, self._addresses.namespaces)) if is_alone else None,
            is_variable and (reference.ReferenceTypeId == _HAS_PROPERTY or of_type == _PROPERTY_TYPE),
            None if of_type is None or of_type.is_null() else of_type,
        )
