"""One-minute summaries: the same samples, merged exactly, told once."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.blocks import WindowBlock
from gateway.core.quality import Quality
from gateway.stages.summary import Summary
from gateway.stages.windows import Windows
from tests.support import blocks
from tests.support.blocks import GOOD, SECOND, block_of
from tests.support.oracle import Sample, differences, merged, rows_of, statistics_of

MINUTE = 60 * SECOND
M0 = 1_700_000_040 * SECOND
"""A full minute."""


class Line:
    """Windows and the summary behind them."""

    def __init__(self, tags: int = 2, now: int = M0) -> None:
        self.windows = Windows(tags, SECOND, 0, np.zeros(tags, np.int64), now)
        self.summary = Summary(tags, MINUTE)
        self.found: list[WindowBlock] = []

    def take(self, blocks_: list[WindowBlock]) -> None:
        for block in blocks_:
            self.found += self.summary.add(block)
        self.found += self.summary.pop_supplement()

    def at(self, now: int, *samples: Sample) -> None:
        self.windows.push(block_of(samples), now)
        self.take(self.windows.close(now))

    def flush(self, now: int) -> None:
        self.take(self.windows.flush(now))
        self.found += self.summary.flush()

    def told(self, tag: int = 0) -> list[tuple[int, bool, int]]:
        return [((b.start - M0) // SECOND, b.late, rows_of(b)[tag].count) for b in self.found if tag in rows_of(b)]


@given(
    st.lists(st.tuples(st.integers(1, 40), blocks.samples(2, most=6), st.sampled_from(["", "", "", "flush"])), max_size=12)
)
def test_summaries_hold_the_statistics_of_all_samples(script: list[tuple[int, list[Sample], str]]) -> None:
    """Late samples and flushes included: blocks of one minute merge to its samples, and only the first is not late."""
    line, now, arrived = Line(), M0, defaultdict(list)
    line.at(now, *(Sample(tag, now, 0.5, GOOD) for tag in range(2)))
    arrived[M0, 0], arrived[M0, 1] = [Sample(0, M0, 0.5, GOOD)], [Sample(1, M0, 0.5, GOOD)]
    for seconds, samples, what in script:
        now += seconds * SECOND
        # Values that differ from all others, so that none only tells the value in force; the first one makes tags known.
        moved = [
            Sample(s.tag, s.time - blocks.T0 + now, s.value + i / 7, GOOD) for i, s in enumerate(samples) if s.quality >= 64
        ]
        for s in moved:
            arrived[s.time // MINUTE * MINUTE, s.tag].append(s)
        line.at(now, *moved)
        if what:
            line.flush(now)
    line.at(now + 2 * SECOND)
    line.flush(now + 2 * SECOND)
    for (start, tag), samples in arrived.items():
        parts = [(b.late, rows_of(b)[tag]) for b in line.found if b.start == start and tag in rows_of(b)]
        whole = merged([row for _, row in parts if row.count])
        assert not differences(whole, statistics_of(samples), ("count", "good", "used", "min", "max"))
        assert sum(not late for late, _ in parts) <= 1


def test_a_summary_ends_with_the_last_window_of_its_minute() -> None:
    """Nobody waits for a window of the next minute."""
    line = Line()
    for second in range(59):
        line.at(M0 + second * SECOND, Sample(0, M0 + second * SECOND, 1.0, GOOD))
    assert line.found == []
    line.at(M0 + 59 * SECOND, Sample(0, M0 + 59 * SECOND, 1.0, GOOD))
    line.at(M0 + 60 * SECOND)
    assert line.told() == [(0, False, 60)]


def test_a_late_sample_of_an_earlier_minute_makes_a_supplement() -> None:
    """The summary of a minute that is over is published again with the late samples only."""
    line = Line()
    line.at(M0, Sample(0, M0, 1.0, GOOD))
    line.at(M0 + 90 * SECOND, Sample(0, M0 + 90 * SECOND, 2.0, GOOD))
    line.at(M0 + 95 * SECOND, Sample(0, M0 + 30 * SECOND, 3.0, GOOD), Sample(0, M0 + 70 * SECOND, 4.0, GOOD))
    line.at(M0 + 125 * SECOND)
    line.at(M0 + 126 * SECOND)
    assert line.told() == [(0, False, 1), (0, True, 1), (60, False, 2)]


def test_a_tag_without_samples_shows_the_value_in_force_and_its_time() -> None:
    """An unchanged value of a subscription stands in every summary with the time when it was read."""
    line = Line()
    line.at(M0, Sample(0, M0, 7.0, GOOD))
    for second in range(1, 181):
        line.at(M0 + second * SECOND)
    rows = [rows_of(block)[0] for block in line.found]
    assert [(r.count, r.last, r.last_time, r.quality) for r in rows[1:]] == [(0, 7.0, M0, GOOD)] * 2
    assert rows_of(line.found[0])[1].quality == Quality.BAD_WAITING


def test_the_time_before_the_first_sample_after_a_start_is_no_gap() -> None:
    line = Line(1)
    for second in range(30):
        line.at(M0 + second * SECOND)
    for second in range(30, 61):
        line.at(M0 + second * SECOND, Sample(0, M0 + second * SECOND, 7.0, GOOD))
    (row,) = rows_of(line.found[0]).values()
    assert (row.count, row.good, row.quality) == (30, 30, GOOD)


def test_a_late_window_of_some_tags_says_nothing_of_what_the_others_hold() -> None:
    line = Line(3)
    line.at(M0, *(Sample(tag, M0, 1.0 + tag, GOOD) for tag in range(3)))
    line.at(M0 + 62 * SECOND)
    line.at(M0 + 64 * SECOND, Sample(1, M0 + 61 * SECOND, 9.0, GOOD))
    rows = rows_of(line.summary.flush()[0])
    assert [(row.count, row.last) for row in rows.values()] == [(0, 1.0), (1, 9.0), (0, 3.0)]


def test_a_minute_with_a_gap_is_partial() -> None:
    """A device that was away for some of the windows cannot make a good minute."""
    line = Line(1)
    line.at(M0, Sample(0, M0, 7.0, GOOD))
    line.windows.mark(np.zeros(1, np.uint32), Quality.BAD_NOT_CONNECTED, M0 + SECOND)
    for second in range(2, 30):
        line.at(M0 + second * SECOND)
    line.at(M0 + 30 * SECOND, Sample(0, M0 + 30 * SECOND, 7.0, GOOD))
    for second in range(31, 61):
        line.at(M0 + second * SECOND)
    (row,) = rows_of(line.found[0]).values()
    assert (row.count, row.good, row.quality) == (2, 2, Quality.UNCERTAIN_PARTIAL)


def test_after_a_flush_the_rest_of_the_minute_is_a_supplement() -> None:
    """A clock jump in mid-minute: two blocks of one minute, the second late and only with what it adds."""
    line = Line()
    line.at(M0 + SECOND, Sample(0, M0, 1.0, GOOD), Sample(1, M0, 1.0, GOOD))
    line.flush(M0 + 10 * SECOND)
    line.at(M0 + 11 * SECOND, Sample(0, M0 + 10 * SECOND, 2.0, GOOD))
    for second in range(12, 61):
        line.at(M0 + second * SECOND)
    assert line.told(0) == [(0, False, 1), (0, True, 1)]
    assert line.told(1) == [(0, False, 1)]


@pytest.mark.parametrize("minutes", [10])
def test_an_hour_of_history_is_sixty_supplements_and_not_one_per_window(minutes: int) -> None:
    """Late windows that come together are merged by minute."""
    line = Line(1)
    line.at(M0, Sample(0, M0, 0.5, GOOD))
    line.windows.push(block_of([Sample(0, M0 - n * SECOND, 1.0 + n, GOOD) for n in range(60 * minutes, 0, -1)]), M0 + SECOND)
    for n in range(1, 10):
        line.take(line.windows.close(M0 + n * SECOND))
    late = [(start, count) for start, is_late, count in line.told() if is_late]
    assert sum(count for _, count in late) == 60 * minutes
    assert len({start for start, _ in late}) == minutes
    assert len(late) <= minutes + 8, "a minute may be cut where a turn ends"
