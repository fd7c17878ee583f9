"""Values of a server's own data types, and the variants and data values that hold them (Part 6, 5.2.6 to 5.2.8). Pure.

Kept per session: two servers may give the same id to different types, which is why asyncua's own registry, one for the whole
process, is not used. On asyncua's encodings, not on its client.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from asyncua import ua
from asyncua.ua.ua_binary import from_binary, nodeid_from_binary, unpack_uatype, variant_from_binary

from gateway.sources.opcua.codec.bounds import DEEPEST, MOST_ANSWER, Budget
from gateway.sources.opcua.codec.dates import date_text
from gateway.sources.opcua.codec.errors import DECODING, DecodeErrors, TooLarge, ValueRefused, WireError
from gateway.sources.opcua.codec.legacy_scalars import OWN, read_big, read_own
from gateway.sources.opcua.codec.legacy_schema import STANDARD
from gateway.sources.opcua.codec.legacy_structures import LegacyStructure, LegacyType, Opaque, TypeName
from gateway.sources.opcua.codec.numbers import decimal_text, named_bits, reshaped, typed
from gateway.sources.opcua.codec.types.arrays import (
    read_array,
    read_dimensions,
    read_int32,
    read_list,
    read_text,
    read_uint32,
    read_values,
)
from gateway.sources.opcua.codec.types.bounded_buffer import BoundedBuffer
from gateway.sources.opcua.codec.types.data_types import (
    EXTENSION_OBJECT,
    VARIANT,
    DataType,
    Enumeration,
    Field,
    OptionSet,
    Structure,
    Undescribed,
    plain_id,
    standard_type_named,
)

log = structlog.get_logger("opcua")

Plain = Callable[[Any], object]
"""Convert asyncua's objects to what JSON can carry."""

INT32: Final = 6
STRING: Final = 12
DATE_TIME: Final = 13
DATA_VALUE: Final = 23
OWN_KINDS: Final = frozenset({STRING, DATE_TIME, EXTENSION_OBJECT, DATA_VALUE, VARIANT})
"""Built-in types that are not left to asyncua."""
MOST_DOUBTS: Final = 3
MOST_DOUBTS_IN_ALL: Final = 20
"""How often a session's types are asked for again because of values of one type, or of any, that are not as it says."""
MOST_TYPES: Final = 5000
"""A server that has more than this is not asked any further."""
_DECIMAL: Final = ua.NodeId.from_string("i=50")
_VALUES_PER_BYTE: Final = 16
_LEAST_VALUES: Final = 256
_DATA_VALUE_TAIL: Final = ((2, 4), (4, 8), (16, 2), (8, 8), (32, 2))
"""What follows the value of a DataValue, by bit of its mask, with its length (Part 6, 5.2.2.17)."""


@dataclass(slots=True)
class Types:
    """What a session has learnt of its server's types."""

    known: dict[ua.NodeId, DataType] = field(default_factory=dict)
    """By data type."""
    encodings: dict[ua.NodeId, ua.NodeId | None] = field(default_factory=dict)
    """Data type by the id of its binary encoding, None where the server knows no type for it."""
    missing: set[ua.NodeId] = field(default_factory=set)
    """Encodings that occurred in values and are not in `encodings` yet."""
    named: dict[TypeName, LegacyStructure | Opaque | int] = field(default_factory=dict)
    """Types of dictionaries, by name."""
    is_doubtful: bool = False
    """A value did not fit its type, which may have changed on the server: all types are to be read again."""
    may_doubt: bool = False
    """Whether `is_doubtful` may be set: once per answer."""
    _left: int = 0
    _doubts: Counter[ua.NodeId] = field(default_factory=Counter)
    _spoilt: set[ua.NodeId] = field(default_factory=set)

    def forget(self) -> None:
        """Clear all types, so that they are read again."""
        self.known.clear()
        self.encodings.clear()
        self.named.clear()
        self.is_doubtful = False

    def variant(self, data: bytes, at: int, plain: Plain, budget: Budget | None = None) -> tuple[object, int]:
        """Decode the variant that begins at `at`. Returns its value and the position after it.

        Raises TooLarge, ValueRefused, WireError, and whatever asyncua raises.
        """
        buffer = BoundedBuffer(data, at, budget=budget or Budget(MOST_ANSWER))
        return self._variant(buffer, plain, DEEPEST), buffer.cur_pos

    def _variant(self, buffer: BoundedBuffer, plain: Plain, depth: int) -> object:
        """Decode arrays, and what may hold a type of the server's own, or dates; asyncua the rest (Part 6, 5.2.2.16)."""
        if depth == 0:
            raise WireError("nested too deeply")
        head = buffer.peek()
        kind = head & 63
        if not head & 0x80:
            if kind not in OWN_KINDS:
                return plain(typed(kind, variant_from_binary(buffer).Value))
            buffer.skip(1)
            value = self._built_in(kind, buffer, plain, depth)
            if head & 0x40:  # dimensions without an array
                read_dimensions(buffer)
            return value
        buffer.skip(1)
        values = read_array(kind, buffer, lambda: self._built_in(kind, buffer, plain, depth))
        if not head & 0x40 or values is None:
            return values
        dimensions = read_dimensions(buffer)
        try:
            return reshaped(values, dimensions)
        except WireError as error:
            raise ValueRefused(str(error)) from None

    def _built_in(self, kind: int, buffer: BoundedBuffer, plain: Plain, depth: int) -> object:
        """Decode a value of a built-in type."""
        if kind == STRING:
            return read_text(buffer)
        if kind == EXTENSION_OBJECT:
            return self._extension_object(buffer, plain, depth - 1)
        if kind == VARIANT:
            return self._variant(buffer, plain, depth - 1)
        if kind == DATE_TIME:
            return date_text(int.from_bytes(buffer.read(8), "little", signed=True))
        if kind == DATA_VALUE:
            mask = buffer.read(1)[0]
            value = self._variant(buffer, plain, depth - 1) if mask & 1 else None
            for bit, length in _DATA_VALUE_TAIL:
                buffer.read(length if mask & bit else 0)
            return value
        type_: Any = ua.datatype_to_varianttype(kind)
        return plain(typed(kind, unpack_uatype(type_, buffer)))

    def _extension_object(self, buffer: BoundedBuffer, plain: Plain, depth: int) -> object:
        """Decode an ExtensionObject (Part 6, 5.2.2.15); of an unknown type, return its id and its bytes."""
        encoding, kind = plain_id(nodeid_from_binary(buffer)), buffer.read(1)[0]
        body: bytes = (unpack_uatype(ua.VariantType.ByteString, buffer) or b"") if kind in (1, 2) else b""
        if encoding.is_null() or kind == 0:
            return None
        left, self._left = self._left, _VALUES_PER_BYTE * len(body) + _LEAST_VALUES
        inner = BoundedBuffer(body, budget=buffer.budget)
        try:
            with DECODING:
                if kind == 1 and (value := self._body(encoding, inner, plain, depth)) is not None:
                    return value
        except TooLarge:
            raise
        except WireError as error:  # the length of the body is known, so only its value is lost
            self._complain(encoding, error)
        finally:
            self._left = left
        return {"type": encoding.to_string(), "body": plain(body)}

    def _complain(self, encoding: ua.NodeId, error: WireError) -> None:
        """Have the types read once more; else log the error, once for each type, because later ones are alike."""
        if self.may_doubt and self._doubts[encoding] < MOST_DOUBTS and self._doubts.total() < MOST_DOUBTS_IN_ALL:
            self._doubts[encoding] += 1
            self.is_doubtful, self.may_doubt = True, False
        elif encoding not in self._spoilt and not self.is_doubtful:
            self._spoilt.add(encoding)  # no more of them than encodings, which are bounded
            text = encoding.to_string()
            log.warning("values of type %s are told as bytes where they are not as defined, as here: %s", text, error)

    def _body(self, encoding: ua.NodeId, buffer: BoundedBuffer, plain: Plain, depth: int) -> object:
        if encoding == _DECIMAL:
            return decimal_text(buffer.read(len(buffer)))
        if encoding.NamespaceIndex == 0 and encoding in ua.extension_objects_by_typeid:
            return plain(from_binary(ua.extension_objects_by_typeid[encoding], buffer))
        structure = self._structure_of(encoding)
        if structure is None:
            return None
        value = self._structure(buffer, structure, plain, depth)
        if len(buffer):
            raise WireError(f"{structure.name} has {len(buffer)} bytes more than its definition")
        return value

    def _structure_of(self, encoding: ua.NodeId) -> Structure | LegacyStructure | None:
        if encoding not in self.encodings:
            if len(self.encodings) < MOST_TYPES:
                self.missing.add(encoding)
            return None
        data_type = self.encodings[encoding]
        found = self.known.get(data_type) if data_type is not None else None
        return found if isinstance(found, Structure | LegacyStructure) else None

    def _structure(self, buffer: BoundedBuffer, structure: Structure | LegacyStructure, plain: Plain, depth: int) -> object:
        if depth == 0:
            raise WireError(f"{structure.name} is nested too deeply")
        if isinstance(structure, LegacyStructure):
            return self._described(buffer, structure, plain, depth)
        if structure.shape == "union":
            chosen = read_uint32(buffer)
            if chosen > len(structure.fields):
                raise WireError(f"{structure.name} has no member {chosen}")
            members: dict[str, object] = {one.name: None for one in structure.fields}
            if chosen:
                one = structure.fields[chosen - 1]
                with DecodeErrors(structure.name) as errors:
                    errors.field = one.name
                    members[one.name] = self._field(buffer, one, plain, depth)
            return members
        mask = read_uint32(buffer) if structure.shape == "optional" else 0
        values: dict[str, object] = {}
        with DecodeErrors(structure.name) as errors:
            for one in structure.fields:
                errors.field = one.name
                present = True
                if one.optional:
                    present, mask = bool(mask & 1), mask >> 1
                values[one.name] = self._field(buffer, one, plain, depth) if present else None
        return values | ({"Bits": named_bits(structure.bits, values)} if structure.bits else {})

    def _described(
        self, buffer: BoundedBuffer, structure: LegacyStructure, plain: Plain, depth: int, outer: bool | None = None
    ) -> object:
        """Decode a structure by its dictionary. outer: the byte order of the structure around it."""

        def one(kind: LegacyType, big: bool) -> object:
            if not isinstance(kind, int):
                return self._named(buffer, kind, big, plain, depth)
            self._count()
            if kind in OWN:
                return read_own(kind, buffer.read, big=big)
            if big:
                return plain(typed(kind, read_big(kind, buffer.read)))
            return self._built_in(kind, buffer, plain, depth)

        return structure.read(buffer, outer, one)

    def _named(self, buffer: BoundedBuffer, name: TypeName, big: bool, plain: Plain, depth: int) -> object:
        """Decode a value of a type that a dictionary names."""
        known = standard_type_named(name.name) if name.namespace == STANDARD else self.named.get(name)
        if isinstance(known, Opaque):
            self._count()
            return plain(buffer.read(known.size))
        if isinstance(known, LegacyStructure):
            self._count()
            if depth == 1:
                raise WireError(f"{known.name} is nested too deeply")
            return self._described(buffer, known, plain, depth - 1, big)
        if not big:
            return self._value(buffer, known, name.name, plain, depth)
        known = known.number if isinstance(known, OptionSet) else known
        if not isinstance(known, int | Enumeration):
            raise WireError(f"the type {name.name} is not known with its highest byte first")
        self._count()
        return plain(read_big(INT32 if isinstance(known, Enumeration) else known, buffer.read))

    def _field(self, buffer: BoundedBuffer, one: Field, plain: Plain, depth: int) -> object:
        known = self.known.get(one.type)
        if one.wrapped:
            is_structure = isinstance(known, Structure | LegacyStructure | Undescribed | type) or known == EXTENSION_OBJECT
            known = EXTENSION_OBJECT if is_structure else VARIANT

        def read() -> object:
            return self._value(buffer, known, one.type.to_string(), plain, depth)

        if not one.rank:
            return read()
        if one.rank == 1:
            return read_list(buffer, read)
        dimensions = read_dimensions(buffer)
        count = 1
        for length in dimensions:
            count *= max(0, length)
        return reshaped(read_values(buffer, count, read), dimensions)

    def _value(self, buffer: BoundedBuffer, known: DataType, name: str, plain: Plain, depth: int) -> object:
        """Decode a value of a type, which is called `name`."""
        self._count()
        if isinstance(known, Structure | LegacyStructure):
            return self._structure(buffer, known, plain, depth - 1)
        if isinstance(known, Enumeration):
            return read_int32(buffer)
        if isinstance(known, OptionSet):
            known = known.number
        if isinstance(known, type):
            return plain(from_binary(known, buffer))
        if known is None or isinstance(known, Undescribed):
            raise WireError(f"the server does not describe the type {name}")
        return self._built_in(known, buffer, plain, depth)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise WireError("more values than bytes")
