"""What was missed while a server was away."""

import numpy as np

from gateway.sources.opcua.source.history.gap import Gap
from gateway.sources.opcua.source.history.gaps import MOST_GAPS, Gaps, SliceLength, received_times
from tests.support.opcua_fake import values

S = 1_000_000_000


def heard(gaps: Gaps, rows: list[int], times: list[int], *, again: bool = False) -> None:
    gaps.receive(np.array(rows, np.uint32), np.array(times, np.int64), again=again)


def times(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def test_before_anything_was_heard_nothing_is_missing():
    gaps = Gaps(2)
    gaps.on_connected()
    assert not gaps.waiting


def test_a_gap_goes_from_the_last_value_before_to_the_first_one_after():
    gaps = Gaps(4)
    gaps.on_connected()
    heard(gaps, [0, 1, 0, 2], [5, 6, 9, 7])
    gaps.on_connected()
    heard(gaps, [1, 0, 0], [6, 20, 25])
    gaps.close_open_gap(100)
    (gap,) = gaps.waiting
    assert gap.after.tolist() == [9, 6, 7, 0]
    assert gap.before.tolist() == [20, 6, 100, 100]
    assert gap.rows(10) == [0, 2], "row 1 has not changed, row 3 was never heard"


def test_what_was_on_its_way_when_the_connection_was_lost_comes_before_the_gap():
    """A server holds it for Republish; what overflowed its queues afterwards is what is missing."""
    gaps = Gaps(3)
    heard(gaps, [0, 1], [5, 5])
    gaps.on_connected()
    heard(gaps, [0, 1, 0], [6, 6, 8], again=True)
    heard(gaps, [0], [20])
    heard(gaps, [0], [19], again=True)
    gaps.close_open_gap(100)
    (gap,) = gaps.waiting
    assert (gap.after.tolist(), gap.before.tolist()) == ([8, 6, 0], [20, 100, 100])
    gaps.on_connected()
    heard(gaps, [0], [21], again=True)
    gaps.on_connected()
    heard(gaps, [0], [30])
    gaps.close_open_gap(200)
    assert [(int(gap.after[0]), int(gap.before[0])) for gap in gaps.waiting] == [(8, 20), (21, 30)], "lost at once"


def test_settling_twice_changes_nothing_and_old_gaps_stay():
    gaps = Gaps(1)
    heard(gaps, [0], [5])
    gaps.on_connected()
    heard(gaps, [0], [20])
    gaps.close_open_gap(100)
    gaps.close_open_gap(200)
    gaps.on_connected()
    heard(gaps, [0], [50])
    gaps.close_open_gap(300)
    assert [(gap.after.tolist(), gap.before.tolist()) for gap in gaps.waiting] == [([5], [20]), ([20], [50])]


def test_a_connection_that_never_said_anything_widens_the_gap():
    gaps = Gaps(1)
    heard(gaps, [0], [5])
    gaps.on_connected()
    gaps.on_connected()
    heard(gaps, [0], [20])
    gaps.close_open_gap(100)
    assert [(gap.after.tolist(), gap.before.tolist()) for gap in gaps.waiting] == [([5], [20])]


def test_no_more_than_a_few_gaps_wait():
    gaps = Gaps(1)
    for start in range(1, 40):
        heard(gaps, [0], [start * 10])
        gaps.on_connected()
        heard(gaps, [0], [start * 10 + 5])
        gaps.close_open_gap(1000)
    assert len(gaps.waiting) == MOST_GAPS


def test_what_is_handed_on_counts_and_what_is_given_back_does_not():
    gap = Gap(times(10, 10), times(20, 30), times(0, 0))
    gap.lend([0, 1], 11, 16, {0: 2})
    assert (gap.after.tolist(), gap.counts.tolist()) == ([15, 15], [2, 0])
    gap.return_lent(1, 1)
    assert (gap.after.tolist(), gap.counts.tolist()) == ([10, 10], [0, 0])
    gap.lend([0, 1], 11, 16, {0: 2})
    gap.return_lent(0, 1)
    gap.return_lent(1, 1)
    assert (gap.after.tolist(), gap.counts.tolist(), gap.skipped_ns) == ([15, 15], [2, 0], 0)
    assert gap.rows(2) == [1], "no more than allowed"


def test_what_was_handed_on_in_part_is_told_as_skipped():
    gap = Gap(times(10), times(20), times(0))
    gap.lend([0], 11, 16, {0: 2})
    gap.return_lent(1, 2)
    assert (gap.after.tolist(), gap.skipped_from_ns, gap.skipped_ns) == ([15], 11, 5)


def test_rows_that_are_refused_wait_for_another_try():
    gap = Gap(times(10, 10), times(20, 20), times(0, 0))
    gap.aside[1] = 0x80020000
    assert (gap.rows(9), gap.unread(9)) == ([0], [0, 1])
    gap.retry()
    assert gap.rows(9) == [0, 1]


def test_times_of_one_block_may_come_in_any_order():
    gaps = Gaps(1)
    heard(gaps, [0, 0, 0], [7, 9, 5])
    gaps.on_connected()
    heard(gaps, [0, 0], [30, 20])
    gaps.close_open_gap(100)
    assert [(gap.after.tolist(), gap.before.tolist()) for gap in gaps.waiting] == [([9], [20])]


def test_what_is_silent_since_a_connection_began_is_not_missing_twice():
    gaps = Gaps(1)
    heard(gaps, [0], [5])
    gaps.on_connected()
    gaps.close_open_gap(100)
    gaps.on_connected()
    heard(gaps, [0], [300])
    gaps.close_open_gap(400)
    assert [(gap.after.tolist(), gap.before.tolist()) for gap in gaps.waiting] == [([5], [100]), ([99], [300])]


def test_times_beyond_both_clocks_are_no_times():
    told = values([0, 1, 2], [1.0] * 3, source_ns=[5 * S, 8 * S, 0], server_ns=[0, 0, 4 * S], received_ns=2 * S)
    assert received_times(told, 3 * S).tolist() == [5 * S, 0, 4 * S]


def test_a_server_whose_times_went_back_is_found_out():
    gaps = Gaps(2)
    heard(gaps, [0, 1], [100 * S, 90 * S])
    gaps.on_connected()
    heard(gaps, [0, 1], [40 * S, 39 * S])
    assert gaps.close_open_gap(50 * S) == 60 * S
    assert gaps.waiting[0].rows(9) == []
    gaps.on_connected()
    heard(gaps, [0, 1], [41 * S, 100 * S])
    assert gaps.close_open_gap(150 * S) == 0, "one of them has gone on"


def test_a_run_that_ends_before_the_gap_is_known_leaves_it():
    """Row 0 was handed on anew; row 1 was heard and not handed on, so that its gap begins anew as well."""
    gaps = Gaps(2)
    gaps.restore(times(10, 20))
    gaps.on_connected()
    heard(gaps, [0, 1], [30, 40])
    gaps.queue(np.array([0], np.uint32), times(30))
    gaps.hand_on()
    (gap,) = gaps.unfinished()
    assert (gap.after.tolist(), gap.before.tolist(), gaps.handed_on.tolist()) == ([10, 20], [30, 0], [30, 20])


def test_after_a_crash_what_is_heard_anew_is_where_the_next_gap_begins():
    """However far the crashed run may have got."""
    gaps = Gaps(1)
    gaps.restore(times(100), (80, 20))
    gaps.on_connected()
    heard(gaps, [0], [90])
    gaps.close_open_gap(95)
    assert (gaps.waiting[0].skipped_from_ns, gaps.waiting[0].skipped_ns) == (80, 10)
    gaps.on_connected()
    assert gaps.waiting[1].after.tolist() == [90]


def test_gaps_that_had_to_make_room_are_told():
    gaps = Gaps(1)
    for start in range(1, MOST_GAPS + 3):
        heard(gaps, [0], [start * 10])
        gaps.on_connected()
        heard(gaps, [0], [start * 10 + 5])
        gaps.close_open_gap(1000)
    assert [(gap.after.tolist(), gap.before.tolist()) for gap in gaps.given_up] == [([10], [15]), ([20], [25])]


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
    length = SliceLength()
    assert length.end(1_234) == S + 2_000
    length.adapt(0)
    assert length.length_ns == 8 * S
    length.adapt(10_000_000)
    assert length.length_ns == S
    for _ in range(20):
        length.adapt(1)
    assert length.length_ns == 3600 * S
