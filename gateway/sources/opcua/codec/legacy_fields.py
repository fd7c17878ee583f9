"""Fields of structures in type dictionaries: length, terminator, switch (Part 5, C.2.6). Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from gateway.sources.opcua.codec.legacy_structures import OPERANDS, Member

MOST_DIGITS: Final = 10
_UINT32: Final = 7
_INTEGERS: Final = range(2, 10)


class FieldRefused(ValueError):
    """A field cannot be read, with its reason."""


def _number(text: str, what: str) -> int:
    if not text.isdecimal() or len(text) > MOST_DIGITS:
        raise FieldRefused(f"{what} {text[:20]!r} is no number")
    return int(text)


def length_of(attributes: Mapping[str, str], places: Mapping[str, int], before: Sequence[Member]) -> tuple[int, int | None]:
    """Return how many values a field has, and the place of the earlier field that holds the count, if one does."""
    count = _number(attributes.get("Length", "0"), "Length")
    if (counter := attributes.get("LengthField")) is None:
        return count, None
    if (place := places.get(counter)) is None:
        raise FieldRefused(f"its length is in {counter}, which is no field before it")
    if not _counts(before[place]):
        raise FieldRefused(f"its length is in {counter}, which is no integer")
    return 0, place


def terminator_of(attributes: Mapping[str, str]) -> bytes:
    """Return the bytes that end a field's values; empty where none do."""
    if (text := attributes.get("Terminator")) is None:
        return b""
    try:
        terminator = bytes.fromhex(text)
    except ValueError:
        terminator = b""
    if not terminator:
        raise FieldRefused(f"Terminator {text[:20]!r} is no hexadecimal")
    return terminator


def switch_of(
    attributes: Mapping[str, str], places: Mapping[str, int], before: Sequence[Member]
) -> tuple[int, str, int] | None:
    """Return what switches a field on. Without a SwitchValue anything but 0 does, whatever the operand."""
    if (switcher := attributes.get("SwitchField")) is None:
        return None
    if (place := places.get(switcher)) is None:
        raise FieldRefused(f"it is switched by {switcher}, which is no field before it")
    text = attributes.get("SwitchValue")
    operand = attributes.get("SwitchOperand", "Equals") if text is not None else "NotEqual"
    operand = "Equals" if operand == "Equal" else operand
    if operand not in OPERANDS:
        raise FieldRefused(f"SwitchOperand {operand[:20]!r} is not known")
    return place, operand, _number(text or "0", "SwitchValue")


def _counts(member: Member) -> bool:
    is_single = member.count == 0 and member.counted_by is None and not member.terminator
    return bool(member.bits) or (member.type in _INTEGERS and is_single)


def with_hidden(members: Sequence[Member]) -> tuple[Member, ...]:
    """Hide what is no value: lengths of arrays, bits that say what is present, the selector of a union, reserved fields."""
    counters = {one.counted_by for one in members}
    switches = {one.switch[0] for one in members if one.switch is not None}
    is_union = switches == {0} and all(one.switch is not None for one in members[1:]) and members[0].type == _UINT32
    return tuple(
        replace(one, hidden=True)
        if place in counters
        or (place in switches and (one.bits or is_union))
        or (one.bits and one.name.startswith("Reserved"))
        else one
        for place, one in enumerate(members)
    )
