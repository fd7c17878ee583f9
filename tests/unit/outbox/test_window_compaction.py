"""Which windows are merged, in what order, and what is left alone."""

from hypothesis import strategies as st

from gateway.core.messages import Lane
from gateway.outbox import window_compaction
from gateway.outbox.losses import losses_of
from gateway.outbox.records import Row
from gateway.outbox.window_compaction import plan_merges
from tests.support.outbox_parts import NOW_NS

MINUTE = 60_000
M0 = NOW_NS // 10**6 // 600_000 * 600_000 - 86_400_000


def row(id: int, second: float, topic: str = "t", boot: str = "b", size: int = 100, length: int = 1000) -> Row:
    start = M0 + round(second * 1000)
    return Row(id, Lane.WINDOW, topic, boot, id, start, start + length, size)


def ids(groups: list[list[Row]]) -> list[list[int]]:
    return [[row.id for row in group] for group in groups]


def test_rows_are_grouped_by_boot_topic_and_minute() -> None:
    rows = [row(1, 0), row(2, 0, "u"), row(3, 59), row(4, 59, "u"), row(5, 60), row(6, 61), row(7, 60, boot="c")]
    assert ids(plan_merges(rows, MINUTE, M0 + 10 * MINUTE, True).groups) == [[1, 3], [2, 4], [5, 6]]


def test_a_minute_that_is_not_over_and_one_of_which_more_may_follow_wait() -> None:
    rows = [row(1, 0), row(2, 1), row(3, 60), row(4, 61)]
    over = M0 + 10 * MINUTE
    assert plan_merges(rows, MINUTE, M0 + MINUTE, True) == plan_merges(rows, MINUTE, over, False)
    assert (ids(plan_merges(rows, MINUTE, over, False).groups), plan_merges(rows, MINUTE, over, False).after) == (
        [[1, 2]],
        2,
    )
    assert plan_merges(rows, MINUTE, M0, True).groups == []
    assert plan_merges(rows[:2], MINUTE, over, False).split, "one minute is more than is read at once"


def test_what_is_as_long_as_the_span_or_lies_across_two_is_left_alone() -> None:
    rows = [row(1, 0, length=MINUTE), row(2, 30), row(3, 59.5, length=1000), row(4, 31)]
    assert ids(plan_merges(rows, MINUTE, M0 + 10 * MINUTE, True).groups) == [[2, 4]]


def test_large_groups_are_cut_so_that_memory_stays_small() -> None:
    rows = [row(id, id, size=window_compaction.GROUP_BYTES // 4) for id in range(1, 12)]
    cut = plan_merges(rows, MINUTE, M0 + 10 * MINUTE, True)
    assert (ids(cut.groups), cut.split) == ([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11]], True)
    huge = [row(id, id, size=window_compaction.GROUP_BYTES * 2) for id in range(1, 4)]
    assert ids(plan_merges(huge, MINUTE, M0 + 10 * MINUTE, True).groups) == [[1, 2]]


second = st.tuples(st.integers(0, 1500), st.sampled_from("tu"), st.booleans())


def test_the_record_of_a_merge_names_exactly_what_will_not_come() -> None:
    (loss,) = losses_of([row(seq, seq) for seq in range(1, 60)], "thinned")
    assert (loss.first_seq, loss.last_seq, loss.count) == (1, 59, 59)
