"""Data types: definitions as servers give them (Part 3, 8.48), and the standard's own types. Pure.

On asyncua's table of the standard.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum, IntFlag
from typing import Any, Final, Literal

from asyncua import ua
from asyncua.ua.object_ids import ObjectIdNames

from gateway.sources.opcua.codec.legacy_structures import LegacyStructure
from gateway.sources.opcua.codec.texts import sound

EXTENSION_OBJECT: Final = 22
VARIANT: Final = 24
_INTEGERS: Final = range(2, 10)
_ENUMERATION: Final = 29
_ABSTRACT_NUMBERS: Final = (26, 27, 28)
"""Number, Integer, UInteger: a Variant where a value stands."""
_BYTE, _UINT16, _UINT32 = 3, 5, 7
_SHORT_SETS: Final = {
    "AccessLevelType": _BYTE,
    "EventNotifierType": _BYTE,
    "AccessRestrictionType": _UINT16,
    "AlarmMask": _UINT16,
    "DataSetFieldFlags": _UINT16,
}
"""The standard's sets of bits that are no UInt32, with the built-in type that they are."""
_BYTE_STRING: Final = ua.NodeId.from_string("i=15")


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a structure."""

    name: str
    type: ua.NodeId
    """Its data type."""
    rank: int = 0
    """0 for one value, else the number of dimensions."""
    optional: bool = False
    """A bit of the structure says whether it is present."""
    wrapped: bool = False
    """Any subtype may stand there, so the value itself says which (Part 3, 8.51)."""


@dataclass(frozen=True, slots=True)
class Structure:
    """A structure by its definition."""

    name: str
    shape: Literal["plain", "optional", "union"]
    """Whether it has optional fields, or only one of its fields."""
    fields: tuple[Field, ...]
    """In their order."""
    bits: tuple[tuple[int, str], ...] = ()
    """Names of bits, in an OptionSet."""


@dataclass(frozen=True, slots=True)
class Enumeration:
    """An enumeration."""

    labels: Mapping[int, Any]
    """By value; empty when the server does not say."""


@dataclass(frozen=True, slots=True)
class OptionSet:
    """An integer whose bits have names."""

    bits: Mapping[int, str]
    """Names by bit."""
    number: int
    """Built-in type that it is encoded as."""


@dataclass(frozen=True, slots=True)
class Undescribed:
    """A structure of which the server says no more than that it is one."""


DataType = Structure | LegacyStructure | Undescribed | Enumeration | OptionSet | int | type | None
"""What a data type is: a structure by its definition or by its dictionary, an enumeration or set of bits, the number of the
built-in type it is encoded as, asyncua's class for one of the standard's own structures, None for what cannot be decoded."""


def option_set(name: str, base: DataType, bits: Mapping[int, str]) -> OptionSet | Structure | None:
    """Make a type that names bits, by what it is derived from (Part 3, 8.40 and 8.52); None where that is something else."""
    if base is ua.OptionSet:
        both = (Field("Value", _BYTE_STRING), Field("ValidBits", _BYTE_STRING))
        return Structure(name, "plain", both, tuple(bits.items()))
    return OptionSet(bits, base) if isinstance(base, int) and base in _INTEGERS else None


def definition_of(name: str, definition: object) -> Structure | Enumeration | None:
    """Convert a DataTypeDefinition attribute; None for anything else."""
    if isinstance(definition, ua.EnumDefinition):
        return Enumeration(
            {int(one.Value): sound(str(one.DisplayName.Text or one.Name or one.Value)) for one in definition.Fields or ()}
        )
    if not isinstance(definition, ua.StructureDefinition):
        return None
    kind = int(definition.StructureType)
    wrapping = kind in (3, 4)
    shapes: dict[int, Literal["plain", "optional", "union"]] = {1: "optional", 2: "union", 4: "union"}
    return Structure(
        name, shapes.get(kind, "plain"), tuple(_field_of(one, kind == 1, wrapping) for one in definition.Fields or ())
    )


def _field_of(one: ua.StructureField, may_lack: bool, wrapping: bool) -> Field:
    rank = max(0, one.ValueRank) or (len(one.ArrayDimensions or ()) if one.ValueRank != -1 else 0)
    # In the last two kinds of structure IsOptional says that subtypes are allowed (Part 3, 8.51).
    return Field(
        sound(one.Name or ""),
        plain_id(one.DataType),
        rank,
        bool(one.IsOptional) and may_lack,
        wrapping and bool(one.IsOptional),
    )


def standard_type(data_type: ua.NodeId) -> DataType:
    """Return a data type of the standard itself, None where the server must be asked."""
    number = data_type.Identifier
    if data_type.NamespaceIndex != 0 or not isinstance(number, int):
        return None
    if 1 <= number <= 25 or number in _ABSTRACT_NUMBERS:
        return min(number, VARIANT)  # a DiagnosticInfo cannot be a value
    return Enumeration({}) if number == _ENUMERATION else standard_type_named(ObjectIdNames.get(number, ""))


def standard_type_named(name: str) -> DataType:
    """Return a data type of the standard by its name; None where it is not known."""
    found: Any = getattr(ua, name, None)
    if isinstance(found, type) and issubclass(found, IntFlag):
        return OptionSet({int(one).bit_length() - 1: str(one.name) for one in found}, _SHORT_SETS.get(name, _UINT32))
    if isinstance(found, type) and issubclass(found, Enum):
        return Enumeration({int(one.value): one.name for one in found})
    if isinstance(found, type) and found.__name__ in ua.VariantType.__members__:  # Duration, UtcTime ... are only names
        return ua.VariantType[found.__name__].value
    if not (isinstance(found, type) and is_dataclass(found)):
        return None
    return found if fields(found) else EXTENSION_OBJECT  # without fields it is abstract


def plain_id(node: Any) -> ua.NodeId:
    """Return a NodeId that compares by what it names, however it was encoded."""
    kind = ua.NodeIdType.Numeric if isinstance(node.Identifier, int) else node.NodeIdType
    return ua.NodeId(node.Identifier, node.NamespaceIndex, kind)


def builtin_name(kind: int) -> str:
    """Return the name of a built-in type by its number (Part 6, 5.1.2)."""
    return str(ua.VariantType(kind).name)
