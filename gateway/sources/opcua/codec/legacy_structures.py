"""Structures as a type dictionary describes them, field by field in bits and bytes. Pure.

OPC UA Part 3 up to 1.03, and Part 5, Annex C.
"""

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
    """The name of a type in a dictionary."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Opaque:
    """A type of which the dictionary says only the length."""

    size: int
    """Bytes."""


LegacyType = int | TypeName
"""The number of a built-in type, one of `legacy_scalars`, or a name."""


class Bytes(Protocol):
    """Bytes to read from; `len` is how many are left."""

    def read(self, size: int) -> bytes:
        """Return exactly the next so many bytes. May raise anything when there are fewer."""
        ...

    def copy(self, size: int = -1) -> "Bytes":
        """Return a copy that is read on its own, from here on."""
        ...

    def __len__(self) -> int: ...


ReadValue = Callable[[LegacyType, bool], Any]
"""Read a value of a type (type, highest byte first) as JSON can carry it. May raise anything."""


@dataclass(frozen=True, slots=True)
class Member:
    """A field of a structure."""

    name: str
    type: LegacyType
    """Its type, unless it has `bits`."""
    bits: int = 0
    """Its length in bits; 0 for a field of a type."""
    count: int = 0
    """How many values it has; 0 without `counted_by` for a single one."""
    counted_by: int | None = None
    """Place of the earlier field that holds the count; where that is absent there is one value."""
    switch: tuple[int, str, int] | None = None
    """Place of the earlier field that says whether it is present, with comparison and value."""
    hidden: bool = False
    """It only serves other fields and is no value."""
    in_bytes: bool = False
    """The count is in bytes."""
    terminator: bytes = b""
    """Bytes that end the values; empty for none."""


@dataclass(frozen=True, slots=True)
class LegacyStructure:
    """A structure by its type dictionary."""

    name: str
    members: tuple[Member, ...]
    """Its fields, in their order."""
    big: bool | None = None
    """Whether the highest byte comes first; None for the order of the structure around it."""
    alone: bool = False
    """The order where there is no structure around it."""

    def read(self, given: Bytes, outer: bool | None, one: ReadValue) -> object:
        """Read the fields, by name, None for those that are absent.

        outer: the byte order of the structure around it, None without one. one: reads a value from the same bytes. Raises
        WireError, which names the field.
        """
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


def _value(member: Member, values: Sequence[Any], given: Bytes, one: Callable[[LegacyType], Any]) -> Any:
    def read() -> Any:
        return one(member.type)

    if member.terminator:
        return _text_or_list(member.type, _until(given, member.terminator, read))
    count = member.count
    if member.counted_by is not None:
        counted = values[member.counted_by]
        if not isinstance(counted, int | None):
            raise WireError(f"it is counted by {counted!r}")
        count = 1 if counted is None else int(counted)
        if count < 0:
            return None
    elif not count:
        return _text_or_list(member.type, [read()]) if member.type in (CHAR, WIDE_CHAR) else read()
    if count > len(given):  # every value takes at least a byte
        raise WireError(f"{count} values in {len(given)} bytes")
    return _text_or_list(member.type, _within(given, count, read) if member.in_bytes else [read() for _ in range(count)])


def _text_or_list(kind: LegacyType, values: list[Any]) -> Any:
    """Return characters in a row as a text."""
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
    """Reads bits of bytes, the lowest first; the rest of a byte is skipped when something else follows."""

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
