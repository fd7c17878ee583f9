"""The data type of an encoding where no reference says so.

Servers on open62541 have types without nodes for their encodings; definitions name them (DefaultEncodingId, Part 3, 8.49).
"""

from collections.abc import Collection
from typing import Final

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from gateway.sources.opcua.client.services import Services, local
from gateway.sources.opcua.codec.types.data_types import plain_id
from gateway.sources.opcua.codec.types.structures import MOST_TYPES

_STRUCTURE: Final = ua.NodeId(ObjectIds.Structure, 0)  # type: ignore[arg-type]  # asyncua declares its own integers


async def owners_by_definition(services: Services, encodings: Collection[ua.NodeId]) -> dict[ua.NodeId, ua.NodeId]:
    """Return the data type of each of these encodings, as far as one of their namespaces has it below Structure.

    Raises NotConnected.
    """
    wanted = {plain_id(encoding): encoding for encoding in encodings}
    namespaces = {encoding.NamespaceIndex for encoding in encodings}
    types = [node for node in await _structures(services) if node.NamespaceIndex in namespaces]
    definitions = await services.attributes((node, AttributeIds.DataTypeDefinition) for node in types)
    named = {
        plain_id(definition.DefaultEncodingId): node
        for node, definition in zip(types, definitions, strict=True)
        if isinstance(definition, ua.StructureDefinition)
    }
    return {encoding: named[plain] for plain, encoding in wanted.items() if plain in named}


async def _structures(services: Services) -> list[ua.NodeId]:
    level, found = [_STRUCTURE], {_STRUCTURE}
    while level and len(found) < MOST_TYPES:
        below = [local(one.NodeId) for some in await services.references(level, ObjectIds.HasSubtype) for one in some]
        level = list(dict.fromkeys(plain for node in below if node is not None and (plain := plain_id(node)) not in found))
        found.update(level)
    return list(found)
