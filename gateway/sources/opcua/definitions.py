"""Reading a server's type definitions: which structure a binary encoding is, what its fields are, what enumerations mean."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from gateway.sources.opcua.datatypes import VARIANT, Enumeration, Known, Structure, definition_of, plain_id, standard
from gateway.sources.opcua.dictionaries import Dictionaries
from gateway.sources.opcua.labels import labels_in
from gateway.sources.opcua.services import Services, local
from gateway.sources.opcua.structures import EXTENSION_OBJECT, MOST_TYPES, Types

_DEEPEST: Final = 32
_NUMBERS: Final = frozenset({*range(1, 10), VARIANT})
"""Boolean to UInt64, and whatever it is at the time."""
LABELS: Final = frozenset({"EnumStrings", "EnumValues", "TrueState", "FalseState"})
UNITS: Final = frozenset({"EngineeringUnits", "EURange"})


class Definitions:
    """Fills a session's `Types`, each type once. A type that cannot be read is known as None: its values come as bytes."""

    def __init__(self, services: Services, types: Types) -> None:
        self._services = services
        self._types = types
        self._learning = asyncio.Lock()
        self._dictionaries = Dictionaries(services, types)

    async def learn_missing(self) -> None:
        """Find the types of the encodings that were met. Raises NotConnected."""
        encodings = list(self._types.missing)
        owners = await self._services.browse(encodings, ObjectIds.HasEncoding, inverse=True)
        found = [local(references[0].NodeId) if references else None for references in owners]
        await self.learn(node for node in found if node is not None)
        self._types.encodings |= dict(zip(encodings, found, strict=True))
        if ownerless := [encoding for encoding, owner in zip(encodings, found, strict=True) if owner is None]:
            described = await self._dictionaries.of_encodings(ownerless)
            self._types.known.update(described.items())
            self._types.encodings |= {encoding: encoding for encoding in described}
        self._types.missing.difference_update(encodings)

    async def learn(self, data_types: Iterable[ua.NodeId]) -> None:
        """Read these types and those of their fields. Raises NotConnected."""
        async with self._learning:  # a structure is known before the types of its fields are
            await self._learn(data_types)

    async def _learn(self, data_types: Iterable[ua.NodeId]) -> None:
        known = self._types.known
        wanted = {plain_id(node) for node in data_types} - known.keys()
        for _ in range(_DEEPEST):
            for node in wanted:
                if (own := standard(node)) is not None:
                    known[node] = own
            asked = [node for node in wanted if node not in known]
            if not asked or len(known) + len(asked) > MOST_TYPES:
                break
            told = await self._services.attributes((node, AttributeIds.DataTypeDefinition) for node in asked)
            names = await self._services.attributes((node, AttributeIds.BrowseName) for node in asked)
            undefined: list[ua.NodeId] = []
            for node, definition, name in zip(asked, told, names, strict=True):
                found = definition_of(str(name.Name) if isinstance(name, ua.QualifiedName) else "", definition)
                known[node] = found
                if found is None:
                    undefined.append(node)
            await self._learn_by_supertype(undefined)
            fields = [one.type for node in asked if isinstance(s := known[node], Structure) for one in s.fields]
            wanted = set(fields) - known.keys()
        for node in wanted - known.keys():
            known[node] = None

    async def _learn_by_supertype(self, nodes: list[ua.NodeId]) -> None:
        """Types without a definition are encoded as their nearest supertype; enumerations may have their labels apart."""
        kinds: dict[ua.NodeId, Known] = {}
        chains = {node: node for node in nodes}
        for _ in range(_DEEPEST):
            if not chains:
                break
            parents = await self._services.browse(list(chains.values()), ObjectIds.HasSubtype, inverse=True)
            rising = {}
            for node, references in zip(chains, parents, strict=True):
                parent = local(references[0].NodeId) if references else None
                if parent is None:
                    continue
                kind = standard(parent)
                if kind is None:
                    rising[node] = parent
                elif not isinstance(kind, type):
                    kinds[node] = kind
            chains = rising
        # A structure that nobody describes cannot be decoded, whatever it is derived from.
        structures = [node for node in nodes if kinds.get(node) in (None, EXTENSION_OBJECT)]
        described = await self._dictionaries.of_types(structures)
        self._types.known.update((kinds | {node: described.get(node) for node in structures}).items())
        enumerations = [node for node, kind in kinds.items() if isinstance(kind, Enumeration)]
        told = await self.properties(enumerations, LABELS)
        self._types.known |= {
            node: Enumeration(labels_in(properties)) for node, properties in zip(enumerations, told, strict=True)
        }

    async def kinds(self, types: Iterable[Any]) -> list[Known]:
        """What these data types are; None for what is none."""
        asked = [plain_id(one) if isinstance(one, ua.NodeId) else None for one in types]
        await self.learn(one for one in asked if one is not None)
        return [self._types.known.get(one) if one is not None else None for one in asked]

    async def labels(self, nodes: Sequence[ua.NodeId]) -> list[Mapping[int, str]]:
        """What the numbers of variables mean: by their data types, else by properties of their own; empty for most."""
        known = await self.kinds(await self._services.attributes((node, AttributeIds.DataType) for node in nodes))
        labels = [one.labels if isinstance(one, Enumeration) else {} for one in known]
        asked = [at for at, one in enumerate(known) if not labels[at] and (isinstance(one, Enumeration) or one in _NUMBERS)]
        own = await self.properties([nodes[at] for at in asked], LABELS)
        for at, properties in zip(asked, own, strict=True):
            labels[at] = labels_in(properties)
        return labels

    async def properties(self, nodes: Sequence[ua.NodeId], names: Collection[str]) -> list[dict[str, Any]]:
        """Each node's properties of these names, by name: texts, (number, text) of EnumValues, the unit's symbol of
        EngineeringUnits, (low, high) of EURange (Part 8, 5.3 and 5.6)."""
        references = await self._services.browse(nodes, ObjectIds.HasProperty)
        found = [
            (at, one.BrowseName.Name, target)
            for at, some in enumerate(references)
            for one in some
            if one.BrowseName.Name in names and (target := local(one.NodeId)) is not None
        ]
        values = await self._services.attributes((target, AttributeIds.Value) for _, _, target in found)
        properties: list[dict[str, Any]] = [{} for _ in nodes]
        for (at, name, _), value in zip(found, values, strict=True):
            properties[at][name] = _text(value)
        return properties


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [_text(one) for one in value]
    if isinstance(value, ua.EnumValueType):
        return int(value.Value), str(value.DisplayName.Text or value.Value)
    if isinstance(value, ua.Range):
        return value.Low, value.High
    if isinstance(value, ua.EUInformation):
        value = value.DisplayName
    return str(value.Text or "") if isinstance(value, ua.LocalizedText) else value
