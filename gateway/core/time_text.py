"""Times as people write them."""

import re
from datetime import UTC, datetime
from typing import Any, Final

from gateway.core.config_types import parse_duration_ns

TIME_EXAMPLE: Final = (
    "a time such as 2026-11-30T14:00 (UTC) or 2026-11-30T15:00+01:00, -2h for two hours ago, now, or ms since the epoch"
)
_AGO: Final = re.compile(r"-(.+)")
_LONGEST: Final = 64
_MOST_MS: Final = 2**53 // 1_000


def parse_time_ns(value: Any, now_ns: int) -> int:
    """Return a time in ns since the epoch, UTC: ISO 8601 (UTC without an offset), so long ago, `now`, or a number of ms.

    now_ns: what `now` is. Raises ValueError.
    """
    if type(value) is int and 0 <= value <= _MOST_MS:
        return value * 1_000_000
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise ValueError("no time")
    if value == "now":
        return now_ns
    if value.isascii() and value.isdecimal() and len(value) > 8:
        return parse_time_ns(int(value), now_ns)
    if (ago := _AGO.fullmatch(value)) is not None:
        return max(0, now_ns - parse_duration_ns(ago[1]))
    try:
        found = datetime.fromisoformat(value)
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found
        if not 1970 <= found.year < 2200:
            raise ValueError("a year that is far away")
        return max(0, round(found.timestamp() * 1e6) * 1000)
    except OverflowError:
        raise ValueError("a time beyond the calendar") from None
