"""Addresses as people write them: `holding:100`, classic `40101`, ranges `holding:100-120`."""

import re
from typing import Annotated, Final, NamedTuple

from pydantic import BeforeValidator, WithJsonSchema

from gateway.sources.modbus.types import LAST_ADDRESS, Table

_ADDRESS = re.compile(r"\s*(holding|input|coil|discrete)\s*:\s*(\d{1,9})\s*")
_RANGE = re.compile(r"\s*(holding|input|coil|discrete)\s*:\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?")
_CLASSIC_TABLES: Final[dict[str, Table]] = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}
_FORM = "table:address with the table holding, input, coil or discrete and a zero-based address, such as holding:100"


class Range(NamedTuple):
    """Addresses `first` to `last` of a table, both included."""

    table: Table
    first: int
    last: int


def classic(text: str) -> tuple[Table, int] | None:
    """Return table and zero-based address of `40101` or `400101` (holding 100), `30001`, `10001`, `00001`, or None.

    The numbering of Modicon's controllers: the first digit is the table, the rest counts from 1.
    """
    if not (text.isdigit() and len(text) in (5, 6)):
        return None
    number = int(text[1:])
    if text[0] not in "0134" or not 1 <= number <= LAST_ADDRESS + 1:
        return None
    return _CLASSIC_TABLES[text[0]], number - 1


def resolve(address: str) -> tuple[Table, int]:
    """Return table and zero-based address of a checked address."""
    table, separator, start = address.partition(":")
    if separator:
        return table, int(start)  # type: ignore[return-value]
    found = classic(address)
    assert found is not None
    return found


def is_classic(address: str) -> bool:
    """Return whether a checked address is written as a classic number."""
    return ":" not in address


def _check_address(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 10001:  # YAML reads 00010 as octal: 8
            raise ValueError(f"{value!r} is not a Modbus address; expected {_FORM}; the classic number of a coil in quotes")
        value = str(value)
    text = value.strip() if isinstance(value, str) else ""
    if text.isdigit():
        if classic(text) is None:
            raise ValueError(f"{value!r} is not a Modbus address; expected {_FORM}, or a classic number such as 40101")
        return text
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise ValueError(f"{value!r} is not a Modbus address; expected {_FORM}")
    if int(match[2]) > LAST_ADDRESS:
        raise ValueError(f"{value!r} is out of range; expected an address from 0 to {LAST_ADDRESS}")
    return f"{match[1]}:{int(match[2])}"


def parse_range(value: object) -> Range:
    """Parse `holding:100-120` or `coil:7`. Raises ValueError with what was expected."""
    match = _RANGE.fullmatch(value) if isinstance(value, str) else None
    expected = "table:first-last, zero-based, such as holding:100-120"
    if match is None:
        raise ValueError(f"{value!r} is not a range of addresses; expected {expected}")
    first, last = int(match[2]), int(match[3] or match[2])
    if not first <= last <= LAST_ADDRESS:
        raise ValueError(f"{value!r} is out of range; expected {expected} and addresses from 0 to {LAST_ADDRESS}")
    return Range(match[1], first, last)  # type: ignore[arg-type]


def _check_range(value: object) -> str:
    parse_range(value)
    return str(value).replace(" ", "")


_SCHEMA = WithJsonSchema(
    {
        "anyOf": [
            {"type": "string", "pattern": r"^\s*((holding|input|coil|discrete)\s*:\s*\d{1,5}|[0134]\d{4,5})\s*$"},
            {"type": "integer", "minimum": 10001, "maximum": 465536},
        ]
    }
)
Address = Annotated[str, BeforeValidator(_check_address), _SCHEMA]
RangeText = Annotated[
    str,
    BeforeValidator(_check_range),
    WithJsonSchema({"type": "string", "pattern": r"^\s*(holding|input|coil|discrete)\s*:\s*\d{1,5}\s*(-\s*\d{1,5}\s*)?$"}),
]
