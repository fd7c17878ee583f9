"""Reading a server's type definitions: which structure a binary encoding is, what its fields are, what enumerations mean."""

from collections.abc import Iterable
from typing import Any, Final

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from gateway.sources.opcua.services import Services, element, local
from gateway.sources.opcua.structures import (
    MOST_TYPES,
    Enumeration,
    Known,
    Structure,
    Types,
    definition_of,
    plain_id,
    standard,
)

_DEEPEST: Final = 32


class Definitions:
    """Fills a session's `Types`, each type once. A type that cannot be read is known as None: its values come as bytes."""

    def __init__(self, services: Services, types: Types) -> None:
        self._services = services
        self._types = types

    async def learn_missing(self) -> None:
        """Find the types of the encodings that were met. Raises NotConnected."""
        encodings = list(self._types.missing)
        owners = await self._services.browse(encodings, ObjectIds.HasEncoding, inverse=True)
        found = [local(references[0].NodeId) if references else None for references in owners]
        await self.learn(node for node in found if node is not None)
        self._types.encodings |= dict(zip(encodings, found, strict=True))
        self._types.missing.difference_update(encodings)

    async def learn(self, data_types: Iterable[ua.NodeId]) -> None:
        """Read these types and those of their fields. Raises NotConnected."""
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
            undefined = []
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
        # A structure without a definition cannot be decoded, whatever it is derived from.
        self._types.known |= {
            node: None if kind == ua.VariantType.ExtensionObject.value else kind for node, kind in kinds.items()
        }
        enumerations = [node for node, kind in kinds.items() if isinstance(kind, Enumeration)]
        self._types.known |= dict(zip(enumerations, await self.labels(enumerations), strict=True))

    async def labels(self, nodes: list[ua.NodeId]) -> list[Enumeration]:
        """The EnumStrings or EnumValues property of data types or variables (Part 3, 5.8.3; Part 8, 5.3.3)."""
        names = [ua.QualifiedName(name, 0) for name in ("EnumStrings", "EnumValues")]
        paths = [(node, [element(name, ObjectIds.HasProperty)]) for node in nodes for name in names]
        targets = await self._services.translate(paths)
        there = [target for target in targets if isinstance(target, ua.NodeId)]
        values = iter(await self._services.attributes((target, AttributeIds.Value) for target in there))
        told = [next(values) if isinstance(target, ua.NodeId) else None for target in targets]
        return [Enumeration(_labels(told[at]) or _labels(told[at + 1])) for at in range(0, len(told), 2)]


def _labels(told: Any) -> dict[int, str]:
    labels = {}
    for at, one in enumerate(told if isinstance(told, list) else ()):
        if isinstance(one, ua.LocalizedText):
            labels[at] = str(one.Text or at)
        elif isinstance(one, ua.EnumValueType):
            labels[int(one.Value)] = str(one.DisplayName.Text or one.Value)
    return labels
