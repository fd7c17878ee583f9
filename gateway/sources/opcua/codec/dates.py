"""DateTime values as text, exactly (OPC UA Part 6, 5.2.2.5). Pure."""

from datetime import UTC, datetime, timedelta
from typing import Final

_BEGIN: Final = datetime(1601, 1, 1, tzinfo=UTC)
_PER_MICROSECOND: Final = 10
_FIRST: Final = -504_911_232_000_000_000
"""0001-01-01, in ticks."""
_LAST: Final = 2_650_467_743_990_000_000
"""9999-12-31T23:59:59, in ticks: what is later has no other text (Part 6, 5.4.2.6)."""


def date_text(ticks: int) -> str:
    """Return ticks (100 ns since 1601) as ISO 8601 in UTC.

    Without a fraction for whole seconds, else with six digits, or seven where the last is not 0. 0 is the earliest time
    there is, 0001-01-01; what lies beyond year 1 or 9999 is cut to it.
    """
    if ticks == 0 or ticks < _FIRST:
        ticks = _FIRST
    ticks = min(ticks, _LAST)
    microseconds, rest = divmod(ticks, _PER_MICROSECOND)
    time = _BEGIN + timedelta(microseconds=microseconds)
    if not rest:
        return time.isoformat()
    return f"{time.replace(tzinfo=None).isoformat(timespec='microseconds')}{rest}+00:00"
