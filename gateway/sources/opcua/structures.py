"""Values of a server's own data types: structures, unions and enumerations by their definitions (Part 3, 8.48; Part 6, 5.2.6
to 5.2.8). Pure, and kept per session: two servers may give the same id to different types, which is why asyncua's own
registry, one for the whole process, is not used. Beside `responses.py` a file on asyncua's encodings, not on its client."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass
from enum import Enum
from typing import Any, Final, Literal

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.object_ids import ObjectIdNames
from asyncua.ua.ua_binary import from_binary, nodeid_from_binary, unpack_uatype, variant_from_binary

from gateway.sources.opcua.wire import WireError

log = logging.getLogger(__name__)

Plain = Callable[[Any], object]
"""asyncua's objects to what JSON can carry."""

EXTENSION_OBJECT: Final = 22
VARIANT: Final = 24
_ENUMERATION: Final = 29
MOST_TYPES: Final = 5000
"""A server that has more than this is not asked any further."""
_INT32: Final = 6
_DEEPEST: Final = 16
_ABSTRACT_NUMBERS: Final = (26, 27, 28)
"""Number, Integer, UInteger: a Variant where a value stands."""


@dataclass(frozen=True, slots=True)
class Field:
    """type: its data type's id. rank: 0 for one value, else the number of dimensions. wrapped: any subtype may stand
    there, so that the value says itself what it is."""

    name: str
    type: ua.NodeId
    rank: int = 0
    optional: bool = False
    wrapped: bool = False


@dataclass(frozen=True, slots=True)
class Structure:
    """A structure's fields in their order. shape: `plain`, with optional fields, or a union."""

    name: str
    shape: Literal["plain", "optional", "union"]
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Enumeration:
    """Labels by value; empty when the server does not say."""

    labels: Mapping[int, str]


Known = Structure | Enumeration | int | type | None
"""What a data type is: the number of the built-in type it is encoded as, asyncua's class for one of the standard's own
structures, None for what cannot be decoded."""


@dataclass(slots=True)
class Types:
    """What a session has learnt of its server's types.

    known: by data type. encodings: data type by the id of its binary encoding, None where the server knows no type for it.
    missing: encodings that were met and are not in `encodings` yet.
    """

    known: dict[ua.NodeId, Known] = field(default_factory=dict)
    encodings: dict[ua.NodeId, ua.NodeId | None] = field(default_factory=dict)
    missing: set[ua.NodeId] = field(default_factory=set)

    def variant(self, data: bytes, at: int, plain: Plain) -> tuple[object, int]:
        """The variant that holds extension objects and begins at `at`, and the position after it. Raises WireError."""
        buffer = Buffer(data, at)
        head = buffer.read(1)[0]
        if not head & 0x80:
            return self._extension_object(buffer, plain, _DEEPEST), buffer.cur_pos
        values = self._list(buffer, lambda: self._extension_object(buffer, plain, _DEEPEST))
        if head & 0x40:
            dimensions = [int(n) for n in self._list(buffer, lambda: _int32(buffer)) or ()]
            values = None if values is None else reshaped(values, dimensions)
        return values, buffer.cur_pos

    def _extension_object(self, buffer: Buffer, plain: Plain, depth: int) -> object:
        """An ExtensionObject (Part 6, 5.2.2.15). Of an unknown type: its id and its bytes."""
        encoding, kind = plain_id(nodeid_from_binary(buffer)), buffer.read(1)[0]
        body: bytes = (unpack_uatype(ua.VariantType.ByteString, buffer) or b"") if kind in (1, 2) else b""
        if encoding.is_null() or kind == 0:
            return None
        try:
            if kind == 1 and (value := self._body(encoding, Buffer(body), plain, depth)) is not None:
                return value
        except Exception as error:  # noqa: BLE001 - asyncua raises anything; the body's length is known, so only it is lost
            log.debug("a value of type %s is not as its definition says: %s", encoding.to_string(), error)
        return {"type": encoding.to_string(), "body": plain(body)}

    def _body(self, encoding: ua.NodeId, buffer: Buffer, plain: Plain, depth: int) -> object:
        if encoding.NamespaceIndex == 0 and encoding in ua.extension_objects_by_typeid:
            return plain(from_binary(ua.extension_objects_by_typeid[encoding], buffer))
        structure = self._structure_of(encoding)
        if structure is None:
            return None
        value = self._structure(buffer, structure, plain, depth)
        if len(buffer):
            raise WireError(f"{structure.name} has {len(buffer)} bytes more than its definition")
        return value

    def _structure_of(self, encoding: ua.NodeId) -> Structure | None:
        if encoding not in self.encodings:
            if len(self.encodings) < MOST_TYPES:
                self.missing.add(encoding)
            return None
        data_type = self.encodings[encoding]
        found = self.known.get(data_type) if data_type is not None else None
        return found if isinstance(found, Structure) else None

    def _structure(self, buffer: Buffer, structure: Structure, plain: Plain, depth: int) -> object:
        if depth == 0:
            raise WireError(f"{structure.name} is nested too deeply")
        if structure.shape == "union":
            chosen = _uint32(buffer)
            if chosen > len(structure.fields):
                raise WireError(f"{structure.name} has no member {chosen}")
            members: dict[str, object] = {one.name: None for one in structure.fields}
            if chosen:
                one = structure.fields[chosen - 1]
                members[one.name] = self._field(buffer, one, plain, depth)
            return members
        mask = _uint32(buffer) if structure.shape == "optional" else 0
        values: dict[str, object] = {}
        for one in structure.fields:
            present = True
            if one.optional:
                present, mask = bool(mask & 1), mask >> 1
            values[one.name] = self._field(buffer, one, plain, depth) if present else None
        return values

    def _field(self, buffer: Buffer, one: Field, plain: Plain, depth: int) -> object:
        if not one.rank:
            return self._value(buffer, one, plain, depth)
        if one.rank == 1:
            return self._list(buffer, lambda: self._value(buffer, one, plain, depth))
        dimensions = [int(n) for n in self._list(buffer, lambda: _int32(buffer)) or ()]
        count = 1
        for length in dimensions:
            count *= max(0, length)
        if count > len(buffer):  # every value takes at least a byte
            raise WireError(f"{count} values in {len(buffer)} bytes")
        return reshaped([self._value(buffer, one, plain, depth) for _ in range(count)], dimensions)

    def _value(self, buffer: Buffer, one: Field, plain: Plain, depth: int) -> object:
        known = self.known.get(one.type)
        if one.wrapped:
            known = EXTENSION_OBJECT if isinstance(known, Structure | type) or known == EXTENSION_OBJECT else VARIANT
        if isinstance(known, Structure):
            return self._structure(buffer, known, plain, depth - 1)
        if isinstance(known, Enumeration):
            return _int32(buffer)
        if isinstance(known, type):
            return plain(from_binary(known, buffer))
        if known is None:
            raise WireError(f"the field {one.name} has the type {one.type.to_string()}, which the server does not describe")
        if known == EXTENSION_OBJECT:
            return self._extension_object(buffer, plain, depth - 1)
        if known == VARIANT:
            return plain(variant_from_binary(buffer))
        return plain(typed(known, unpack_uatype(ua.VariantType(known), buffer)))

    def _list(self, buffer: Buffer, read: Callable[[], object]) -> list[Any] | None:
        count = _int32(buffer)
        if count > len(buffer):
            raise WireError(f"{count} values in {len(buffer)} bytes")
        return None if count < 0 else [read() for _ in range(count)]


def typed(kind: int, value: Any) -> Any:
    """A Float (32 bits) as the shortest decimal that names it; anything else as it is."""
    if kind != ua.VariantType.Float.value:
        return value
    return [typed(kind, one) for one in value] if isinstance(value, list | tuple) else shortest(value)


def shortest(value: float) -> float:
    """The decimal with the fewest digits that names the same float32."""
    return float(str(np.float32(value)))


def reshaped(values: list[Any], dimensions: list[int]) -> list[Any]:
    """Nested lists of these lengths. Raises WireError when the number of values is another."""
    count = 1
    for length in dimensions:
        count *= length
    if count != len(values) or min(dimensions, default=0) < 0:
        raise WireError(f"{len(values)} values for dimensions {dimensions}")
    for length in reversed(dimensions[1:]):
        values = [values[at : at + length] for at in range(0, len(values), length)] if length else []
    return values


def definition_of(name: str, told: object) -> Structure | Enumeration | None:
    """A DataTypeDefinition attribute; None for anything else."""
    if isinstance(told, ua.EnumDefinition):
        return Enumeration({int(one.Value): str(one.DisplayName.Text or one.Name or one.Value) for one in told.Fields or ()})
    if not isinstance(told, ua.StructureDefinition):
        return None
    kind = int(told.StructureType)
    wrapping = kind in (3, 4)
    shapes: dict[int, Literal["plain", "optional", "union"]] = {1: "optional", 2: "union", 4: "union"}
    return Structure(
        name, shapes.get(kind, "plain"), tuple(_field_of(one, kind == 1, wrapping) for one in told.Fields or ())
    )


def _field_of(one: ua.StructureField, may_lack: bool, wrapping: bool) -> Field:
    rank = max(0, one.ValueRank) or (len(one.ArrayDimensions or ()) if one.ValueRank != -1 else 0)
    # In the last two kinds of structure IsOptional says that subtypes are allowed (Part 3, 8.51).
    return Field(
        one.Name or "", plain_id(one.DataType), rank, bool(one.IsOptional) and may_lack, wrapping and bool(one.IsOptional)
    )


def standard(data_type: ua.NodeId) -> Known:
    """What a data type of the standard itself is, as far as it is known here; None where the server must be asked."""
    number = data_type.Identifier
    if data_type.NamespaceIndex != 0 or not isinstance(number, int):
        return None
    if 1 <= number <= 25 or number in _ABSTRACT_NUMBERS:
        return min(number, VARIANT)  # a DiagnosticInfo cannot be a value
    return Enumeration({}) if number == _ENUMERATION else _class_of(getattr(ua, ObjectIdNames.get(number, ""), None))


def _class_of(found: object) -> Known:
    """asyncua's class for a data type of the standard."""
    if isinstance(found, type) and issubclass(found, Enum):
        return Enumeration({int(one.value): one.name for one in found})
    if isinstance(found, type) and found.__name__ in ua.VariantType.__members__:  # Duration, UtcTime ... are only names
        return ua.VariantType[found.__name__].value
    return found if isinstance(found, type) and is_dataclass(found) else None


def plain_id(node: Any) -> ua.NodeId:
    """A NodeId that compares by what it names, however it was encoded."""
    kind = ua.NodeIdType.Numeric if isinstance(node.Identifier, int) else node.NodeIdType
    return ua.NodeId(node.Identifier, node.NamespaceIndex, kind)


def _int32(buffer: Buffer) -> int:
    return int.from_bytes(buffer.read(4), "little", signed=True)


def _uint32(buffer: Buffer) -> int:
    return int.from_bytes(buffer.read(4), "little")
