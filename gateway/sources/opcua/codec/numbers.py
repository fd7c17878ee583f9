"""Numbers, lists and bits as JSON carries them. Pure."""

from base64 import b64decode
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

import numpy as np
import orjson

from gateway.sources.opcua.codec.errors import WireError

_BOOLEAN: Final = 1
_FLOAT: Final = 10
_DOUBLE: Final = 11
_TYPES: Final = {
    kind: np.dtype(code)
    for kind, code in enumerate(("u1", "i1", "u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f4", "<f8"), _BOOLEAN)
}
NUMBER_BYTES: Final = {kind: code.itemsize for kind, code in _TYPES.items()}
"""Bytes of a number by built-in type, Boolean to Double (Part 6, 5.1.2)."""
_MOST_DECIMAL: Final = 256
"""Bytes: more than six hundred digits."""


def numbers_in(kind: int, data: bytes) -> list[Any]:
    """Return an array of numbers as JSON carries them: None for NaN and infinities, Floats with their fewest digits."""
    values = np.frombuffer(data, _TYPES[kind])
    if kind == _BOOLEAN:
        values = values != 0
    elif kind in (_FLOAT, _DOUBLE):
        numbers: list[Any] = orjson.loads(orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY))
        return numbers
    whole: list[Any] = values.tolist()
    return whole


def typed(kind: int, value: Any) -> Any:
    """Return a Float (32 bits), or a list of them, as the shortest decimal that names it; anything else unchanged."""
    if kind != _FLOAT:
        return value
    return [typed(kind, one) for one in value] if isinstance(value, list | tuple) else shortest(value)


def shortest(value: float) -> float:
    """Return the decimal with the fewest digits that names the same float32."""
    return float(str(np.float32(value)))


def named_bits(names: Iterable[tuple[int, str]], values: Mapping[str, object]) -> dict[str, bool | None]:
    """Return the named bits of an OptionSet (Part 5, 12.2.12.14), None for a bit that is not valid.

    values: its fields Value and ValidBits, bytes as base64.
    """
    bits, valid = (int.from_bytes(b64decode(str(values[name] or "")), "little") for name in ("Value", "ValidBits"))
    return {name: bool(bits >> bit & 1) if valid >> bit & 1 else None for bit, name in names}


def reshaped(values: list[Any], dimensions: list[int]) -> list[Any]:
    """Nest a list by dimensions. Raises WireError when the number of values is another."""
    count = 1
    for length in dimensions:
        count *= length
    if count != len(values) or min(dimensions, default=0) < 0:
        raise WireError(f"{len(values)} values for dimensions {dimensions}")
    for length in reversed(dimensions[1:]):
        values = [values[at : at + length] for at in range(0, len(values), length)] if length else []
    return values


def decimal_text(body: bytes) -> str:
    """Return a Decimal exactly: its scale (Int16), then an integer of any length (Part 6, 5.1.10). Raises WireError."""
    if not 2 < len(body) <= _MOST_DECIMAL:
        raise WireError(f"a decimal of {len(body)} bytes")
    scale = int.from_bytes(body[:2], "little", signed=True)
    number = int.from_bytes(body[2:], "little", signed=True)
    return str(Decimal((number < 0, tuple(map(int, str(abs(number)))), -scale)))
