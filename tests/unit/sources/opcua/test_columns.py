"""Times and sequence numbers."""

from datetime import UTC, datetime

import pytest

from gateway.sources.opcua.columns import missing_between, to_ns

LAST = 2**32 - 1


@pytest.mark.parametrize(
    ("time", "ns"),
    [
        (None, 0),
        (datetime(1601, 1, 1, tzinfo=UTC), 0),
        (datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC), 1_000_005_000),
        (datetime(2026, 8, 1, 12, 0, 0, 123456, tzinfo=UTC), 1_785_585_600_123_456_000),
        (datetime(9999, 12, 31, tzinfo=UTC), 2**62),
    ],
)
def test_times_are_exact_nanoseconds(time, ns):
    assert to_ns(time) == ns


@pytest.mark.parametrize(
    ("last", "now", "missing"),
    [
        (0, 1, 0),
        (0, 77, 0),
        (1, 2, 0),
        (1, 3, 1),
        (5, 10, 4),
        (LAST, 1, 0),
        (LAST, 2, 1),
        (LAST - 1, 1, 1),
        (9, 9, 0),
        (9, 1, 0),
    ],
)
def test_missing_notifications_are_counted_over_the_wrap(last, now, missing):
    assert missing_between(last, now) == missing
