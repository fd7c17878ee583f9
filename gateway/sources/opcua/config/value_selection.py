"""Which part of a node's value a tag means: an index range asked of the server, an element or a field taken here. Pure."""

import re
from collections.abc import Sequence
from typing import Final

Step = int | str
"""An element's place, from 0, or a field's name."""

_RANGE = re.compile(r"\d{1,9}(:\d{1,9})?(,\d{1,9}(:\d{1,9})?)*", re.ASCII)
_ELEMENT = re.compile(r"\d{1,9}(,\d{1,9})*", re.ASCII)
_FIELD = re.compile(r"(?P<name>[^.\[\]]+)(?P<places>(\[\d{1,9}\])*)", re.ASCII)
_SEXAGESIMAL: Final = 60

NO_ELEMENT: Final = 0x80370000
"""BadIndexRangeNoData: the array is shorter."""
NO_FIELD: Final = 0x803E0000
"""BadNotFound: the structure has no such field."""
NO_VALUE: Final = 0x809B0000
"""BadNoData: the field is there, and empty at present (optional, or another member of the union)."""
NO_RANGE: Final = 0x80360000
"""BadIndexRangeInvalid: the server ignores index ranges and sent more than was asked for; `element` works everywhere."""
SELECTION_FAULTS: Final = frozenset({NO_ELEMENT, NO_FIELD, NO_VALUE, NO_RANGE})


def index_range(value: object) -> str:
    """Check a NumericRange (OPC UA Part 4, 7.27): `2`, `1:3`, `0:1,4`. Raises ValueError with what was expected."""
    text = _text(value, "index")
    if not _RANGE.fullmatch(text):
        raise ValueError(f"{text!r} is not an index range; expected for instance 2, 1:3 or 0:1,4, counted from 0")
    for part in text.split(","):
        low, colon, high = part.partition(":")
        if colon and int(low) >= int(high):
            raise ValueError(f"{text!r}: {part} does not rise; expected for instance 1:3")
    return text


def element_text(value: object) -> str:
    """Check a place in an array: `3`, or `1,2` in one of two dimensions. Raises ValueError."""
    text = _text(value, "element")
    if not _ELEMENT.fullmatch(text):
        raise ValueError(f"{text!r} is not the place of an element; expected a number from 0, or 1,2 in two dimensions")
    return text


def field_text(value: object) -> str:
    """Check a field of a structure: `speed`, `temperature.value`, `axes[2].speed`. Raises ValueError."""
    text = _text(value, "field")
    if not all(_FIELD.fullmatch(part) for part in text.split(".")):
        raise ValueError(f"{text!r} is not a field; expected for instance speed, temperature.value or axes[2].speed")
    return text


def steps_of(element: str, field: str) -> tuple[Step, ...]:
    """Return the steps from a node's value to the tag's: element first, then field. Both as checked above, "" for none."""
    steps: list[Step] = [int(place) for place in element.split(",")] if element else []
    for part in field.split(".") if field else ():
        match = _FIELD.fullmatch(part)
        assert match is not None
        steps.append(match["name"])
        steps += [int(place) for place in re.findall(r"\d+", match["places"])]
    return tuple(steps)


def select(value: object, steps: Sequence[Step]) -> tuple[object, int]:
    """Follow the steps. Returns the value at their end and 0, or None and the status code that says why there is none."""
    for step in steps:
        if value is None:
            return None, NO_VALUE
        if isinstance(step, int):
            if not isinstance(value, list) or step >= len(value):
                return None, NO_ELEMENT
            value = value[step]
        else:
            if not isinstance(value, dict) or step not in value:
                return None, NO_FIELD
            value = value[step]
    return value, 0 if value is not None or not steps else NO_VALUE


def ranged(value: object, index: str) -> tuple[object, int]:
    """Unwrap the answer to an index range: the standard wraps one element in arrays of one.

    Returns the value and 0, or None and NO_RANGE when there is more than was asked for.
    """
    sizes = [int(high or low) - int(low) + 1 for low, _, high in (part.partition(":") for part in index.split(","))]
    if not _fits(value, sizes):
        return None, NO_RANGE
    return _single(value, index), 0


def cut(value: object, index: str) -> tuple[object, int]:
    """Cut the part that an index range means out of a whole array.

    Returns the part and 0, or None and NO_ELEMENT when the array is shorter, NO_RANGE for what is no array.
    """
    spans = [(int(low), int(high or low) + 1) for low, _, high in (part.partition(":") for part in index.split(","))]
    part = _part(value, spans)
    if part is None:
        return None, NO_RANGE
    return (_single(part, index), 0) if part else (None, NO_ELEMENT)


def _part(value: object, spans: Sequence[tuple[int, int]]) -> list[object] | None:
    if not isinstance(value, list):
        return None
    part = value[slice(*spans[0])]
    if len(spans) == 1:
        return part
    inner = [_part(one, spans[1:]) for one in part]
    return [one for one in inner if one] if None not in inner else None


def _single(value: object, index: str) -> object:
    while ":" not in index and isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value


def _fits(value: object, sizes: Sequence[int]) -> bool:
    if not sizes or not isinstance(value, list | str):
        return True
    if len(value) > sizes[0]:
        return False
    return isinstance(value, str) or all(_fits(one, sizes[1:]) for one in value)


def _text(value: object, key: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value < _SEXAGESIMAL:
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(f'{value} may be a time to YAML, which reads 1:3 as 63; expected {key}: in quotes, such as "1:3"')
    if not isinstance(value, str):
        raise ValueError(f'{value!r} is not text; expected {key}: in quotes, such as "2"')
    return value.strip()
