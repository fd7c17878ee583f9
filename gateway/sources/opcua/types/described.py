"""Structures as a type dictionary describes them, field by field in bits and bytes (OPC UA Part 3 up to 1.03,
Annex C). Pure."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from gateway.sources.opcua.session.wire import WireError

Read = Callable[[int], bytes]
"""The next so many bytes, exactly. Raises anything when there are fewer."""

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
class Member:
    """A field: of `bits` bits, or else of a type (a built-in type's number or a name).

    count: so many values; counted_by: as many as the earlier field at this place says; 0 and None: one value. switch: the
    earlier field that says whether it is there, with its comparison and value. hidden: it only serves other fields.
    """

    name: str
    type: int | TypeName
    bits: int = 0
    count: int = 0
    counted_by: int | None = None
    switch: tuple[int, str, int] | None = None
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Described:
    """A structure's members in their order."""

    name: str
    members: tuple[Member, ...]

    def read(self, take: Read, many: Callable[[int | TypeName, int], Any], one: Callable[[int | TypeName], Any]) -> object:
        """The fields by name, None for those that are not there. many, one: read values of a type from the same bytes as
        `take`. Raises WireError."""
        values: list[Any] = []
        bits = _Bits(take)
        for member in self.members:
            if member.switch is not None and not _is_there(member.switch, values):
                values.append(None)
            elif member.bits:
                values.append(bits.next(member.bits))
            else:
                bits.align()
                values.append(self._value(member, values, many, one))
        bits.align()
        return {
            member.name: bool(value) if member.bits == 1 else value
            for member, value in zip(self.members, values, strict=True)
            if not member.hidden
        }

    def _value(self, member: Member, values: list[Any], many: Callable[..., Any], one: Callable[..., Any]) -> Any:
        if member.counted_by is not None:
            count = values[member.counted_by]
            if not isinstance(count, int):
                raise WireError(f"{self.name}.{member.name} is counted by {count!r}")
            return None if count < 0 else many(member.type, count)
        return many(member.type, member.count) if member.count else one(member.type)


def _is_there(switch: tuple[int, str, int], values: list[Any]) -> bool:
    place, operand, wanted = switch
    value = values[place]
    return isinstance(value, int) and _SWITCHES[operand](value, wanted)


class _Bits:
    """Bits of bytes, the lowest first; what is left of a byte is passed over when something else follows."""

    def __init__(self, take: Read) -> None:
        self._take = take
        self._held = self._left = 0

    def next(self, count: int) -> int:
        while self._left < count:
            self._held |= self._take(1)[0] << self._left
            self._left += _BITS_PER_BYTE
        value = self._held & ((1 << count) - 1)
        self._held >>= count
        self._left -= count
        return value

    def align(self) -> None:
        self._held = self._left = 0
