"""Walking through a server's address space, level by level, and finding what becomes tags."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from gateway.core.turns import turn_after
from gateway.sources.opcua.client.addresses import Addresses
from gateway.sources.opcua.client.definitions import UNITS, Definitions
from gateway.sources.opcua.client.node_paths import address_text, is_numbered, path_from_root, shared_names, step_of
from gateway.sources.opcua.client.services import Services, local
from gateway.sources.opcua.codec.types.data_types import VARIANT, DataType, Enumeration, OptionSet
from gateway.sources.opcua.config.browse import MOST_DEPTH, Browse
from gateway.sources.opcua.config.browse_path import PathStep
from gateway.sources.opcua.config.namespaces import lacking
from gateway.sources.opcua.port.errors import NotFound
from gateway.sources.opcua.port.metadata import FoundTag
from gateway.sources.opcua.port.units import unit_of
from gateway.sources.opcua.status.codes import NODE_UNKNOWN, USER_ACCESS_DENIED
from gateway.sources.opcua.status.explanation import explained

VISITED_AT_ONCE: Final = 500
"""Nodes that are looked at before the event loop has its turn: about 5 ms of it."""
MOST_VISITED: Final = 200_000
"""Nodes after which a walk ends, whatever was asked for."""
_OF_THE_SERVER: Final = frozenset(ua.NodeId(one, 0) for one in (ObjectIds.Server, ObjectIds.Aliases))  # type: ignore[arg-type]
"""asyncua declares its own integers."""
_NUMBERS: Final = range(1, 12)
_SCALAR: Final = (None, -1, -2, -3)
_OBJECTS_AND_VARIABLES: Final = 3
_HIDDEN: Final = frozenset({USER_ACCESS_DENIED, NODE_UNKNOWN})


@dataclass(frozen=True, slots=True)
class Visited:
    """A node that a walk has visited."""

    path: tuple[str, ...]
    order: tuple[int, ...]
    node: ua.NodeId
    is_variable: bool
    inside: bool
    steps: tuple[PathStep, ...] | None = ()
    """Its path from below the root, with namespaces; None where that does not lead to it alone."""


@dataclass(slots=True)
class BrowseResult:
    """tags: what becomes tags, each once, in the order of the tree. The rest by name, each with what would take it in.

    beyond: an entry's ceiling (most). no_numbers: not single ones (values). unwanted: neither their names nor the types they
    lie in (include, exclude, type). unopened: objects on the last level that is looked at (depth). ended: a walk had to end
    before its time.
    """

    tags: list[FoundTag] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)
    no_numbers: list[str] = field(default_factory=list)
    unwanted: list[str] = field(default_factory=list)
    unopened: list[str] = field(default_factory=list)
    ended: bool = False

    @property
    def is_cut(self) -> bool:
        """There is more than the ceilings allow."""
        return bool(self.beyond) or self.ended


class Browser:
    """One session's. Everything raises NotConnected."""

    def __init__(self, services: Services, addresses: Addresses, definitions: Definitions) -> None:
        self._services = services
        self._addresses = addresses
        self._definitions = definitions

    async def start(self, text: str) -> ua.NodeId:
        """Return the node of an address. Raises NotFound with its status when it is not there."""
        self._addresses.retry([text])  # whoever walks does so seldom, and because something may have changed
        await self._addresses.resolve([text])
        unknown = lacking(text, self._addresses.namespaces)
        if status := self._addresses.status_of(text):
            raise NotFound(f"{text} is not there: {unknown or explained(status)}")
        if unknown:
            raise NotFound(f"{text} is not there: {unknown}")
        return self._addresses.node(text)

    async def walk(self, root: str, depth: int = MOST_DEPTH, of_type: str | None = None) -> AsyncIterator[list[Visited]]:
        """Yield objects and variables below a node along hierarchical references, level by level, each node once.

        Variables are leaves. The Server object and Aliases are left out unless they are the root, and so is what this user
        may not see. Raises NotFound where the server refuses, because a part must not be taken for the whole.
        """
        start = await self.start(root)
        types = None if of_type is None else await self._subtypes(await self.start(of_type))
        seen = {start}
        level = [Visited((), (), start, False, types is None)]
        for _ in range(depth):
            references = await self._services.browse(
                [one.node for one in level], ObjectIds.HierarchicalReferences, classes=_OBJECTS_AND_VARIABLES
            )
            found = []
            for parent, some in zip(level, references, strict=True):
                if isinstance(some, int):
                    if parent.node == start:
                        self._addresses.forget(root)
                    if parent.node == start or some not in _HIDDEN:
                        raise NotFound(f"{'/'.join([root, *parent.path])} cannot be browsed: {explained(some)}")
                    continue
                shared = shared_names(some)
                for at, reference in enumerate(some):
                    await self._breathe(at)
                    child = _child(parent, at, reference, types, shared, self._addresses.namespaces)
                    if child is not None and child.node not in seen and child.node not in _OF_THE_SERVER:
                        seen.add(child.node)
                        found.append(child)
            if found:
                yield found
            level = [one for one in found if not one.is_variable]
            if not level or len(seen) > MOST_VISITED:
                return

    async def _breathe(self, at: int) -> None:
        """Give the event loop a turn now and then; `at`: how many were looked at without one."""
        if at % VISITED_AT_ONCE == VISITED_AT_ONCE - 1:
            await asyncio.sleep(0)

    async def _subtypes(self, of_type: ua.NodeId) -> set[ua.NodeId]:
        types, level = {of_type}, [of_type]
        while level and len(types) < MOST_VISITED:
            some = await self._services.browse(level, ObjectIds.HasSubtype)
            if refused := [one for one in some if isinstance(one, int)]:
                raise NotFound(f"the subtypes of {of_type.to_string()} cannot be browsed: {explained(refused[0])}")
            found = [r for one in some if isinstance(one, list) for r in one]
            level = [node for r in found if (node := local(r.NodeId)) is not None and node not in types]
            types.update(level)
        return types

    async def find(self, wanted: Sequence[Browse]) -> BrowseResult:
        """Return the variables that these entries ask for, and what they leave out. Raises NotFound without a root."""
        result = BrowseResult()
        found: dict[ua.NodeId, tuple[Visited, Sequence[PathStep] | None]] = {}
        for browse in wanted:
            chosen = await self._choose(browse, result)
            above = await self._path_above(browse.root, chosen)
            for at, one in enumerate(chosen):
                await self._breathe(at)
                path = None if above is None or one.steps is None else (*above, *one.steps)
                found.setdefault(one.node, (one, path))
        properties = await self._definitions.properties(list(found), UNITS)
        uris = self._addresses.namespaces
        for at, ((node, (one, steps)), unknown) in enumerate(zip(found.items(), properties, strict=True)):
            await self._breathe(at)
            result.tags.append(FoundTag(one.path, address_text(node, uris, steps), unit_of(unknown)))
        return result

    async def _path_above(self, root: str, chosen: Sequence[Visited]) -> Sequence[PathStep] | None:
        """Return the path from the root folder to the root of an entry, where nodes below it need one."""
        if not any(is_numbered(one.node) for one in chosen):
            return None
        return await path_from_root(self._services, root, self._addresses.node(root), self._addresses.namespaces)

    async def _choose(self, browse: Browse, result: BrowseResult) -> list[Visited]:
        """Return what one entry takes; add the rest to the result."""
        visited = [one async for level in self.walk(browse.root, browse.depth, browse.type) for one in level]
        visited.sort(key=lambda one: one.order)
        chosen: list[Visited] = []
        for at, one in enumerate(visited):
            await self._breathe(at)
            if one.is_variable:
                is_wanted = one.inside and browse.wants(_name(one))
                chosen += [one] if is_wanted else []
                result.unwanted += [] if is_wanted else [_name(one)]
            elif len(one.path) == browse.depth:
                result.unopened.append(_name(one))
        if browse.values == "numbers":
            numeric = await self.are_numbers([one.node for one in chosen])
            await turn_after(len(chosen))
            pairs = list(zip(chosen, numeric, strict=True))
            chosen = [one for one, is_number in pairs if is_number]
            result.no_numbers += [_name(one) for one, is_number in pairs if not is_number]
        result.beyond += [_name(one) for one in chosen[browse.most :]]
        result.ended = result.ended or len(visited) >= MOST_VISITED
        return chosen[: browse.most]

    async def are_numbers(self, nodes: Sequence[ua.NodeId]) -> list[bool]:
        """Return for each variable whether it is a single number, Boolean or enumeration.

        By its data type, or by its present value where that leaves it open.
        """
        types = await self._services.attributes((node, AttributeIds.DataType) for node in nodes)
        ranks = await self._services.attributes((node, AttributeIds.ValueRank) for node in nodes)
        known = await self._definitions.kinds(types)
        await turn_after(len(nodes))
        scalar = [rank in _SCALAR for rank in ranks]
        open_ = [at for at, kind in enumerate(known) if scalar[at] and _is_open(kind)]
        values = await self._services.read((nodes[at], AttributeIds.Value) for at in open_)
        await turn_after(len(nodes))
        found = {at for at, data in zip(open_, values, strict=True) if _is_number(data.Value)}
        return [
            is_scalar and (isinstance(kind, Enumeration | OptionSet) or kind in _NUMBERS or at in found)
            for at, (kind, is_scalar) in enumerate(zip(known, scalar, strict=True))
        ]


def _name(one: Visited) -> str:
    return ".".join(one.path)


def _is_open(kind: DataType) -> bool:
    """BaseDataType, a type that is not there, or a structure: some servers (gopcua) call all their variables so."""
    return kind == VARIANT or not isinstance(kind, int | Enumeration | OptionSet)


def _is_number(variant: ua.Variant | None) -> bool:
    return variant is not None and not variant.is_array and variant.VariantType.value in _NUMBERS


def _child(
    parent: Visited,
    at: int,
    reference: Any,
    types: set[ua.NodeId] | None,
    shared: set[tuple[int, str]],
    uris: Sequence[str],
) -> Visited | None:
    """Return what a reference leads to. shared: see `shared_names`."""
    node, name = local(reference.NodeId), reference.BrowseName
    if node is None:
        return None
    inside = parent.inside or (types is not None and local(reference.TypeDefinition) in types)
    is_variable = reference.NodeClass == ua.NodeClass.Variable
    is_alone = parent.steps is not None and (name.NamespaceIndex, name.Name) not in shared
    steps = (*(parent.steps or ()), step_of(name, uris)) if is_alone else None
    return Visited((*parent.path, name.Name or ""), (*parent.order, at), node, is_variable, inside, steps)
