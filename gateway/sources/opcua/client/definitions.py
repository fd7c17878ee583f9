"""A server's type definitions: the structure of a binary encoding, its fields, the labels of enumerations."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from gateway.core.turns import turn_after
from gateway.sources.opcua.client.encodings import owners_by_definition
from gateway.sources.opcua.client.legacy_dictionaries import LegacyDictionaries
from gateway.sources.opcua.client.services import Services, local
from gateway.sources.opcua.codec.enum_labels import BitNames, bits_in, labels_in
from gateway.sources.opcua.codec.texts import sound
from gateway.sources.opcua.codec.types.data_types import (
    EXTENSION_OBJECT,
    VARIANT,
    DataType,
    Enumeration,
    OptionSet,
    Structure,
    Undescribed,
    definition_of,
    option_set,
    plain_id,
    standard_type,
)
from gateway.sources.opcua.codec.types.structures import MOST_TYPES, Types
from gateway.sources.opcua.status.codes import NODE_UNKNOWN, is_bad

_DEEPEST: Final = 32
_NUMBERS: Final = frozenset({*range(1, 10), VARIANT})
"""Boolean to UInt64, and whatever it is at the time."""
_NO_ATTRIBUTE: Final = 0x80350000
LABELS: Final = frozenset({"EnumStrings", "EnumValues", "OptionSetValues", "TrueState", "FalseState"})
UNITS: Final = frozenset({"EngineeringUnits", "EURange"})
VERSION: Final = frozenset({"NodeVersion"})


class Definitions:
    """Reads types from the server into a session's `Types`, each type once.

    A type that cannot be read is known as None: its values come as bytes.
    """

    def __init__(self, services: Services, types: Types) -> None:
        self._services = services
        self._types = types
        self._learning = asyncio.Lock()
        self._unread: set[ua.NodeId] = set()
        self._dictionaries = LegacyDictionaries(services, types)

    async def learn_missing(self) -> None:
        """Read the types of the encodings in `Types.missing`. Raises NotConnected."""
        async with self._learning:
            if self._types.is_doubtful:
                self._types.forget()
                self._dictionaries = LegacyDictionaries(self._services, self._types)
        encodings = list(self._types.missing)
        owners = await self._services.references(encodings, ObjectIds.HasEncoding, inverse=True)
        found = [local(references[0].NodeId) if references else None for references in owners]
        await self.learn(node for node in found if node is not None)
        self._types.encodings |= dict(zip(encodings, found, strict=True))
        if ownerless := [encoding for encoding, owner in zip(encodings, found, strict=True) if owner is None]:
            described = await self._dictionaries.of_encodings(ownerless)
            self._types.known |= described
            self._types.encodings |= {encoding: encoding for encoding in described}
            if unknown := [encoding for encoding in ownerless if encoding not in described]:
                owned = await owners_by_definition(self._services, unknown)
                await self.learn(owned.values())
                self._types.encodings |= owned
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
                if (own := standard_type(node)) is not None:
                    known[node] = own
            asked = [node for node in wanted if node not in known]
            if not asked or len(known) + len(asked) > MOST_TYPES:
                break
            definitions = await self._services.read((node, AttributeIds.DataTypeDefinition) for node in asked)
            self._unread |= {node for node, one in zip(asked, definitions, strict=True) if _may_pass(_status(one))}
            names = await self._services.attributes((node, AttributeIds.BrowseName) for node in asked)
            abstract = await self._services.attributes((node, AttributeIds.IsAbstract) for node in asked)
            by_supertype: dict[ua.NodeId, str] = {}
            for node, definition, name, is_abstract in zip(asked, definitions, names, abstract, strict=True):
                value: Any = None if definition.Value is None or is_bad(_status(definition)) else definition.Value.Value
                named = str(name.Name) if isinstance(name, ua.QualifiedName) else ""
                known[node] = found = definition_of(named, value)
                if not isinstance(found, Structure):
                    by_supertype[node] = named
                elif is_abstract is True and value.DefaultEncodingId.is_null():  # some servers call all their types so
                    known[node] = EXTENSION_OBJECT
            await self._learn_by_supertype(by_supertype)
            for node, is_abstract in zip(asked, abstract, strict=True):
                if is_abstract is True and isinstance(known[node], Undescribed):
                    known[node] = EXTENSION_OBJECT
            fields = [one.type for node in asked if isinstance(s := known[node], Structure) for one in s.fields]
            wanted = set(fields) - known.keys()
        for node in wanted - known.keys():
            known[node] = None

    async def _learn_by_supertype(self, names: Mapping[ua.NodeId, str]) -> None:
        """Set types that are no structures by definition, with their names, by their nearest supertype.

        They are encoded as that; labels of their numbers come from properties of their own.
        """
        known = self._types.known
        kinds = await self._supertypes(names)
        # A structure that nobody describes cannot be decoded, whatever it is derived from.
        unknown = [node for node in names if known[node] is None and _is_structure(kinds.get(node))]
        described = await self._dictionaries.of_types(unknown)
        unlabelled = [node for node, kind in kinds.items() if known[node] is None and _has_labels(kind)]
        properties = dict(zip(unlabelled, await self.properties(unlabelled, LABELS), strict=True))
        for node, kind in kinds.items():
            own = known[node]
            bits = own.labels if isinstance(own, Enumeration) else bits_in(properties.get(node, {}))
            if isinstance(kind, Enumeration):
                known[node] = own or Enumeration(labels_in(properties[node]))
            elif isinstance(own, Enumeration) or bits or kind is ua.OptionSet:
                known[node] = option_set(names[node], kind, bits) or kind
            else:
                known[node] = described.get(node, Undescribed()) if _is_structure(kind) else kind
        known |= {node: described[node] for node in unknown if node not in kinds and node in described}

    async def _supertypes(self, nodes: Iterable[ua.NodeId]) -> dict[ua.NodeId, DataType]:
        """Return the nearest supertype of each that is the standard's own; without those that have none."""
        kinds: dict[ua.NodeId, DataType] = {}
        chains = {node: node for node in nodes}
        for _ in range(_DEEPEST):
            if not chains:
                break
            parents = await self._services.references(list(chains.values()), ObjectIds.HasSubtype, inverse=True)
            rising = {}
            for node, references in zip(chains, parents, strict=True):
                parent = local(references[0].NodeId) if references else None
                if parent is None:
                    continue
                kind = standard_type(parent)
                if kind is None:
                    rising[node] = parent
                else:
                    kinds[node] = kind
            chains = rising
        return kinds

    async def kinds(self, types: Sequence[Any]) -> list[DataType]:
        """Return what these data types are, None for what is no data type."""
        asked = [(one.Identifier, one.NamespaceIndex) if isinstance(one, ua.NodeId) else None for one in types]
        await turn_after(len(asked))
        each = {key: plain_id(one) for key, one in dict(zip(asked, types, strict=True)).items() if key is not None}
        await self.learn(each.values())
        known = {key: self._types.known.get(node) for key, node in each.items()}
        await turn_after(len(asked))
        return [None if key is None else known[key] for key in asked]

    async def labels(self, nodes: Sequence[ua.NodeId]) -> list[Mapping[int, object] | None]:
        """Return the labels of variables, by number: from their data types, else from properties of their own.

        Empty for most, None where the server did not answer.
        """
        for node in self._unread:
            self._types.known.pop(node, None)
        self._unread.clear()
        types = await self._services.attributes((node, AttributeIds.DataType) for node in nodes)
        known = await self.kinds(types)
        await turn_after(len(nodes))
        labels: list[Mapping[int, object] | None] = [_labels_of(one) for one in known]
        asked = [at for at, one in enumerate(known) if not labels[at] and _may_have_labels(one)]
        own = await self._properties([nodes[at] for at in asked], LABELS)
        for at, properties in zip(asked, own, strict=True):
            labels[at] = None if properties is None else labels_in(properties)
        await turn_after(len(nodes))
        unread = [not isinstance(one, ua.NodeId) or (self._unread and plain_id(one) in self._unread) for one in types]
        return [some or (None if failed else some) for some, failed in zip(labels, unread, strict=True)]

    async def properties(
        self,
        nodes: Sequence[ua.NodeId],
        names: Collection[str],
        found: Mapping[ua.NodeId, Mapping[str, ua.NodeId]] = MappingProxyType({}),
    ) -> list[dict[str, Any]]:
        """Return each node's properties of these names, by name (Part 8, 5.3 and 5.6).

        Texts, (number, text) of EnumValues, the unit's symbol of EngineeringUnits, (low, high) of EURange. found: the nodes
        of the properties, by node and name, where they are known; the others are browsed.
        """
        return [some or {} for some in await self._properties(nodes, names, found)]

    async def _properties(
        self,
        nodes: Sequence[ua.NodeId],
        names: Collection[str],
        known: Mapping[ua.NodeId, Mapping[str, ua.NodeId]] = MappingProxyType({}),
    ) -> list[dict[str, Any] | None]:
        """Return properties as `properties`, None for a node where the server did not answer."""
        browsed = [node for node in nodes if node not in known]
        await turn_after(len(nodes))
        answers = dict(zip(browsed, await self._services.browse(browsed, ObjectIds.HasProperty), strict=True))
        await turn_after(len(nodes))
        references = [answers.get(node, []) for node in nodes]
        await turn_after(len(nodes))
        found = [
            (at, one.BrowseName.Name, target)
            for at, some in enumerate(references)
            for one in (() if isinstance(some, int) else some)
            if one.BrowseName.Name in names and (target := local(one.NodeId)) is not None
        ]
        await turn_after(len(nodes))
        found += [(at, name, target) for at, node in enumerate(nodes) for name, target in known.get(node, {}).items()]
        values = await self._services.read((target, AttributeIds.Value) for _, _, target in found)
        await turn_after(len(nodes))
        properties: list[dict[str, Any] | None] = [None if isinstance(some, int) else {} for some in references]
        for (at, name, _), value in zip(found, values, strict=True):
            some = properties[at]
            if value.Value is None or is_bad(_status(value)):
                properties[at] = None
            elif some is not None:
                some[name] = _text(value.Value.Value)
        return properties


def _is_structure(kind: DataType) -> bool:
    return kind is None or kind == EXTENSION_OBJECT or isinstance(kind, type)


def _has_labels(kind: DataType) -> bool:
    """Return whether a data type derived from it may have labels of its own."""
    return isinstance(kind, Enumeration) or kind is ua.OptionSet or (isinstance(kind, int) and kind in _NUMBERS)


def _may_have_labels(known: DataType) -> bool:
    """Return whether a variable of it may have labels of its own."""
    return isinstance(known, Enumeration | OptionSet) or (isinstance(known, int) and known in _NUMBERS)


def _labels_of(known: DataType) -> Mapping[int, object]:
    if isinstance(known, OptionSet):
        return BitNames(known.bits)
    return known.labels if isinstance(known, Enumeration) else {}


def _status(value: ua.DataValue) -> int:
    return 0 if value.StatusCode is None else int(value.StatusCode.value)


def _may_pass(status: int) -> bool:
    """Return whether the server may answer later what it refused now."""
    return is_bad(status) and status not in (NODE_UNKNOWN, _NO_ATTRIBUTE)


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [_text(one) for one in value]
    if isinstance(value, ua.EnumValueType):
        return int(value.Value), sound(str(value.DisplayName.Text or value.Value))
    if isinstance(value, ua.Range):
        return value.Low, value.High
    if isinstance(value, ua.EUInformation):
        value = value.DisplayName
    value = str(value.Text or "") if isinstance(value, ua.LocalizedText) else value
    return sound(value) if isinstance(value, str) else value
