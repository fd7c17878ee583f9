"""Numbers as people write them in configuration files."""

import math
from typing import Any


def finite_number(value: Any) -> float:
    """Return the number. Raises ValueError for what is none, is infinite, or is true or false."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError(f"{value!r} is not a number (decimals are written with a point)")
    return number
