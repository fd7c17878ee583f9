"""What was missed while a server was away."""

import numpy as np

from gateway.sources.opcua.history.gaps import MOST_GAPS, Gap, Gaps, Steps
from tests.support.opcua_fake import values

S = 1_000_000_000


def heard(gaps: Gaps, rows: list[int], times: list[int]) -> None:
    gaps.heard(values(rows, [1.0] * len(rows), source_ns=times).columns)


def times(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def test_before_anything_was_heard_nothing_is_missing():
    gaps = Gaps(2)
    gaps.begin()
    assert not gaps.waiting


def test_a_gap_goes_from_the_last_value_before_to_the_first_one_after():
    gaps = Gaps(4)
    gaps.begin()
    heard(gaps, [0, 1, 0, 2], [5, 6, 9, 7])
    gaps.begin()
    heard(gaps, [1, 0, 0], [6, 20, 25])
    gaps.settle(100)
    (gap,) = gaps.waiting
    assert gap.after.tolist() == [9, 6, 7, 0]
    assert gap.before.tolist() == [20, 6, 100, 100]
    assert gap.rows(10) == [0, 2], "row 1 has not changed, row 3 was never heard"


def test_settling_twice_changes_nothing_and_old_gaps_stay():
    gaps = Gaps(1)
    heard(gaps, [0], [5])
    gaps.begin()
    heard(gaps, [0], [20])
    gaps.settle(100)
    gaps.settle(200)
    gaps.begin()
    heard(gaps, [0], [50])
    gaps.settle(300)
    assert [(gap.after.tolist(), gap.before.tolist()) for gap in gaps.waiting] == [([5], [20]), ([20], [50])]


def test_a_connection_that_never_said_anything_widens_the_gap():
    gaps = Gaps(1)
    heard(gaps, [0], [5])
    gaps.begin()
    gaps.begin()
    heard(gaps, [0], [20])
    gaps.settle(100)
    assert [(gap.after.tolist(), gap.before.tolist()) for gap in gaps.waiting] == [([5], [20])]


def test_no_more_than_a_few_gaps_wait():
    gaps = Gaps(1)
    for start in range(1, 40):
        heard(gaps, [0], [start * 10])
        gaps.begin()
        heard(gaps, [0], [start * 10 + 5])
        gaps.settle(1000)
    assert len(gaps.waiting) == MOST_GAPS


def test_only_what_lies_in_the_gap_is_taken_and_counted():
    gap = Gap(times(10, 0), times(20, 0), times(0, 0))
    assert gap.take(0, times(9, 10, 11, 19, 20), 100, 10).tolist() == [False, False, True, True, False]
    assert gap.take(0, times(12, 15), 15, 10).tolist() == [True, False]
    assert gap.counts.tolist() == [3, 0]


def test_no_more_than_allowed_is_taken():
    gap = Gap(times(10), times(20), times(0))
    assert gap.take(0, times(11, 12, 13), 100, 2).tolist() == [True, True, False]
    assert gap.rows(2) == []


def test_what_was_read_or_is_too_old_is_no_longer_missing():
    gap = Gap(times(10, 10, 0), times(100, 100, 100), times(0, 0, 0))
    gap.advance([0], 51)
    assert gap.after.tolist() == [50, 10, 0]
    gap.bound(30)
    assert gap.after.tolist() == [50, 30, 0]
    gap.skip([1])
    gap.advance([0, 1], 60)
    assert gap.rows(10) == [0]


def test_steps_follow_the_number_of_samples_and_end_on_microseconds():
    steps = Steps()
    assert steps.end(1_234) == S + 2_000
    steps.learn(0)
    assert steps.length_ns == 8 * S
    steps.learn(10_000_000)
    assert steps.length_ns == S
    for _ in range(20):
        steps.learn(1)
    assert steps.length_ns == 3600 * S
