"""Columnar windows against the per-sample oracle, whatever arrives, however it is cut, whatever the clock does."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.blocks import WindowBlock
from gateway.core.quality import Quality
from gateway.stages.windows import FOLD_AT, Windows
from tests.support import blocks
from tests.support.blocks import GOOD, SECOND, T0, TICK, block_of, cut
from tests.support.oracle import Published, Row, Sample, WindowOracle, differences, merged, rows_of, statistics_of

TAGS = 3
GRACE = SECOND // 2
STALE = [0, 3 * SECOND, 0]

# Arrivals tell how much time passes before them; then samples, a mark, a close, a flush or a jump of the clock.
steps = st.lists(
    st.one_of(
        *[st.tuples(st.just("samples"), st.integers(0, 9), st.randoms(use_true_random=False))] * 5,
        *[st.tuples(st.just("close"), st.integers(0, 9), st.none())] * 4,
        st.tuples(st.just("close"), st.integers(100, 300), st.none()),
        st.tuples(st.just("mark"), st.integers(0, 9), st.sets(st.integers(0, TAGS - 1), min_size=1)),
        st.tuples(st.just("flush"), st.integers(-40, 40), st.none()),
    ),
    max_size=25,
)


@dataclass
class Run:
    """Windows and oracle side by side."""

    grace: int = GRACE
    fold_at: int = FOLD_AT
    now: int = T0 + 3 * TICK
    arrived: list[Sample] = field(default_factory=list)
    out: list[Published] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.real = Windows(TAGS, SECOND, self.grace, np.array(STALE), self.now, fold_at=self.fold_at)
        self.oracle = WindowOracle(TAGS, SECOND, self.grace, STALE, self.now)

    def arrive(self, samples: list[Sample], places: list[int] | None = None) -> None:
        for block in cut(samples, places or []):
            self.real.push(block, self.now)
        self.oracle.add(samples, self.now)
        self.arrived += samples

    def compare(self, real: list[WindowBlock], expected: list[Published]) -> None:
        found = [(block.start, block.late, rows_of(block)) for block in real]
        assert [(start, late, list(rows)) for start, late, rows in found] == [(s, late, list(r)) for s, late, r in expected]
        for (start, late, rows), (_, _, others) in zip(found, expected, strict=True):
            wrong = {tag: differences(rows[tag], others[tag]) for tag in rows if differences(rows[tag], others[tag])}
            assert not wrong, f"window {(start - T0) / SECOND} late={late}: (real, expected) {wrong}"
        self.out += found

    def close(self) -> None:
        self.compare(self.real.close(self.now), self.oracle.close(self.now))

    def flush(self) -> None:
        self.compare(self.real.flush(self.now), self.oracle.flush(self.now))

    def mark(self, tags: set[int], quality: int = Quality.BAD_NOT_CONNECTED) -> None:
        self.real.mark(np.array(sorted(tags), np.uint32), quality, self.now)
        self.oracle.mark(tags, quality, self.now)

    def play(self, script: list[tuple], draw: st.DataObject) -> None:
        for what, ticks, more in script:
            self.now += ticks * TICK
            if what == "samples":
                self.arrive(draw.draw(blocks.samples(TAGS, self.now)), [more.randrange(99) for _ in range(3)])
            elif what == "mark":
                self.mark(more)
            elif what == "close":
                self.close()
            else:
                self.flush()
        for _ in range(3):
            self.now += 2 * SECOND
            self.close()
        self.now += 100 * SECOND
        self.close()

    def rows(self, tag: int) -> list[tuple[int, bool, Row]]:
        return [(start, late, rows[tag]) for start, late, rows in self.out if tag in rows]


@given(steps, st.sampled_from([0, GRACE, 15 * SECOND]), st.data())
def test_windows_equal_the_oracle_for_any_split_into_blocks(script: list[tuple], grace: int, data: st.DataObject) -> None:
    """Out of order, late, bad, marked, stalled, flushed, the clock set: the same blocks as sample by sample."""
    Run(grace).play(script, data)


@given(steps, st.data())
def test_every_sample_is_in_exactly_one_block(script: list[tuple], data: st.DataObject) -> None:
    """Nothing is lost: each sample counts once, but for those that only tell the value in force (see `_set_aside`)."""
    run = Run()
    run.play(script, data)
    counted: Counter[tuple[int, int]] = Counter()
    for start, _, rows in run.out:
        counted.update({(start, tag): row.count for tag, row in rows.items() if row.count})
    untold = Counter((run.oracle.floor(s.time), s.tag) for s in run.oracle.untold)
    assert counted + untold == Counter((run.oracle.floor(s.time), s.tag) for s in run.arrived)


@given(steps.map(lambda script: [s for s in script if s[0] != "mark"]), st.data())
def test_a_window_and_its_supplements_merge_to_the_statistics_of_all_samples(
    script: list[tuple], data: st.DataObject
) -> None:
    """A supplement holds only the late samples; exactly one block per window is not late, unless none ever was due."""
    run = Run()
    run.arrive([Sample(tag, run.now, 1.0, GOOD) for tag in range(TAGS)])
    run.play(script, data)
    untold = {id(s) for s in run.oracle.untold}
    samples = defaultdict(list)
    for s in run.arrived:
        if id(s) not in untold:
            samples[run.oracle.floor(s.time), s.tag].append(s)
    for (start, tag), mine in samples.items():
        parts = [row for at, _, row in run.rows(tag) if at == start and row.count]
        assert not differences(merged(parts), statistics_of(mine), ("count", "good", "used", "min", "max"))
        assert sum(not late for at, late, row in run.rows(tag) if at == start) <= 1


@given(st.data(), st.integers(1, 7))
def test_folding_early_changes_nothing(data: st.DataObject, fold_at: int) -> None:
    """262,144 waiting samples are folded before their window closes; the boundary (here a few samples) cannot be seen."""
    run = Run(fold_at=fold_at)
    samples = data.draw(blocks.samples(TAGS, run.now + 9 * TICK, late=False, most=40))
    samples = [Sample(s.tag, max(s.time, T0), s.value, s.quality) for s in samples]
    run.now += 9 * TICK
    run.arrive(samples, data.draw(st.lists(st.integers(0, 99), max_size=12)))
    run.now += 20 * SECOND // 10
    run.close()
    assert sum(row.count for tag in range(TAGS) for _, _, row in run.rows(tag)) == len(samples)


def test_the_value_in_force_of_a_window_is_that_of_its_end() -> None:
    """A change in the grace time after a window's end belongs to the next window: `last` is never from the future."""
    run = Run()
    run.arrive([Sample(0, run.now, 5.0, GOOD)])
    run.now = T0 + 2 * SECOND + 2 * TICK
    run.arrive([Sample(0, run.now, 6.0, GOOD)])
    run.now = T0 + 4 * SECOND
    run.close()
    assert [(row.count, row.last) for _, _, row in run.rows(0)] == [(1, 5.0), (0, 5.0), (1, 6.0)]
    assert all(row.last_time < start + SECOND for start, _, row in run.rows(0))


def test_a_device_that_goes_away_makes_its_tags_unknown_until_their_next_sample() -> None:
    """Samples before and after the gap count; the window of the loss is partial, later ones bad with the reason."""
    run = Run()
    run.arrive([Sample(0, run.now, 5.0, GOOD)])
    run.mark({0})
    run.now = T0 + 3 * SECOND
    run.close()
    run.arrive([Sample(0, run.now, 5.0, GOOD)])
    run.now = T0 + 5 * SECOND
    run.close()
    assert [(row.count, row.quality) for _, _, row in run.rows(0)] == [
        (1, Quality.UNCERTAIN_PARTIAL),
        (0, Quality.BAD_NOT_CONNECTED),
        (0, Quality.BAD_NOT_CONNECTED),
        (1, GOOD),
    ]


def test_a_loss_shows_whether_or_not_another_tag_had_samples() -> None:
    """The gap belongs to the tag: it does not depend on what else is in the window."""
    run = Run()
    run.mark({0, 1})
    run.now += TICK
    run.arrive([Sample(0, run.now, 5.0, GOOD)])
    run.now = T0 + 2 * SECOND
    run.close()
    assert run.rows(0)[0][2].quality == Quality.UNCERTAIN_PARTIAL
    assert run.rows(1)[0][2].quality == Quality.BAD_NOT_CONNECTED


def test_an_older_sample_that_comes_after_a_loss_ends_it() -> None:
    """The value a server tells again after a reconnect may be older than the loss; the tag is known all the same."""
    for age in (3 * TICK, 90 * SECOND):
        run = Run(now=T0 + SECOND + TICK)
        run.arrive([Sample(0, run.now, 4.0, GOOD)])
        run.mark({0})
        run.arrive([Sample(0, run.now - age, 5.0, GOOD)])
        run.now = T0 + 5 * SECOND
        run.close()
        _, _, row = run.rows(0)[-1]
        assert (row.count, row.quality, row.last, row.last_time) == (0, GOOD, 5.0, T0 + SECOND + TICK - age)


def test_a_sample_of_the_window_before_ends_a_loss_too() -> None:
    """It came after the loss, so the tag is known, though the window that it belongs to was over when the loss came."""
    run = Run()
    run.arrive([Sample(0, run.now, 4.0, GOOD)])
    run.now = T0 + SECOND + 2 * TICK
    run.mark({0})
    run.arrive([Sample(0, T0 + 9 * TICK, 5.0, GOOD)])
    run.now = T0 + 4 * SECOND
    run.close()
    assert [(row.count, row.quality, row.last) for _, _, row in run.rows(0)] == [(2, GOOD, 5.0), *[(0, GOOD, 5.0)] * 2]


def test_after_a_step_back_nothing_seems_to_come_from_the_future() -> None:
    """The value in force keeps its value; its time is no later than now."""
    run = Run()
    run.arrive([Sample(0, run.now, 4.0, GOOD)])
    run.now -= 3600 * SECOND
    run.flush()
    run.now += 2 * SECOND
    run.close()
    _, _, row = run.rows(0)[-1]
    assert (row.count, row.last, row.last_time) == (0, 4.0, run.now - 2 * SECOND)


def test_a_polled_value_with_an_old_source_time_is_in_force_and_neither_late_nor_stale() -> None:
    """A server that answers every poll with the time of the last change makes no supplements; the value stays good."""
    run = Run()
    for _ in range(60):
        run.now += 2 * TICK
        run.arrive([Sample(1, T0 - 3600 * SECOND, 7.0, GOOD), Sample(2, T0 - 3600 * SECOND, float("nan"), 0x1C)])
        run.close()
    assert {(late, row.count, row.quality, row.last) for _, late, row in run.rows(1)} == {(False, 0, GOOD, 7.0)}
    assert {(late, row.count, row.quality, row.last) for _, late, row in run.rows(2)} == {(False, 0, 0x1C, None)}


def test_a_value_that_nobody_confirms_goes_stale_and_comes_back() -> None:
    """A polled tag without samples is believed for the time given, then it is bad until the next sample."""
    run = Run()
    run.arrive([Sample(1, T0 + 2 * TICK, 7.0, GOOD)])
    run.now = T0 + 6 * SECOND
    run.close()
    run.arrive([Sample(1, run.now, 7.0, GOOD)])
    run.now = T0 + 8 * SECOND
    run.close()
    stale = Quality.BAD_STALE
    assert [row.quality for _, _, row in run.rows(1)] == [GOOD, GOOD, GOOD, stale, stale, stale, GOOD]
    assert [row.last for _, _, row in run.rows(1)][3] is None


def test_a_sample_stamped_ahead_of_the_clock_is_a_supplement() -> None:
    """It must never pass for the window of a time that has not been: only one block per window is not late."""
    run = Run()
    run.arrive([Sample(0, run.now + 3 * SECOND, 9.0, GOOD)])
    run.close()
    run.now = T0 + 6 * SECOND
    run.close()
    assert [(late, row.count) for start, late, row in run.rows(0) if start == T0 + 3 * SECOND] == [(True, 1), (False, 0)]


def test_a_flush_in_the_middle_of_a_window_leaves_the_rest_to_a_supplement() -> None:
    """After a small jump the same window goes on: its second block is late, so that nobody takes it for the whole."""
    run = Run()
    run.arrive([Sample(0, run.now, 1.0, GOOD)])
    run.now += 4 * TICK
    run.flush()
    run.arrive([Sample(0, run.now, 2.0, GOOD)])
    run.now = T0 + 2 * SECOND
    run.close()
    assert [(start, late, row.count) for start, late, row in run.rows(0)] == [(T0, False, 1), (T0, True, 1)]


def test_after_a_stall_the_window_in_progress_is_still_published_once() -> None:
    """Twenty seconds without a turn: windows with samples come out, those that are not over wait for their grace."""
    run = Run()
    run.arrive([Sample(0, run.now, 1.0, GOOD)])
    run.now = T0 + 20 * SECOND + 7 * TICK
    run.arrive([Sample(0, run.now - TICK, 2.0, GOOD)])
    run.close()
    run.arrive([Sample(0, run.now, 3.0, GOOD)])
    run.now = T0 + 22 * SECOND
    run.close()
    assert [(start, row.count) for start, _, row in run.rows(0) if row.count] == [(T0, 1), (T0 + 20 * SECOND, 2)]


def test_a_step_back_of_the_clock_never_parks_a_window() -> None:
    """An hour back: what was open is published at once and windows go on at the new time."""
    run = Run()
    run.arrive([Sample(0, run.now, 1.0, GOOD)])
    run.now -= 3600 * SECOND
    run.flush()
    run.arrive([Sample(0, run.now, 2.0, GOOD)])
    assert run.real.next_close_ns == T0 - 3600 * SECOND + SECOND + GRACE
    run.now += 2 * SECOND
    run.close()
    assert [(start - T0, late, row.last) for start, late, row in run.rows(0)] == [
        (0, False, 1.0),
        (-3600 * SECOND, False, 2.0),
    ]


def test_memory_does_not_grow_with_samples() -> None:
    """Waiting samples are folded at the limit, so a window of ten million samples holds no more than the limit."""
    windows = Windows(1, SECOND, GRACE, np.zeros(1, np.int64), T0)
    many = 1 << 17
    block = block_of([Sample(0, T0, 1.0, GOOD)] * 1)
    wide = type(block)(*(np.repeat(column, many) for column in (block.tag, block.time, block.value, block.quality)))
    for _ in range(5):
        windows.push(wide, T0)
        assert sum(len(b) for b in windows._waiting) < FOLD_AT
    (window,) = windows.close(T0 + 2 * SECOND)[:1]
    assert (window.count[0], window.mean[0], window.std[0]) == (5 * many, 1.0, 0.0)


@pytest.mark.parametrize("count", [600])
def test_history_comes_in_portions_and_all_of_it(count: int) -> None:
    """Of many late windows at most 500 come at once, in order; a flush brings the rest."""
    windows = Windows(1, SECOND, 0, np.zeros(1, np.int64), T0)
    windows.push(block_of([Sample(0, T0, 0.5, GOOD)]), T0)
    windows.close(T0 + SECOND)
    windows.push(block_of([Sample(0, T0 - n * SECOND, 1.0 + n, GOOD) for n in range(count, 0, -1)]), T0 + SECOND)
    late = [[b.start for b in windows.close(T0 + n * SECOND) if b.late] for n in (2, 3)]
    late.append([b.start for b in windows.flush(T0 + 4 * SECOND) if b.late])
    assert [len(part) for part in late] == [min(500, count - before) if before < count else 0 for before in (0, 500, 1000)]
    assert [start for part in late for start in part] == [T0 - n * SECOND for n in range(count, 0, -1)]


def test_what_a_device_remembers_counts_in_its_windows_whatever_holds_now() -> None:
    """Even the last of it, which of an unknown tag would else be taken for the value in force; and it is marked."""
    windows = Windows(2, SECOND, 0, np.zeros(2, np.int64), T0)
    windows.close(T0 + 10 * SECOND)
    windows.mark(np.array([0], np.uint32), int(Quality.BAD_NOT_CONNECTED), T0 + 10 * SECOND)
    samples = [Sample(0, T0 + n * SECOND, float(n), GOOD) for n in (3, 1, 2)] + [Sample(1, T0 + SECOND, 9.0, GOOD)]
    windows.push(replace(block_of(samples), history=True), T0 + 11 * SECOND)
    blocks = windows.close(T0 + 11 * SECOND)
    past = [(b.start - T0, b.tag.tolist(), b.last.tolist()) for b in blocks if b.past]
    assert past == [(SECOND, [0, 1], [1.0, 9.0]), (2 * SECOND, [0], [2.0]), (3 * SECOND, [0], [3.0])]
    (present,) = [b for b in blocks if not b.past]
    assert present.quality[0] == Quality.BAD_NOT_CONNECTED


def test_what_a_device_remembers_of_an_open_window_is_no_supplement() -> None:
    windows = Windows(1, SECOND, 0, np.zeros(1, np.int64), T0)
    windows.push(replace(block_of([Sample(0, T0 + TICK, 5.0, GOOD)]), history=True), T0 + 2 * TICK)
    (block,) = windows.close(T0 + SECOND)
    assert (block.count[0], block.last[0], block.late, block.past) == (1, 5.0, False, False)


def connected_late(*samples: Sample, since: int = 0) -> Run:
    """A tag that was unknown, and of which a slow device tells these at once when their windows are closed; one is open."""
    run = Run(now=T0 + since)
    run.now = T0 + 6 * SECOND + 8 * TICK
    run.close()
    run.arrive(list(samples))
    run.close()
    return run


def counted(run: Run) -> list[tuple[float, bool]]:
    """The last value of every window of tag 0 in which something counts, and whether it is late."""
    return [(row.last, late) for _, late, row in run.rows(0) if row.count]


def test_what_comes_behind_the_value_in_force_counts_even_if_it_is_replaced_at_once() -> None:
    """A slow server tells its first values late, and the next ones before the window is over: none goes untold."""
    first = [Sample(0, T0 + k * SECOND, float(k), GOOD) for k in (1, 2, 3)]
    run = connected_late(*first)
    run.now += TICK
    run.arrive([Sample(0, T0 + 4 * SECOND, 4.0, GOOD)])
    run.now += 2 * SECOND
    run.close()
    assert sorted(counted(run)) == [(1.0, True), (2.0, True), (3.0, True), (4.0, True)]
    assert run.rows(0)[-1][2].last == 4.0


def test_a_value_in_force_that_is_replaced_before_it_was_told_counts_after_all() -> None:
    run = connected_late(Sample(0, T0 + 3 * SECOND, 1.0, GOOD))
    run.arrive([Sample(0, run.now, 2.0, GOOD)])
    run.now += 3 * SECOND
    run.close()
    assert sorted(counted(run)) == [(1.0, True), (2.0, False)]


def test_so_does_one_whose_device_is_lost_before_it_was_told() -> None:
    run = connected_late(Sample(0, T0 + 3 * SECOND, 1.0, GOOD))
    run.mark({0})
    run.arrive([Sample(0, T0 + 4 * SECOND, 2.0, GOOD)])
    run.now += 3 * SECOND
    run.close()
    assert counted(run) == [(1.0, True)]
    assert any(row.last == 2.0 and not row.count for _, _, row in run.rows(0))


def test_and_at_a_stop() -> None:
    run = connected_late(Sample(0, T0 + 3 * SECOND, 1.0, GOOD))
    run.flush()
    assert counted(run) == [(1.0, True)]


def test_one_that_was_told_or_is_older_than_the_gateway_does_not_count() -> None:
    """An earlier run of the gateway may have counted it."""
    told = connected_late(Sample(0, T0 + 3 * SECOND, 1.0, GOOD))
    told.now += 3 * SECOND
    told.close()
    told.arrive([Sample(0, told.now, 2.0, GOOD)])
    older = connected_late(Sample(0, T0 + 3 * SECOND, 1.0, GOOD), since=4 * SECOND)
    older.arrive([Sample(0, older.now, 2.0, GOOD)])
    for run in (told, older):
        run.now += 3 * SECOND
        run.close()
        assert counted(run) == [(2.0, False)]
