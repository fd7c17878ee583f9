"""Type dictionaries of servers without DataTypeDefinition, as those from before OPC UA 1.04.

Part 5, Annex D; Part 3 up to 1.03, 5.8.3 and Annex C: encoding -HasDescription-> description, which names a type of its
dictionary.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import structlog
from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from gateway.sources.opcua.client.services import Services, element, local
from gateway.sources.opcua.codec.legacy_schema import MOST_BYTES, SCHEMA, STANDARD, BadDictionary, parse_dictionary
from gateway.sources.opcua.codec.legacy_structures import LegacyStructure, TypeName
from gateway.sources.opcua.codec.types.data_types import DataType
from gateway.sources.opcua.codec.types.structures import Types
from gateway.sources.opcua.status.codes import TOO_MUCH

log = structlog.get_logger("opcua")

MOST_DICTIONARIES: Final = 100
MOST_NAMES: Final = 20_000
PART_BYTES: Final = 32_768
_NAMED: Final = 5
_BINARY: Final = "Default Binary"
_TYPE_SYSTEM: Final = ua.NodeId(ObjectIds.OPCBinarySchema_TypeSystem, 0)  # type: ignore[arg-type]  # asyncua's own integers


class LegacyDictionaries:
    """Reads the dictionaries of one session, each once, into the names of its `Types`. Raises NotConnected.

    A dictionary that cannot be used costs the types that only it describes.
    """

    def __init__(self, services: Services, types: Types) -> None:
        self._services = services
        self._types = types
        self._namespaces: dict[ua.NodeId, str | None] = {}

    async def of_types(self, data_types: Sequence[ua.NodeId]) -> dict[ua.NodeId, DataType]:
        """Return these types as dictionaries describe them; without those that have no binary encoding or description."""
        references = await self._services.references(data_types, ObjectIds.HasEncoding)
        pairs = [
            (data_type, encoding)
            for data_type, some in zip(data_types, references, strict=True)
            if (encoding := _binary(some)) is not None
        ]
        found = await self.of_encodings([encoding for _, encoding in pairs])
        return {data_type: found[encoding] for data_type, encoding in pairs if encoding in found}

    async def of_encodings(self, encodings: Sequence[ua.NodeId]) -> dict[ua.NodeId, DataType]:
        """Return types as `of_types` does, by their binary encodings."""
        references = await self._services.references(encodings, ObjectIds.HasDescription)
        described = [
            (encoding, description)
            for encoding, some in zip(encodings, references, strict=True)
            if (description := _first(some)) is not None
        ]
        nodes = [node for _, node in described]
        names = await self._services.attributes((node, AttributeIds.Value) for node in nodes)
        owners = await self._services.references(nodes, ObjectIds.HasComponent, inverse=True)
        dictionaries = [_first(some) for some in owners]
        for dictionary in dict.fromkeys(one for one in dictionaries if one is not None):
            await self._load(dictionary)
        await self._load_imported()
        found: dict[ua.NodeId, DataType] = {}
        for (encoding, _), name, owner in zip(described, names, dictionaries, strict=True):
            namespace = self._namespaces.get(owner) if owner is not None else None
            known = self._types.named.get(TypeName(namespace or "", str(name)))
            if namespace is not None and isinstance(known, LegacyStructure):
                found[encoding] = known
        return found

    async def _load(self, node: ua.NodeId) -> None:
        if node in self._namespaces or len(self._namespaces) >= MOST_DICTIONARIES:
            return
        self._namespaces[node] = None
        try:
            dictionary = await asyncio.to_thread(parse_dictionary, await self._content(node))
        except BadDictionary as error:
            log.warning("the server's type dictionary %s cannot be used: %s", node.to_string(), error)
            return
        if dictionary.refused:
            some = "; ".join(f"{name}.{why}" for name, why in list(dictionary.refused.items())[:_NAMED])
            log.warning(
                "%d structures of the server's type dictionary %s are told as bytes: %s",
                len(dictionary.refused), dictionary.namespace, some,
            )  # fmt: skip
        self._namespaces[node] = dictionary.namespace
        for name, known in dictionary.types.items():
            if len(self._types.named) < MOST_NAMES:
                self._types.named[TypeName(dictionary.namespace, name)] = known

    async def _content(self, node: ua.NodeId) -> bytes:
        """Read the bytes of a dictionary, in parts where they are too many for one answer. Raises BadDictionary."""
        (whole,) = await self._services.read([(node, AttributeIds.Value)])
        if whole.StatusCode is None or whole.StatusCode.value not in TOO_MUCH:
            return _bytes(whole)
        content = bytearray()
        while len(content) <= MOST_BYTES:
            part = await self._services.read_range(node, f"{len(content)}:{len(content) + PART_BYTES - 1}")
            if part.StatusCode is not None and part.StatusCode.is_bad() and content:
                break
            content += (read := _bytes(part))
            if len(read) != PART_BYTES:
                break
        return bytes(content)

    async def _load_imported(self) -> None:
        """Types may have fields of types of other dictionaries, which are found by their NamespaceUri."""
        wanted = self._unknown_namespaces()
        if not wanted:
            return
        (references,) = await self._services.references([_TYPE_SYSTEM], ObjectIds.HasComponent)
        nodes = [node for one in references if (node := local(one.NodeId)) is not None and node not in self._namespaces]
        name = element(ua.QualifiedName("NamespaceUri", 0), ObjectIds.HasProperty)
        properties = await self._services.translate([(node, [name]) for node in nodes])
        having = [(node, one) for node, one in zip(nodes, properties, strict=True) if isinstance(one, ua.NodeId)]
        uris = await self._services.attributes((one, AttributeIds.Value) for _, one in having)
        left = [(node, uri) for (node, _), uri in zip(having, uris, strict=True) if isinstance(uri, str)]
        while wanted and (due := [node for node, uri in left if uri in wanted]):
            for node in due:
                await self._load(node)
            left = [(node, uri) for node, uri in left if node not in due]
            wanted = self._unknown_namespaces()

    def _unknown_namespaces(self) -> set[str]:
        structures = [known for known in self._types.named.values() if isinstance(known, LegacyStructure)]
        named = {member.type.namespace for one in structures for member in one.members if isinstance(member.type, TypeName)}
        return named - {SCHEMA, STANDARD, *(uri for uri in self._namespaces.values() if uri is not None)}


def _bytes(value: ua.DataValue) -> bytes:
    content = value.Value.Value if value.Value is not None else None
    if not isinstance(content, bytes) or (value.StatusCode is not None and value.StatusCode.is_bad()):
        raise BadDictionary(
            f"its value is {type(content).__name__}, {value.StatusCode.name if value.StatusCode else 'Good'}"
        )
    return content


def _first(references: Sequence[Any]) -> ua.NodeId | None:
    return local(references[0].NodeId) if references else None


def _binary(references: Sequence[Any]) -> ua.NodeId | None:
    named = [one for one in references if one.BrowseName.Name == _BINARY]
    return _first(named or references)
