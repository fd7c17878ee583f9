"""The stages together, as a configuration builds them."""

from dataclasses import replace

import numpy as np
import pytest

from gateway.core.quality import Quality
from gateway.core.tags import Tag, TagTable
from gateway.plugins import DETECTORS
from gateway.stages.config import DetectionConfig, PublishConfig, TagPolicy, WindowConfig
from gateway.stages.stage_chain import ClosedWindows, StageChain
from tests.support.blocks import GOOD, SECOND, block_of, table
from tests.support.oracle import Sample, rows_of

M0 = 1_700_000_040 * SECOND


def chain(*policies: dict[str, object], tags: TagTable | None = None, **publish: object) -> StageChain:
    return StageChain.build(
        tags or table(len(policies)),
        [TagPolicy(**policy) for policy in policies],
        WindowConfig(),
        DetectionConfig(warmup="5s", memory="10s"),
        PublishConfig(**publish),
        M0,
        DETECTORS,
    )


def run(stages: StageChain, values: list[float | None], start: int = M0) -> list[ClosedWindows]:
    """One sample of tag 0 in each second (none where the value is None), each window closed as it becomes due."""
    found = []
    for second, value in enumerate(values):
        now = start + second * SECOND
        if value is not None:
            stages.push(block_of([Sample(0, now, value, GOOD)]), now)
        found.append(stages.close(now + SECOND + SECOND // 2))
    return found


def test_an_unchanged_value_is_sent_once_and_again_after_max_silence() -> None:
    """Defaults of report by exception: no deadband, sixty seconds of silence."""
    sent = [len(closed.windows) for closed in run(chain({}), [5.0] * 62)]
    assert [second for second, blocks in enumerate(sent) if blocks] == [0, 60]


def test_every_window_is_sent_when_asked_for() -> None:
    """`windows: all`; and `summaries: false` sends no summaries."""
    found = run(chain({}, windows="all", summaries=False), [5.0] * 62)
    assert all(len(closed.windows) == 1 and not closed.summaries for closed in found)


def test_summaries_are_always_sent_and_hold_what_was_filtered() -> None:
    """A value within its deadband is in the summary, though no window told it."""
    (summary,) = [s for closed in run(chain({"deadband": 10}), [*([5.0] * 59), 6.0]) for s in closed.summaries]
    row = rows_of(summary)[0]
    assert (summary.start, summary.length, row.count, row.max, row.last) == (M0, 60 * SECOND, 60, 6.0, 6.0)


@pytest.mark.parametrize(("hysteresis", "edge"), [("1%", 98.5), (2, 98.0), ("0", 100.0)])
def test_hysteresis_is_in_units_or_percent_of_the_range(hysteresis: object, edge: float) -> None:
    """Limit 100, range 0 to 150: an alarm holds down to its edge and clears beyond it."""
    tags = TagTable(("device0",), (Tag(0, 0, "tag0", range=(0.0, 150.0)),))
    stages = chain({"hi": 100, "hysteresis": hysteresis, "off_delay": "0s"}, tags=tags)
    found = [stages.push(block_of([Sample(0, M0, value, GOOD)]), M0) for value in (100.0, edge, edge - 0.001)]
    assert [[e.state for e in events] for events in found] == [["active"], [], ["cleared"]]


def test_an_anomaly_and_its_end_are_events() -> None:
    """The detector judges each window once it closes, before anything is filtered."""
    found = run(chain({"anomaly": 5, "deadband": 1000}), [*([20.0] * 10), 90.0, 20.0])
    events = [(second, e.kind, e.state) for second, closed in enumerate(found) for e in closed.events]
    assert events == [(10, "anomaly", "active"), (11, "anomaly", "cleared")]


def test_supplements_never_reach_the_detector_or_the_filter() -> None:
    """A sample stamped ahead, and a late one, of one tag of two: published as they are, nothing breaks."""
    stages = chain({"anomaly": 5}, {"anomaly": 5, "deadband": 1000})
    run(stages, [1.0] * 3)
    now = M0 + 3 * SECOND
    ahead, late = Sample(1, now + 5 * SECOND, 7.0, GOOD), Sample(0, M0, 8.0, GOOD)
    stages.push(block_of([Sample(1, now, 7.0, GOOD), ahead, late]), now)
    blocks = [(b.start, b.late, b.tag.tolist()) for b in stages.close(now + 3 * SECOND // 2).windows]
    assert blocks == [(now, False, [1]), (M0, True, [0]), (now + 5 * SECOND, True, [1])]


def test_a_polled_tag_goes_stale_after_three_missed_polls() -> None:
    """Polled every 2 s and silent: believed for 6 s and the grace. A tag whose device decides is believed for ever."""
    for interval, stale_from in ((2 * SECOND, 6), (0, None), (SECOND // 10, 3)):
        stages = chain({"max_silence": "1s"}, tags=table(1, interval_ns=interval))
        found = run(stages, [5.0, *[None] * 12])
        bad = [s for s, closed in enumerate(found) if rows_of(closed.windows[0])[0].quality == Quality.BAD_STALE]
        assert bad == ([] if stale_from is None else list(range(stale_from, 13)))


def test_a_flush_publishes_window_and_summary_in_progress() -> None:
    """At a stop nothing that was read stays behind."""
    stages = chain({}, {})
    stages.push(block_of([Sample(0, M0, 5.0, GOOD)]), M0)
    closed = stages.flush(M0 + 3)
    assert [rows_of(b)[0].count for b in closed.windows + closed.summaries] == [1, 1]
    again = stages.flush(M0 + 4)
    assert not again.windows
    assert not again.summaries


def test_a_configuration_without_tags_has_nothing_to_say() -> None:
    """The stages exist even for no tags at all."""
    stages = chain()
    closed = stages.close(M0 + 10 * SECOND)
    assert (closed.windows, closed.events) == ([], [])


def test_marked_tags_are_told_as_bad_with_the_next_window() -> None:
    """A device that is down changes the quality of its tags, and that passes the filter at once."""
    stages = chain({"deadband": 1000, "max_silence": "1h"}, {"deadband": 1000, "max_silence": "1h"})
    run(stages, [5.0] * 3)
    stages.mark(np.array([0], np.uint32), Quality.BAD_NOT_CONNECTED, M0 + 3 * SECOND)
    (block,) = stages.close(M0 + 5 * SECOND).windows
    row = rows_of(block)[0]
    assert (block.tag.tolist(), row.count, row.good, row.quality, row.last) == ([0], 0, 0, Quality.BAD_NOT_CONNECTED, None)


def test_the_past_fills_its_windows_and_raises_no_alarm() -> None:
    """Samples of a device's own history: an alarm is about what holds now."""
    stages = chain({"hi": 10.0}, windows="all")
    run(stages, [5.0] * 20)
    now = M0 + 20 * SECOND
    assert not stages.push(replace(block_of([Sample(0, M0 + SECOND // 4, 50.0, GOOD)]), history=True), now)
    windows = stages.close(now + 2 * SECOND).windows
    assert [(window.late, window.start, window.max.tolist()) for window in windows if window.late] == [(True, M0, [50.0])]
    assert not stages.push(block_of([Sample(0, now + 2 * SECOND, 5.0, GOOD)]), now + 2 * SECOND)
    assert [event.state for event in stages.push(block_of([Sample(0, now, 11.0, GOOD)]), now)] == ["active"]
