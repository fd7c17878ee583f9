"""Structures as a type dictionary describes them, field by field in bits and bytes (OPC UA Part 3 up to 1.03, and Part 5,
Annex C). Pure."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from gateway.sources.opcua.codec.errors import DecodeErrors, WireError
from gateway.sources.opcua.codec.legacy_scalars import CHAR, WIDE_CHAR, text_of

_BITS_PER_BYTE: Final = 8
_SWITCHES: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "Equals": operator.eq,
    "NotEqual": operator.ne,
    "GreaterThan": operator.gt,
    "GreaterThanOrEqual": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqual": operator.le,
}
OPERANDS: Final = frozenset(_SWITCHES)


class TypeName(NamedTuple):
    """A type as a dictionary names it."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Opaque:
    """So many bytes of which nobody says more."""

    size: int


Kind = int | TypeName
"""A built-in type's number, one of `codeunits`, or a name."""


class Bytes(Protocol):
    """What is read. len: how many bytes are left."""

    def read(self, size: int) -> bytes:
        """The next so many bytes, exactly. Raises anything when there are fewer."""
        ...

    def copy(self, size: int = -1) -> "Bytes":
        """From here on, read apart."""
        ...

    def __len__(self) -> int: ...


One = Callable[[Kind, bool], Any]
"""Reads a value of a type: (type, big endian) to what JSON can carry. Raises anything."""


@dataclass(frozen=True, slots=True)
class Member:
    """A field: of `bits` bits, or else of a type.

    count: so many values; counted_by: as many as the earlier field at this place says, one where that is not there; 0 and
    None: one value. in_bytes: these count bytes. terminator: values up to the one of these bytes. switch: the earlier field
    that says whether it is there, with its comparison and value. hidden: it only serves other fields.
    """

    name: str
    type: Kind
    bits: int = 0
    count: int = 0
    counted_by: int | None = None
    switch: tuple[int, str, int] | None = None
    hidden: bool = False
    in_bytes: bool = False
    terminator: bytes = b""


@dataclass(frozen=True, slots=True)
class LegacyStructure:
    """A structure's members in their order. big: its bytes' order, None where it has that of what it stands in, and `alone`
    where it stands in nothing."""

    name: str
    members: tuple[Member, ...]
    big: bool | None = None
    alone: bool = False

    def read(self, given: Bytes, outer: bool | None, one: One) -> object:
        """The fields by name, None for those that are not there. outer: the order of what it stands in. one: reads from the
        same bytes. Raises WireError, which names the field."""
        big = self.big if self.big is not None else self.alone if outer is None else outer
        values: list[Any] = []
        bits = _Bits(given)
        with DecodeErrors(self.name) as errors:
            for member in self.members:
                errors.field = member.name
                if member.switch is not None and not _is_there(member.switch, values):
                    values.append(None)
                elif member.bits:
                    values.append(bits.next(member.bits))
                else:
                    bits.align()
                    values.append(_value(member, values, given, lambda kind: one(kind, big)))
        bits.align()
        return {
            member.name: bool(value) if member.bits == 1 else value
            for member, value in zip(self.members, values, strict=True)
            if not member.hidden
        }


def _value(member: Member, values: Sequence[Any], given: Bytes, one: Callable[[Kind], Any]) -> Any:
    def read() -> Any:
        return one(member.type)

    if member.terminator:
        return _told(member.type, _until(given, member.terminator, read))
    count = member.count
    if member.counted_by is not None:
        counted = values[member.counted_by]
        if not isinstance(counted, int | None):
            raise WireError(f"it is counted by {counted!r}")
        count = 1 if counted is None else int(counted)
        if count < 0:
            return None
    elif not count:
        return _told(member.type, [read()]) if member.type in (CHAR, WIDE_CHAR) else read()
    if count > len(given):  # every value takes at least a byte
        raise WireError(f"{count} values in {len(given)} bytes")
    return _told(member.type, _within(given, count, read) if member.in_bytes else [read() for _ in range(count)])


def _told(kind: Kind, values: list[Any]) -> Any:
    """Characters in a row are a text."""
    return text_of(kind, values) if kind in (CHAR, WIDE_CHAR) else values


def _until(given: Bytes, terminator: bytes, read: Callable[[], Any]) -> list[Any]:
    values = []
    while given.copy().read(len(terminator)) != terminator:
        values.append(read())
    given.read(len(terminator))
    return values


def _within(given: Bytes, size: int, read: Callable[[], Any]) -> list[Any]:
    end, values = len(given) - size, []
    while len(given) > end:
        values.append(read())
    if len(given) < end:
        raise WireError(f"its values do not end after {size} bytes")
    return values


def _is_there(switch: tuple[int, str, int], values: Sequence[Any]) -> bool:
    place, operand, wanted = switch
    value = values[place]
    return isinstance(value, int) and _SWITCHES[operand](value, wanted)


class _Bits:
    """Bits of bytes, the lowest first; what is left of a byte is passed over when something else follows."""

    def __init__(self, given: Bytes) -> None:
        self._given = given
        self._held = self._left = 0

    def next(self, count: int) -> int:
        while self._left < count:
            self._held |= self._given.read(1)[0] << self._left
            self._left += _BITS_PER_BYTE
        value = self._held & ((1 << count) - 1)
        self._held >>= count
        self._left -= count
        return value

    def align(self) -> None:
        self._held = self._left = 0
