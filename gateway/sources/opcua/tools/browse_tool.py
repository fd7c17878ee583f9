"""What the commands ask a server: endpoints, variables with types, units and values."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from math import isfinite
from typing import Final

import numpy as np

from gateway.core.clock import SystemClock
from gateway.core.errors import NotConnected
from gateway.sources.opcua.client.browser import Browser
from gateway.sources.opcua.client.errors import translate_errors
from gateway.sources.opcua.client.handshake import get_endpoints, get_servers
from gateway.sources.opcua.client.node_details import DetailReads
from gateway.sources.opcua.client.session import AsyncuaSession, connect, quiet_library
from gateway.sources.opcua.client.walk import Visited
from gateway.sources.opcua.codec.columns import KIND_NOT_SCALAR, KIND_NULL, ValueColumns
from gateway.sources.opcua.codec.types.data_types import builtin_name
from gateway.sources.opcua.config.browse import Browse
from gateway.sources.opcua.config.device import OpcUaDevice, OpcUaTag
from gateway.sources.opcua.config.namespaces import lacking
from gateway.sources.opcua.port.adaptive_timeout import AdaptiveTimeout
from gateway.sources.opcua.port.errors import ServiceFault
from gateway.sources.opcua.port.units import EngineeringUnit, has_unit_of_node, range_text
from gateway.sources.opcua.security.endpoints import Endpoint
from gateway.sources.opcua.source.decode import TagColumns, decode
from gateway.sources.opcua.source.item_map import ItemMap
from gateway.sources.opcua.status.codes import status_name
from gateway.sources.opcua.status.explanation import explained
from gateway.sources.opcua.tools.folding import folded

_FLOATING: Final = (10, 11)
"""Float and Double (Part 6, 5.1.2)."""


@dataclass(frozen=True, slots=True)
class BrowsedNode:
    """One node, or one tag. path: browse names from below the root, the last one its own, or the tag's name.

    of_type: the name of its type. type, unit, range, value, status: of a variable, else ""; type is that of the data.
    status: "" while good. why: the status in words, where there are any. place: the node's among its siblings at each level,
    because names may be equal. number: value and quality of a sample, None where it is none.
    """

    path: tuple[str, ...]
    node: str
    is_variable: bool
    of_type: str = ""
    type: str = ""
    unit: str = ""
    range: str = ""
    value: str = ""
    status: str = ""
    why: str = ""
    description: str = ""
    place: tuple[int, ...] = ()
    number: tuple[float, int] | None = None


async def discover(config: OpcUaDevice) -> tuple[list[Endpoint], list[tuple[str, str]]]:
    """Return the endpoints of a server, and if nobody can log in there, the servers it knows. Raises NotConnected."""
    quiet_library()
    try:
        with translate_errors(f"cannot ask {config.url}"):
            timeout = AdaptiveTimeout(config.timeout / 1e9, SystemClock().monotonic)
            offers = await get_endpoints(config.url, timeout)
            return offers, [] if any(one.tokens for one in offers) else await get_servers(config.url, timeout)
    except ServiceFault as fault:
        raise NotConnected(f"{config.url} refuses: {explained(fault.status)}") from None


@asynccontextmanager
async def session(config: OpcUaDevice) -> AsyncIterator[AsyncuaSession]:
    """Open a session for a command, without a subscription, and close it at the end. Raises NotConnected."""
    connection = await connect(config.model_copy(update={"mode": "poll"}), SystemClock())
    try:
        yield connection
    finally:
        await connection.close()


def walker(connection: AsyncuaSession) -> Browser:
    """For finding and walking."""
    return Browser(connection.services, connection.addresses, connection.definitions)


async def browse(
    connection: AsyncuaSession, device: OpcUaDevice, wanted: Browse, most: int
) -> AsyncIterator[list[BrowsedNode]]:
    """Yield objects and the wanted variables with their values, level by level, at most `most` in all.

    Raises NotConnected.
    """
    count, details = 0, DetailReads(connection.services)
    async for level in walker(connection).walk(wanted):
        shown = [one for one in level if not one.is_variable or (one.inside and wanted.wants(one.name))]
        shown = shown[: most - count]
        count += len(shown)
        yield await _described(connection, device, shown, details)
        if count >= most:
            return


async def _described(
    connection: AsyncuaSession, device: OpcUaDevice, visited: Sequence[Visited], details: DetailReads
) -> list[BrowsedNode]:
    nodes = [one.node for one in visited if one.is_variable]
    types = iter(await connection.services.value_types(nodes))
    tags = [OpcUaTag.model_construct(name=node.to_string(), node=node.to_string()) for node in nodes]
    values = iter(await read(connection, device, tags))
    described = []
    for one, known in zip(visited, await details.read(visited), strict=True):
        node = BrowsedNode(one.path, one.node.to_string(), False)
        if one.is_variable:
            tag, built_in = next(values), next(types)
            array = "[]" if built_in.endswith("[]") else ""
            kind = f"{known.data_type}{array}" if known.data_type else built_in or tag.type
            node = replace(tag, path=one.path, type=kind)
        described.append(replace(node, place=one.order, of_type=known.type, description=known.description))
    return described


async def read(connection: AsyncuaSession, device: OpcUaDevice, tags: Sequence[OpcUaTag]) -> list[BrowsedNode]:
    """Read the present values of tags, each as its tag takes it: scaled, an element, a field, a label.

    Raises NotConnected.
    """
    tagging = ItemMap(device.model_copy(update={"mode": "poll"}), tags)
    columns = TagColumns.of(0, tags)
    labels = {
        row: some or {}
        for item, some in zip(tagging.items, await connection.metadata.labels(tagging.items), strict=True)
        for row in tagging.whole(item)
    }
    measures = await connection.metadata.units([tag.node for tag in tags])
    found: dict[int, BrowsedNode] = {}
    for answer in await connection.values.read(tagging.items):
        values = tagging.spread(answer)
        block, objects = decode(values, columns, device.clock_tolerance)
        shown = {int(row): f"{value:.15g}" for row, value in zip(block.tag, block.value, strict=True) if isfinite(value)}
        samples = dict(zip(block.tag.tolist(), zip(block.value.tolist(), block.quality.tolist(), strict=True), strict=True))
        shown |= _infinite(values.columns)
        shown = {row: _labelled(text, labels.get(row, {})) for row, text in shown.items()}
        if objects is not None:
            shown |= {int(row): folded(one) for row, one in zip(objects.tag, objects.value, strict=True)}
        for place, row in enumerate(values.columns.row.tolist()):
            tag, status = tags[row], int(values.columns.status[place])
            unit = measures[row] if has_unit_of_node(tag) else EngineeringUnit()
            why = _why(tag.node, status, connection.addresses.namespaces) if status else ""
            found[row] = BrowsedNode(
                (tag.name,), tag.node, True, "", _kind(int(values.columns.kind[place])), tag.unit or unit.unit,
                range_text(tag.range) or unit.range, shown.get(row, ""), status_name(status) if status else "", why,
                number=samples.get(row),
            )  # fmt: skip
    return [found[row] for row in range(len(tags))]


def _infinite(columns: ValueColumns) -> dict[int, str]:
    """`nan` and `inf`, by row: no samples, but what the server says."""
    wanted = np.isin(columns.kind, _FLOATING) & ~np.isfinite(columns.number)
    return {int(row): str(value) for row, value in zip(columns.row[wanted], columns.number[wanted], strict=True)}


def _why(node: str, status: int, namespaces: Sequence[str]) -> str:
    return lacking(node, namespaces) or explained(status).partition(": ")[2]


def _labelled(text: str, labels: Mapping[int, object]) -> str:
    label = labels.get(int(text)) if text.lstrip("-").isdigit() else None
    if isinstance(label, list):  # names of bits
        label = ", ".join(map(str, label)) or None
    return text if label is None else f"{text} ({label})"


def _kind(kind: int) -> str:
    if kind == KIND_NOT_SCALAR:
        return "array or structure"
    return "" if kind == KIND_NULL else builtin_name(kind)
