"""Sequence numbers."""

import pytest

from gateway.sources.opcua.numbering import missing_between

LAST = 2**32 - 1


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
