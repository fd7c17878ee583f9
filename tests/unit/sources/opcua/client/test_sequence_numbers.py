"""Sequence numbers."""

import pytest

from gateway.sources.opcua.client.sequence_numbers import SequenceNumbers

LAST = 2**32 - 1


def after(last: int) -> SequenceNumbers:
    numbering = SequenceNumbers()
    numbering.last = last
    return numbering


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
    assert after(last).missing_before(now, False, []) == ([], missing)


@pytest.mark.parametrize(
    ("last", "now", "available", "held", "missing"),
    [
        (5, 9, [5, 6, 8, 9, 10], [6, 8], 3),
        (5, 9, [8, 7, 7, 6], [6, 7, 8], 3),
        (LAST - 2, 2, [1, LAST, 2, 7], [LAST, 1], 3),
        (5, 6, [5, 6], [], 0),
        (0, 3, [1, 2, 3], [1, 2], 2),
        (9, 3, [1, 2, 3], [], 0),
        (5, 9, [0], [], 3),
    ],
)
def test_what_the_server_still_holds_is_found_in_order(last, now, available, held, missing):
    assert after(last).missing_before(now, False, available) == (held, missing)


@pytest.mark.parametrize(
    ("last", "next_number", "available", "held", "missing"),
    [
        (5, 6, [5], [], 0),
        (5, 7, [5, 6], [6], 1),
        (5, 9, [5, 7], [7], 2),
        (5, 9, [5], [], 0),
        (0, 2, [1], [1], 1),
        (0, 1, [], [], 0),
        (5, 5, [5], [], 0),
    ],
)
def test_a_keepalive_names_the_next_number_and_proves_what_is_held(last, next_number, available, held, missing):
    assert after(last).missing_before(next_number, True, available) == (held, missing)
