"""`window.late: replace`: what comes late is the whole window again, and who overwrites has all samples."""

from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.blocks import WindowBlock
from gateway.core.quality import USABLE_FROM, Quality
from gateway.core.tag_move import TagMove
from gateway.core.tags import TagTable
from gateway.encoding.encoder import Encoder
from gateway.encoding.topics import Topics
from gateway.plugins import DETECTORS
from gateway.stages.config import DetectionConfig, PublishConfig, TagPolicy, WindowConfig
from gateway.stages.kept_spans import KeptSpans
from gateway.stages.stage_chain import ClosedWindows, StageChain
from tests.support.blocks import GOOD, QUALITIES, SECOND, TICK, block_of, table
from tests.support.oracle import Sample, WindowOracle, differences, rows_of
from tests.support.replacing import OverwritingConsumer, whole_windows

M0 = 1_700_000_040 * SECOND
TAGS = 4
TABLE = table(TAGS, devices=2)
DEVICES = [tag.device for tag in TABLE.tags]


def chain(tags: TagTable = TABLE, late: str = "replace", late_keep: str = "5min", **publish: object) -> StageChain:
    return StageChain.build(
        tags,
        [TagPolicy()] * len(tags),
        WindowConfig(late=late, late_keep=late_keep),
        DetectionConfig(),
        PublishConfig(**publish),
        M0,
        DETECTORS,
    )


class Line:
    """The stages, and a consumer of windows and one of summaries."""

    def __init__(self, **settings: object) -> None:
        self.stages, self.now = chain(**settings), M0
        self.windows, self.summaries = OverwritingConsumer(), OverwritingConsumer()
        self.sent: list[WindowBlock] = []
        self.minutes: list[WindowBlock] = []

    def read(self, *samples: Sample) -> None:
        self.stages.push(block_of(samples), self.now)

    def publish(self, closed: ClosedWindows) -> None:
        for block in closed.windows:
            self.sent.append(block)
            self.windows.take(block, DEVICES)
        for block in closed.summaries:
            self.minutes.append(block)
            self.summaries.take(block, DEVICES)

    def close(self, seconds: float = 0) -> None:
        self.now += int(seconds * SECOND)
        self.publish(self.stages.close(self.now))

    def flush(self, seconds: float = 0) -> None:
        self.now += int(seconds * SECOND)
        self.publish(self.stages.flush(self.now))


steps = st.lists(
    st.tuples(
        st.integers(0, 30),
        st.lists(st.tuples(st.integers(0, TAGS - 1), st.integers(0, 300), QUALITIES), max_size=8),
        st.sampled_from(["close", "close", "close", "flush"]),
    ),
    max_size=14,
)


@given(steps, st.sampled_from(["2s", "10s", "5min"]))
def test_who_overwrites_has_the_statistics_of_all_samples(script: list, keep: str) -> None:
    """Late, bad, of two devices, flushed: kept windows are replaced, others supplemented, and nothing counts twice."""
    line, values = Line(late_keep=keep, windows="all"), count(1)
    oracle = WindowOracle(TAGS, SECOND, SECOND // 2, [0] * TAGS, M0)
    arrived = [Sample(tag, M0, 0.25, GOOD) for tag in range(TAGS)]
    line.read(*arrived)
    oracle.add(arrived, M0)
    for ticks, samples, how in script:
        line.now += ticks * TICK
        new = [
            Sample(tag, max(M0 + 1, line.now - lag * TICK), float("nan") if q < USABLE_FROM else next(values) / 7, q)
            for tag, lag, q in samples
        ]
        line.read(*new)
        oracle.add(new, line.now)
        arrived += new
        line.close() if how == "close" else line.flush()
        oracle.close(line.now) if how == "close" else oracle.flush(line.now)
    line.close(3)
    oracle.close(line.now)
    only_in_force = {id(sample) for sample in oracle.untold}
    for (start, tag), expected in whole_windows((s for s in arrived if id(s) not in only_in_force), SECOND).items():
        is_whole = len(line.windows.rows[start, tag]) == 1
        exact = ("count", "good", "used", "min", "max", *(("first", "last", "last_time", "quality") if is_whole else ()))
        assert not differences(line.windows.total(start, tag), expected, exact), (start - M0) / SECOND


@given(steps)
def test_replacing_a_whole_message_loses_no_tag(script: list) -> None:
    """Whoever overwrites by (topic, ts) and knows nothing of tags has at last each row that was published of them."""
    line, values = Line(), count(1)
    line.read(*(Sample(tag, M0, 0.25, GOOD) for tag in range(TAGS)))
    for ticks, samples, how in script:
        line.now += ticks * TICK
        line.read(*(Sample(tag, max(M0 + 1, line.now - lag * TICK), next(values) / 7, GOOD) for tag, lag, _ in samples))
        line.close() if how == "close" else line.flush()
    line.close(3)
    for (start, tag), rows in line.windows.rows.items():
        if (start, DEVICES[tag]) not in line.windows.supplemented:
            assert line.windows.messages[start, DEVICES[tag]][tag] == rows[-1]


def late_second(line: Line, value: float = 9.0) -> WindowBlock:
    """Tags 0, 1 and 2 have a sample in each of three seconds; then tag 0 has one more in the first of them."""
    for second in range(3):
        line.read(*(Sample(tag, M0 + second * SECOND, second + tag / 4, GOOD) for tag in (0, 1, 2)))
        line.close(1)
    line.close(0.5)
    line.read(Sample(0, M0 + SECOND // 2, value, GOOD))
    line.close()
    return line.sent[-1]


def test_the_whole_window_of_the_device_comes_again() -> None:
    """Both tags of the device, over all samples, with the same start; nothing of the other device."""
    whole = late_second(Line())
    rows = rows_of(whole)
    assert (whole.start, whole.length, whole.late, whole.replaces) == (M0, SECOND, True, True)
    assert {tag: (row.count, row.first, row.last, row.mean) for tag, row in rows.items()} == {
        0: (2, 0.0, 9.0, 4.5),
        1: (1, 0.25, 0.25, 0.25),
    }


def test_merge_is_the_default() -> None:
    """Without the switch a supplement holds the late sample alone."""
    assert WindowConfig().late == "merge"
    late = late_second(Line(late="merge"))
    assert (late.late, late.replaces, {tag: row.count for tag, row in rows_of(late).items()}) == (True, False, {0: 1})


def test_what_is_no_longer_kept_is_a_supplement() -> None:
    """The time is over, or more rows than the ceiling would be needed."""
    line = Line(late_keep="1s")
    late_second(line)
    assert [(block.late, block.replaces) for block in line.sent if block.late] == [(True, False)]
    kept = KeptSpans(TABLE, 300 * SECOND, most_rows=2 * TAGS)
    line = Line()
    line.stages.kept_windows = line.stages.windows._kept = kept
    late_second(line)
    assert not line.sent[-1].replaces
    assert len(kept._spans) == 2


def test_a_value_in_force_is_in_the_whole_window_too() -> None:
    """A row that says what still holds, with its own time, comes again as it was."""
    line = Line()
    line.read(Sample(0, M0, 1.0, GOOD), Sample(1, M0, 2.0, GOOD))
    for _ in range(61):
        line.close(1)
    line.close(0.5)
    held = next(b for b in line.sent if b.start == M0 + 60 * SECOND)
    line.read(Sample(0, M0 + 60 * SECOND + 3, 7.0, GOOD))
    line.close()
    before, after = rows_of(held), rows_of(line.sent[-1])
    assert (before[1].count, before[1].last, before[1].last_time) == (0, 2.0, M0)
    assert after[1] == before[1]
    assert (after[0].count, after[0].last) == (1, 7.0)


def test_a_gap_stays_a_gap() -> None:
    """The device was away for a part of the window: all good samples, late ones too, are partial."""
    line = Line()
    line.read(Sample(0, M0, 1.0, GOOD))
    line.stages.mark(np.array([0], np.uint32), Quality.BAD_NOT_CONNECTED, M0)
    line.close(2)
    line.read(Sample(0, M0 + 2 * SECOND, 3.0, GOOD))
    line.close(2)
    line.read(Sample(0, M0 + 5, 2.0, GOOD))
    line.close()
    (row,) = [rows_of(block)[0] for block in line.sent if block.replaces and block.start == M0]
    assert (row.count, row.quality) == (2, Quality.UNCERTAIN_PARTIAL)


def test_summaries_are_replaced_as_well() -> None:
    """The minute comes again over all windows, the late one too."""
    line = Line()
    for second in range(61):
        line.read(*(Sample(tag, M0 + second * SECOND, float(second), GOOD) for tag in (0, 1)))
        line.close(1)
    line.close(1)
    assert [block.replaces for block in line.minutes] == [False]
    line.read(Sample(0, M0 + 10 * SECOND + 5, 100.0, GOOD))
    line.close()
    whole = line.minutes[-1]
    assert (whole.start, whole.length, whole.replaces, len(line.minutes)) == (M0, 60 * SECOND, True, 2)
    rows = rows_of(whole)
    assert [(rows[tag].count, rows[tag].max) for tag in (0, 1)] == [(61, 100.0), (60, 59.0)]
    assert rows[0].mean == pytest.approx((sum(range(60)) + 100) / 61)


def test_a_clock_that_is_set_back_replaces_what_it_says_again() -> None:
    """The same second passes twice: the second window of this start is over the samples of both."""
    line = Line(windows="all")
    for second in range(20):
        line.read(Sample(0, M0 + second * SECOND, float(second), GOOD))
        line.close(1)
    line.close(1)
    line.flush(-20)
    line.now = M0 + SECOND
    line.read(Sample(0, M0 + SECOND + 1, 50.0, GOOD))
    line.close(3)
    row = line.windows.total(M0 + SECOND, 0)
    assert (row.count, row.max) == (2, 50.0)


def test_tags_that_stay_are_replaced_after_another_table_took_over() -> None:
    """Of the device that changed there is a supplement: what was sent before is not known under its new tags."""
    before, line = Line(), Line()
    late_second(before)
    move = TagMove.between(TABLE, TABLE, {"device0"})
    line.now = before.now
    line.stages.take_over(before.stages, move, before.now)
    line.read(Sample(1, M0 + SECOND // 4, 4.0, GOOD))
    line.close()
    assert {tag: row.count for tag, row in rows_of(line.sent[-1]).items()} == {0: 2, 1: 2}
    assert line.sent[-1].replaces
    line.read(Sample(2, M0 + 2, 4.0, GOOD), Sample(2, M0 + 3 * SECOND, 5.0, GOOD))
    line.close(3)
    assert [block.replaces for block in line.sent if block.start == M0 and 2 in block.tag.tolist()] == [False]


def test_its_message_says_so() -> None:
    """`late` and `replaces` stand in the head; a supplement has `late` alone."""
    encoder = Encoder(Topics.of("plant", "gw", TABLE.devices), TABLE, "019a3c5d2f10a1b")
    (whole,) = encoder.windows(late_second(Line()))
    (late,) = encoder.windows(late_second(Line(late="merge")))
    assert b'"hist":false,"late":true,"replaces":true,"tags"' in whole.payload
    assert b'"hist":false,"late":true,"tags"' in late.payload


def test_the_window_in_which_a_device_changed_is_supplemented() -> None:
    """Under its new tags the first half of that second is not known, so nothing may overwrite it."""
    before, line = Line(), Line()
    before.read(Sample(2, M0 + 1, 1.0, GOOD))
    move = TagMove.between(TABLE, TABLE, {"device0"})
    line.now = M0 + SECOND // 2
    line.stages.take_over(before.stages, move, line.now)
    line.read(Sample(0, line.now, 3.0, GOOD), Sample(2, line.now, 3.0, GOOD))
    line.close(1.5)
    line.read(Sample(0, M0 + 7, 4.0, GOOD), Sample(2, M0 + 7, 4.0, GOOD))
    line.close()
    assert not any(block.replaces for block in line.sent)
    assert sum(rows_of(block)[2].count for block in line.sent if block.start == M0 and 2 in block.tag.tolist()) == 2
