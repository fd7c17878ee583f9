"""Values of keys in the notations of YAML and of spreadsheet cells."""

import struct
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from gateway.sources.modbus.types import LONG_ORDERS, ByteOrder, ValueType, size_bytes


def _check_order(value: object) -> object:
    return LONG_ORDERS.get(value, value) if isinstance(value, str) else value


def _integer(value: object, what: str) -> int:
    """Return an integer that YAML or a spreadsheet gives as 240, "240", "0xF0"."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        return int(str(value).strip(), 0)
    except ValueError:
        raise ValueError(f"{value!r} is not {what}; expected an integer such as 240 or 0xF0") from None


def _check_mask(value: object) -> object:
    return None if value is None else _integer(value, "a mask")


def _check_labels(value: object) -> object:
    """Return the labels of `{0: off, 1: on}` of YAML, or `0=off | 1=on` of a spreadsheet."""
    if value is None:
        return None
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split("|")]
        if not all(separator for _, separator, _ in pairs):
            raise ValueError(f"{value!r} is not a list of labels; expected value=label | value=label, such as 0=off | 1=on")
        items: list[tuple[object, object]] = [(number, label) for number, _, label in pairs]
    elif isinstance(value, dict):
        items = list(value.items())
    else:
        raise ValueError(f"{value!r} is not a list of labels; expected a mapping such as {{0: off, 1: on}}")
    labels: dict[int, str] = {}
    for number, label in items:
        key = _integer(number, "a value with a label")
        if key in labels:
            raise ValueError(f"{key} has two labels; expected one for each value")
        if isinstance(label, bool) or not isinstance(label, str | int | float):
            raise ValueError(f"{label!r} is not a label; expected text (off, on, yes and no go in quotes in YAML)")
        labels[key] = str(label).strip()
    return labels


def _check_not_available(value: object) -> object:
    """Return the values of a list of YAML, a single value, or `0x8000 | 0x7FFF` of a spreadsheet."""
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split("|"))
    return (value,) if isinstance(value, int | float) and not isinstance(value, bool) else value


Order = Annotated[
    ByteOrder,
    BeforeValidator(_check_order),
    WithJsonSchema({"enum": ["ABCD", "BADC", "CDAB", "DCBA", *LONG_ORDERS]}),
]
Mask = Annotated[
    int, BeforeValidator(_check_mask), WithJsonSchema({"type": ["integer", "string"], "examples": ["0x00F0", 240]})
]
Labels = Annotated[
    dict[int, str],
    BeforeValidator(_check_labels),
    WithJsonSchema({"type": ["object", "string"], "examples": [{"0": "stopped", "1": "running"}, "0=stopped | 1=running"]}),
]
NotAvailable = Annotated[
    tuple[int | float | str, ...],
    BeforeValidator(_check_not_available),
    WithJsonSchema({"type": ["array", "string", "number"], "examples": ["0x8000", [32767, -32768]]}),
]


def pattern(kind: ValueType, value: float | str) -> int:
    """Return the bits of a value written for `not_available`, unsigned. Raises ValueError when it does not fit."""
    bits = 8 * size_bytes(kind)
    expected = f"expected a value of {kind}, or its bits up to {(1 << bits) - 1:#x}"
    text = value.strip().lower() if isinstance(value, str) else ""
    is_float, signed = kind.startswith("float"), kind.startswith(("int", "sm"))
    try:
        if is_float and not text.startswith("0x"):
            return int.from_bytes(struct.pack(">" + {16: "e", 32: "f", 64: "d"}[bits], float(value)), "big")
        number = int(text, 0) if text else int(value)
        if isinstance(value, float) and number != value:
            raise ValueError
    except (ValueError, OverflowError, struct.error):
        raise ValueError(f"{value!r} is no {kind}; {expected}") from None
    if kind.startswith("bcd") and not text.startswith("0x"):
        number = int(str(number), 16) if number >= 0 else -1
    if not (-(1 << bits - 1) if signed else 0) <= number < 1 << bits:
        raise ValueError(f"{value!r} does not fit {kind}; {expected}")
    if kind.startswith("sm") and number < 0:
        return 1 << bits - 1 | -number
    return number % (1 << bits)
