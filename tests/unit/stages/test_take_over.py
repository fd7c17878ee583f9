"""Another tag table takes the place of the one that runs: what stays goes on as if nothing had been."""

from dataclasses import replace

import numpy as np

from gateway.core.quality import Quality
from gateway.core.tag_move import TagMove
from gateway.core.tags import Tag, TagTable
from gateway.plugins import DETECTORS
from gateway.stages.config import DetectionConfig, PublishConfig, TagPolicy, WindowConfig
from gateway.stages.stage_chain import REMOVED, ClosedWindows, StageChain
from tests.support.blocks import GOOD, SECOND, block_of
from tests.support.oracle import Sample, rows_of

M0 = 1_700_000_040 * SECOND
BEFORE = TagTable(("a", "b"), (Tag(0, 0, "x"), Tag(1, 1, "y"), Tag(2, 1, "z")))
AFTER = TagTable(("b", "a", "c"), (Tag(0, 0, "y"), Tag(1, 0, "z"), Tag(2, 1, "x"), Tag(3, 1, "w"), Tag(4, 2, "v")))
POLICY = {"hi": 100, "off_delay": "0s", "anomaly": 5}


def chain(table: TagTable) -> StageChain:
    policies = [TagPolicy(**POLICY)] * len(table)
    detection = DetectionConfig(warmup="5s", memory="10s")
    return StageChain.build(table, policies, WindowConfig(), detection, PublishConfig(), M0, DETECTORS)


def move(alike: tuple[tuple[int, int], ...] = ()) -> TagMove:
    """Device a is changed, b stays and stands elsewhere, c is new."""
    return TagMove.between(BEFORE, AFTER, {"b"}, alike)


def push(stages: StageChain, at: float, *values: tuple[int, float]) -> list:
    now = M0 + round(at * SECOND)
    return stages.push(block_of([Sample(tag, now, value, GOOD) for tag, value in values]), now)


def rows(closed: ClosedWindows, tag: int) -> list[tuple[int, bool, int, float]]:
    """Second, late, count and mean of each window of a tag."""
    return [
        ((window.start - M0) // SECOND, window.late, int(window.count[at]), float(window.mean[at]))
        for window in closed.windows
        for at in np.flatnonzero(window.tag == tag)
    ]


def swap(before: StageChain, at: float, way: TagMove) -> tuple[ClosedWindows, StageChain]:
    now, after = M0 + round(at * SECOND), chain(AFTER)
    closed = before.retire(way.gone, way, after, now)
    after.take_over(before, way, now)
    return closed, after


def test_the_way_names_what_stays_what_ends_and_what_begins() -> None:
    way = move()
    assert (way.old.tolist(), way.new.tolist(), way.gone.tolist()) == ([1, 2], [0, 1], [0])
    assert (way.young.tolist(), dict(way.devices)) == ([False, False, True, True, False], {1: 0})


def test_a_device_that_stays_keeps_its_window() -> None:
    """Samples before and after in one window, published once; so is the window of one that was never there before."""
    before = chain(BEFORE)
    push(before, 0.1, (0, 1.0), (1, 10.0))
    _, after = swap(before, 0.4, move())
    push(after, 0.6, (0, 20.0), (4, 7.0))
    closed = after.close(M0 + SECOND + SECOND // 2)
    assert rows(closed, 0) == [(0, False, 2, 15.0)]
    assert rows(closed, 4) == [(0, False, 1, 7.0)]


def test_a_changed_device_is_closed_and_begins_anew() -> None:
    """What was before is published at once; the rest of the window is a supplement, the next window a whole one."""
    before = chain(BEFORE)
    push(before, 0.1, (0, 1.0), (1, 10.0))
    closed, after = swap(before, 0.4, move())
    assert [(w.late, w.tag.tolist(), w.mean.tolist()) for w in closed.windows] == [(False, [0], [1.0])]
    push(after, 0.6, (2, 3.0))
    assert rows(after.close(M0 + SECOND + SECOND // 2), 2) == [(0, True, 1, 3.0)]
    push(after, 1.6, (2, 4.0))
    assert rows(after.close(M0 + 2 * SECOND + SECOND // 2), 2) == [(1, False, 1, 4.0)]


def test_summaries_are_cut_in_the_same_way() -> None:
    before = chain(BEFORE)
    push(before, 0.1, (0, 1.0), (1, 10.0))
    before.close(M0 + SECOND + SECOND // 2)
    closed, after = swap(before, 1.6, move())
    assert [(s.late, s.tag.tolist()) for s in closed.summaries] == [(False, [0])]
    push(after, 2.1, (0, 20.0), (2, 3.0))
    found = [s for n in range(2, 62) for s in after.close(M0 + n * SECOND + SECOND // 2).summaries]
    first = [s for s in found if s.start == M0]
    assert [(s.late, s.tag.tolist()) for s in first] == [(False, [0, 1, 4]), (True, [2])]
    assert rows_of(first[0])[0].count == 2


def test_an_alarm_of_a_tag_that_means_the_same_stays_active() -> None:
    before = chain(BEFORE)
    assert len(push(before, 0.1, (0, 150.0), (1, 150.0))) == 2
    closed, after = swap(before, 0.4, move(alike=((0, 2),)))
    assert closed.events == []
    assert not push(after, 0.6, (0, 151.0), (2, 151.0))
    assert [event.state for event in push(after, 0.7, (0, 1.0), (2, 1.0))] == ["cleared", "cleared"]


def test_an_active_alarm_of_a_changed_tag_is_evaluated_again() -> None:
    before = chain(BEFORE)
    push(before, 0.1, (0, 150.0), (1, 150.0))
    closed, after = swap(before, 0.4, move())
    assert closed.events == []
    assert not push(after, 0.6, (2, 151.0))
    assert [event.state for event in push(after, 0.7, (2, 1.0))] == ["cleared"]


def test_an_active_alarm_that_is_no_more_ends_with_its_reason() -> None:
    before, now = chain(BEFORE), M0 + SECOND // 2
    push(before, 0.1, (0, 150.0), (1, 150.0))
    policies = [TagPolicy(**POLICY)] * 2 + [TagPolicy(alarms=[{"hi": 90, "name": "high"}])] * 3
    after = StageChain.build(AFTER, policies, WindowConfig(), DetectionConfig(), PublishConfig(), M0, DETECTORS)
    (event,) = before.retire(move().gone, move(), after, now).events
    assert (event.tag, event.state, event.condition, event.reason) == (0, "cleared", "hi", "removed")
    after.take_over(before, move(), now)
    assert [event.condition for event in push(after, 0.6, (2, 151.0))] == ["high"]


def test_detectors_go_on_and_nothing_is_sent_twice() -> None:
    """A constant value that was sent is not sent again, and the detector knows its past."""
    before = chain(BEFORE)
    for second in range(8):
        push(before, second + 0.1, (0, 1.0), (1, 10.0))
        before.close(M0 + (second + 1) * SECOND + SECOND // 2)
    _, after = swap(before, 8.6, move())
    push(after, 9.1, (0, 10.0))
    assert rows(after.close(M0 + 10 * SECOND + SECOND // 2), 0) == []
    push(after, 10.1, (0, 90.0))
    (event,) = after.close(M0 + 11 * SECOND + SECOND // 2).events
    assert (event.tag, event.detector, event.expected) == (0, "ewma", 10.0)


def test_values_in_force_go_on_and_new_tags_are_unknown() -> None:
    before = chain(BEFORE)
    push(before, 0.1, (1, 10.0), (0, 1.0))
    before.close(M0 + SECOND + SECOND // 2)
    _, after = swap(before, 1.6, move())
    (window,) = after.windows.close(M0 + 2 * SECOND + SECOND // 2)
    assert window.last[0] == 10.0
    assert window.quality[2] == window.quality[4] == Quality.BAD_WAITING


def test_a_supplement_that_waits_is_published_with_the_right_tag() -> None:
    before = chain(BEFORE)
    before.close(M0 + 2 * SECOND + SECOND // 2)
    now = M0 + 3 * SECOND
    past = [Sample(1, M0 + SECOND // 2, 5.0, GOOD), Sample(0, M0 + SECOND // 2, 6.0, GOOD)]
    before.push(replace(block_of(past), history=True), now)
    closed, after = swap(before, 3.1, move())
    assert [(w.late, w.tag.tolist()) for w in closed.windows] == [(True, [0])]
    late = [w for w in after.close(M0 + 4 * SECOND + SECOND // 2).windows if w.late]
    assert [(w.tag.tolist(), w.mean.tolist()) for w in late] == [([0], [5.0])]


def test_an_anomaly_of_a_tag_that_is_no_more_ends() -> None:
    """That of a tag that stays goes on, and ends later as ever."""
    before = chain(BEFORE)
    for second in range(13):
        push(before, second + 0.1, *((tag, 1000.0 if second == 12 else 10.0 + second % 3) for tag in (0, 1)))
        found = before.close(M0 + (second + 1) * SECOND + SECOND // 2).events
    assert [(event.tag, event.state) for event in found if event.kind == "anomaly"] == [(0, "active"), (1, "active")]
    closed, after = swap(before, 13.6, move())
    ended = [event for event in closed.events if event.kind == "anomaly"]
    assert [(event.tag, event.state, event.reason) for event in ended] == [(0, "cleared", REMOVED)]
    closed, _ = swap_back(after, 13.7)
    assert [(event.tag, event.state) for event in closed.events if event.kind == "anomaly"] == [(0, "cleared")]


def swap_back(after: StageChain, at: float) -> tuple[ClosedWindows, StageChain]:
    """Everything is removed."""
    way, now = TagMove.between(AFTER, TagTable((), ()), set()), M0 + round(at * SECOND)
    nothing = StageChain.build(TagTable((), ()), [], WindowConfig(), DetectionConfig(), PublishConfig(), M0, DETECTORS)
    return after.retire(way.gone, way, nothing, now), after


def test_columns_of_tags_that_keep_their_places_are_reused() -> None:
    """Nothing is copied; what was handed on to others stays as it is."""
    way = TagMove.between(BEFORE, BEFORE, {"b"})
    assert way.is_in_place
    column, handed_on = np.arange(3.0), np.arange(3.0)
    handed_on.flags.writeable = False
    assert way.moved(column, -1.0) is column
    assert way.moved(handed_on, -1.0).tolist() == column.tolist() == [-1.0, 1.0, 2.0]
    assert handed_on.tolist() == [0.0, 1.0, 2.0]
    assert move().moved(np.arange(3.0), -1.0).tolist() == [1.0, 2.0, -1.0, -1.0, -1.0]


def test_a_detector_whose_tags_all_mean_the_same_goes_on_itself() -> None:
    """What it has learnt is not copied; where a tag is no more, it is, for the others."""
    for alike, is_kept in ((((0, 0),), True), ((), False)):
        before, after = chain(BEFORE), chain(BEFORE)
        after.take_over(before, TagMove.between(BEFORE, BEFORE, {"b"}, alike), M0)
        own, was = after.anomalies.detectors, before.anomalies.detectors
        assert all((own[name] is was[name]) == is_kept for name in was)
