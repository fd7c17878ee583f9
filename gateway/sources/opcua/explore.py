"""Looking around on a server, for people: its variables with types, units and values. The third file on asyncua: nothing
here runs in the gateway itself, only in commands."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, cast

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from gateway.core.errors import NotConnected
from gateway.sources.opcua.batches import ServiceFault
from gateway.sources.opcua.client import quiet_library
from gateway.sources.opcua.config import OpcUaDevice
from gateway.sources.opcua.endpoints import Offer
from gateway.sources.opcua.faults import translated
from gateway.sources.opcua.session import get_offers, open_channel, open_session
from gateway.sources.opcua.status import status_name

MOST_DEPTH: Final = 32
_PER_CALL: Final = 100
_CLOSE_S: Final = 2.0
_HAS_PROPERTY: Final = ua.NodeId.from_string("i=46")
_SERVER_OBJECT: Final = ua.NodeId.from_string("i=2253")
_CLASSES: Final = (ua.NodeClass.Object, ua.NodeClass.Variable)


@dataclass(frozen=True, slots=True)
class Found:
    """One node. path: browse names from below the root, the last one its own; depth: 1 for the root's children.

    type, unit, value, status: of a variable, else "". status: "" while good.
    """

    path: tuple[str, ...]
    node: str
    is_variable: bool
    type: str = ""
    unit: str = ""
    value: str = ""
    status: str = ""


async def discover(config: OpcUaDevice) -> list[Offer]:
    """The endpoints of a server. Raises NotConnected."""
    quiet_library()
    try:
        with translated(f"cannot ask {config.url}"):
            return await get_offers(config.url, config.timeout / 1e9)
    except ServiceFault as fault:
        raise NotConnected(f"{config.url} refuses: {fault}") from None


@asynccontextmanager
async def session(config: OpcUaDevice) -> AsyncIterator[Client]:
    """A session for a command, closed at the end. Raises NotConnected."""
    quiet_library()
    client = Client(config.url, timeout=config.timeout / 1e9)
    client.name = client.description = "gateway command"
    client.session_timeout = config.session_timeout // 1_000_000
    try:
        with translated(f"cannot connect to {config.url}"):
            offer = await open_channel(client, config)
            await open_session(client, config, offer)
        with translated(f"{config.url}"):
            yield client
    except ServiceFault as fault:
        raise NotConnected(f"{config.url} refuses: {fault}") from None
    finally:
        try:
            async with asyncio.timeout(_CLOSE_S):
                with translated("closing"):
                    await client.uaclient.close_session(True)
                    await client.close_secure_channel()
        except (NotConnected, ServiceFault, TimeoutError):
            pass  # it never opened, or is gone
        finally:
            client.disconnect_socket()


async def browse(client: Client, root: str, most: int) -> AsyncIterator[Found]:
    """Objects and variables below `root` along hierarchical references, each node once, at most `most` of them.

    The Server object is left out unless it is the root. Raises what asyncua raises, within `session` NotConnected.
    """
    start = ua.NodeId.from_string(root)
    seen, count = {start}, 0
    stack: list[tuple[tuple[str, ...], ua.NodeId]] = [((), start)]
    while stack:
        path, parent = stack.pop()
        children = []
        for reference in await _children(client, parent):
            node = ua.NodeId(reference.NodeId.Identifier, reference.NodeId.NamespaceIndex, reference.NodeId.NodeIdType)
            if node in seen or node == _SERVER_OBJECT or getattr(reference.NodeId, "ServerIndex", None):
                continue
            seen.add(node)
            children.append(((*path, reference.BrowseName.Name or ""), node, reference.NodeClass == ua.NodeClass.Variable))
        for found in await _describe(client, children):
            if count == most:
                return
            count += 1
            yield found
        if len(path) + 1 < MOST_DEPTH:
            stack += [(name, node) for name, node, is_variable in reversed(children) if not is_variable]


async def read(client: Client, nodes: Iterable[str]) -> list[Found]:
    """Values of nodes now, in order."""
    wanted: list[tuple[tuple[str, ...], ua.NodeId, bool]] = [((text,), ua.NodeId.from_string(text), True) for text in nodes]
    return await _describe(client, wanted)


async def _children(client: Client, parent: ua.NodeId) -> list[Any]:
    """All of them: asyncua follows continuation points."""
    references: list[Any] = await client.get_node(parent).get_references(
        refs=ObjectIds.HierarchicalReferences,
        direction=ua.BrowseDirection.Forward,
        includesubtypes=True,
    )
    return [reference for reference in references if reference.NodeClass in _CLASSES]


async def _describe(client: Client, nodes: list[tuple[tuple[str, ...], ua.NodeId, bool]]) -> list[Found]:
    variables = [node for _, node, is_variable in nodes if is_variable]
    values: dict[ua.NodeId, ua.DataValue] = {}
    units: dict[ua.NodeId, str] = {}
    for start in range(0, len(variables), _PER_CALL):
        batch = variables[start : start + _PER_CALL]
        values |= dict(zip(batch, await client.uaclient.session.read(_values(batch)), strict=True))
        units |= await _units(client, batch)
    found = []
    for path, node, is_variable in nodes:
        if is_variable:
            found.append(_found(path, node, values[node], units.get(node, "")))
        else:
            found.append(Found(path, node.to_string(), False))
    return found


def _values(nodes: list[ua.NodeId]) -> ua.ReadParameters:
    params = ua.ReadParameters(TimestampsToReturn=ua.TimestampsToReturn.Both)
    params.NodesToRead = [ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.Value) for node in nodes]
    return params


def _found(path: tuple[str, ...], node: ua.NodeId, data: ua.DataValue, unit: str) -> Found:
    variant, status = data.Value, 0 if data.StatusCode is None else data.StatusCode.value
    kind = "" if variant is None else variant.VariantType.name + ("[]" if variant.is_array else "")
    value = "" if variant is None or variant.Value is None else str(variant.Value)
    return Found(path, node.to_string(), True, kind, unit, value, status_name(status) if status else "")


async def _units(client: Client, nodes: list[ua.NodeId]) -> dict[ua.NodeId, str]:
    """The symbol of each node's EngineeringUnits property (Part 8, 5.6.3); nodes without one are left out."""
    paths = [ua.BrowsePath(node, ua.RelativePath([_units_property()])) for node in nodes]
    results = await client.uaclient.session.translate_browsepaths_to_nodeids(paths)
    targets = {
        node: ua.NodeId(found.Identifier, found.NamespaceIndex, found.NodeIdType)
        for node, result in zip(nodes, results, strict=True)
        if result.StatusCode.is_good() and result.Targets and (found := result.Targets[0].TargetId)
    }
    if not targets:
        return {}
    data = await client.uaclient.session.read(_values(list(targets.values())))
    found_units = (None if one.Value is None else one.Value.Value for one in data)
    return {
        node: unit.DisplayName.Text or ""
        for node, unit in zip(targets, found_units, strict=True)
        if isinstance(unit, ua.EUInformation)
    }


def _units_property() -> ua.RelativePathElement:
    element: Any = ua.RelativePathElement()
    element.ReferenceTypeId = _HAS_PROPERTY
    element.IsInverse = False
    element.IncludeSubtypes = True
    element.TargetName = ua.QualifiedName("EngineeringUnits", 0)
    return cast(ua.RelativePathElement, element)
