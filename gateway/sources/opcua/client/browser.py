"""Finding what becomes tags of what a server has."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds

from gateway.core.turns import turn_after
from gateway.sources.opcua.client.addresses import Addresses
from gateway.sources.opcua.client.definitions import UNITS, Definitions
from gateway.sources.opcua.client.node_paths import address_text, is_numbered, path_from_root
from gateway.sources.opcua.client.services import Services
from gateway.sources.opcua.client.walk import VISITED_AT_ONCE, Visited, Walk
from gateway.sources.opcua.codec.types.data_types import VARIANT, DataType, Enumeration, OptionSet, Structure
from gateway.sources.opcua.config.browse import Browse
from gateway.sources.opcua.config.browse_path import PathStep, browse_path_text, is_browse_path
from gateway.sources.opcua.port.findings import Findings, FoundTag
from gateway.sources.opcua.port.units import unit_of

_NUMBERS: Final = range(1, 12)
_SCALAR: Final = (None, -1, -2, -3)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What the values of a variable are."""

    type: DataType
    is_scalar: bool
    is_number: bool
    """A single number, Boolean or enumeration."""


class Browser:
    """One session's. Everything raises NotConnected."""

    def __init__(self, services: Services, addresses: Addresses, definitions: Definitions) -> None:
        self._services = services
        self._addresses = addresses
        self._definitions = definitions

    def walk(self, wanted: Browse) -> AsyncIterator[list[Visited]]:
        """Yield objects and variables below the root of an entry; see `Walk.levels`."""
        return Walk(self._services, self._addresses, wanted).levels()

    async def find(self, wanted: Sequence[Browse]) -> Findings:
        """Return the variables that these entries ask for, and what they leave out. Raises NotFound without a root."""
        findings = Findings()
        found: dict[ua.NodeId, tuple[Visited, Sequence[PathStep] | None]] = {}
        units: dict[ua.NodeId, dict[str, ua.NodeId]] = {}
        for browse in wanted:
            walk = Walk(self._services, self._addresses, browse)
            chosen = await self._choose(browse, walk, findings)
            above = await self._path_above(browse.root, chosen)
            if above is not None and self._is_numbered(browse.root) and (root := browse_path_text(above)):
                findings.roots[browse.root] = root
            for at, one in enumerate(chosen):
                await _breathe(at)
                path = None if above is None or one.steps is None else (*above, *one.steps)
                found.setdefault(one.node, (one, path))
            units |= walk.units
        properties = await self._definitions.properties(list(found), UNITS, units)
        uris = self._addresses.namespaces
        for at, ((node, (one, steps)), unknown) in enumerate(zip(found.items(), properties, strict=True)):
            await _breathe(at)
            findings.tags.append(FoundTag(one.path, address_text(node, uris, steps), unit_of(unknown)))
        return findings

    async def _path_above(self, root: str, chosen: Sequence[Visited]) -> Sequence[PathStep] | None:
        """Return the path from the root folder to the root of an entry, where it or nodes below it need one."""
        if not self._is_numbered(root) and not any(is_numbered(one.node) for one in chosen):
            return None
        return await path_from_root(self._services, root, self._addresses.node(root), self._addresses.namespaces)

    def _is_numbered(self, root: str) -> bool:
        return not is_browse_path(root) and is_numbered(self._addresses.node(root))

    async def _choose(self, browse: Browse, walk: Walk, findings: Findings) -> list[Visited]:
        """Return what one entry takes; add the rest to the findings."""
        visited = [one async for level in walk.levels() for one in level]
        visited.sort(key=lambda one: one.order)
        named: list[Visited] = []
        for at, one in enumerate(visited):
            await _breathe(at)
            if one.is_variable:
                if one.inside and browse.wants(one.name):
                    named.append(one)
                else:
                    findings.unwanted.add(one.name)
            elif len(one.path) == browse.depth:
                findings.unopened.add(one.name)
        chosen = await self._by_value(browse, walk, named, findings)
        for one in chosen[browse.most :]:
            findings.beyond.add(one.name)
        findings.properties.merge(walk.properties)
        findings.ended = findings.ended or walk.is_ended
        return chosen[: browse.most]

    async def _by_value(self, browse: Browse, walk: Walk, named: list[Visited], findings: Findings) -> list[Visited]:
        """Return the variables whose values are wanted, without those that the variables below them tell."""
        if browse.values == "all" and (browse.members != "instead" or not walk.members):
            return named
        kinds = await self._kinds([one.node for one in named])
        await turn_after(len(named))
        wanted = {one.node for one in named}
        chosen: list[Visited] = []
        for at, (one, kind) in enumerate(zip(named, kinds, strict=True)):
            await _breathe(at)
            members = walk.members.get(one.node, ()) if browse.members == "instead" else ()
            if kind.is_number or (browse.values == "all" and not _are_told(kind, members, wanted)):
                chosen.append(one)
            else:
                (findings.by_members if members else findings.no_numbers).add(one.name)
        return chosen

    async def _kinds(self, nodes: Sequence[ua.NodeId]) -> list[_Kind]:
        """Return what the values of variables are: by the data type, or by the present value where that leaves it open."""
        types = await self._services.attributes((node, AttributeIds.DataType) for node in nodes)
        ranks = await self._services.attributes((node, AttributeIds.ValueRank) for node in nodes)
        known = await self._definitions.kinds(types)
        await turn_after(len(nodes))
        scalar = [rank in _SCALAR for rank in ranks]
        open_ = [at for at, kind in enumerate(known) if scalar[at] and _is_open(kind)]
        values = await self._services.read((nodes[at], AttributeIds.Value) for at in open_)
        await turn_after(len(nodes))
        numbers = {at for at, data in zip(open_, values, strict=True) if _is_number(data.Value)}
        return [
            _Kind(kind, is_scalar, is_scalar and (_is_number_type(kind) or at in numbers))
            for at, (kind, is_scalar) in enumerate(zip(known, scalar, strict=True))
        ]


async def _breathe(at: int) -> None:
    """Give the event loop a turn now and then; `at`: how many were looked at without one."""
    if at % VISITED_AT_ONCE == VISITED_AT_ONCE - 1:
        await asyncio.sleep(0)


def _is_number_type(kind: DataType) -> bool:
    return isinstance(kind, Enumeration | OptionSet) or kind in _NUMBERS


def _is_open(kind: DataType) -> bool:
    """BaseDataType, a type that is not there, or a structure: some servers (gopcua) call all their variables so."""
    return kind == VARIANT or not isinstance(kind, int | Enumeration | OptionSet)


def _is_number(variant: ua.Variant | None) -> bool:
    return variant is not None and not variant.is_array and variant.VariantType.value in _NUMBERS


def _are_told(kind: _Kind, members: Sequence[tuple[str, ua.NodeId]], wanted: Collection[ua.NodeId]) -> bool:
    """Return whether the variables below a variable tell all of its value, and are wanted.

    A structure has no other fields than these, as far as its definition says; of an array they are the elements.
    """
    if not members or any(node not in wanted for _, node in members):
        return False
    if not (kind.is_scalar and isinstance(kind.type, Structure)):
        return True
    return {field.name for field in kind.type.fields} <= {name for name, _ in members}
