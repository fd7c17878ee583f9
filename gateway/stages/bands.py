"""Bands, as people write them: in engineering units or in percent."""

import math
import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema

from gateway.stages.numbers import finite_number

_OF_RANGE: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*of\s+range\s*")
_PERCENT: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")


def _band(value: Any) -> tuple[float, float]:
    """Return an absolute band or a percentage as (absolute, fraction); one of the two is 0."""
    if isinstance(value, tuple):
        return value
    if isinstance(value, str) and (match := _PERCENT.fullmatch(value)) and math.isfinite(float(match[1])):
        return 0.0, float(match[1]) / 100
    try:
        number = finite_number(value)
    except ValueError:
        number = -1.0
    if number < 0:
        raise ValueError(f"{value!r} is not understood; expected a number from 0 or a percentage such as 1%")
    return number, 0.0


Band = Annotated[
    tuple[float, float],
    BeforeValidator(_band),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*%?\s*$"}]}
    ),
]


def _deadband(value: Any) -> tuple[float, ...]:
    """Return (absolute, fraction of the value), or with a third one, a fraction of the range."""
    if isinstance(value, str) and (match := _OF_RANGE.fullmatch(value)) and math.isfinite(float(match[1])):
        return 0.0, 0.0, float(match[1]) / 100
    try:
        return _band(value)
    except ValueError as error:
        raise ValueError(f"{error}, or 1% of range") from None


Deadband = Annotated[
    tuple[float, ...],
    BeforeValidator(_deadband),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(%(\s*of range)?)?\s*$"},
            ]
        }
    ),
]
Number = Annotated[float, BeforeValidator(finite_number), WithJsonSchema({"type": "number"})]
