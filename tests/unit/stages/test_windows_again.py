"""What holds after all, although a connection was lost: it counts nowhere and makes its tag known again."""

from dataclasses import replace

import numpy as np
import pytest

from gateway.core.blocks import SampleBlock, WindowBlock
from gateway.core.quality import Quality
from gateway.stages.windows import Windows
from tests.support.blocks import GOOD, SECOND, T0, TICK, block_of
from tests.support.oracle import Sample

GRACE = SECOND // 2
LOST = int(Quality.BAD_NOT_CONNECTED)


def windows() -> Windows:
    return Windows(2, SECOND, GRACE, np.zeros(2, np.int64), T0)


def again(*samples: Sample) -> SampleBlock:
    return replace(block_of(samples), repeated=True)


def rows(blocks: list[WindowBlock], tag: int = 0) -> list[tuple[int, int, float, int]]:
    found = []
    for block in blocks:
        for place in np.flatnonzero(block.tag == tag).tolist():
            columns = (block.start - T0) // SECOND, block.count[place], block.last[place], block.quality[place]
            found.append(tuple(one if isinstance(one, float) else int(one) for one in columns))
    return found


@pytest.mark.parametrize("lost_at", [5, 12, 18])
def test_a_value_that_holds_after_all_is_known_again(lost_at):
    """Whether it was lost in the sample's own window or in a later one, and said again while that is open or not."""
    for back_at in (lost_at + 1, lost_at + 8, lost_at + 25):
        stage = windows()
        sample = Sample(0, T0 + 2 * TICK, 5.0, GOOD)
        stage.push(block_of([sample]), T0 + 3 * TICK)
        blocks = []
        for tick in range(4, 60):
            now = T0 + tick * TICK
            if tick == lost_at:
                stage.mark(np.array([0], np.uint32), LOST, now)
            if tick == back_at:
                stage.push(again(sample), now)
            blocks += stage.close(now)
        told = rows(blocks)
        assert sum(count for _, count, _, _ in told) == 1, (lost_at, back_at)
        assert told[-1][1:] == (0, 5.0, GOOD), (lost_at, back_at)
        assert rows(blocks, 1)[-1][3] == Quality.BAD_WAITING


def test_without_it_the_tag_stays_unknown():
    stage = windows()
    stage.push(block_of([Sample(0, T0 + TICK, 5.0, GOOD)]), T0 + 2 * TICK)
    stage.mark(np.array([0], np.uint32), LOST, T0 + 3 * TICK)
    assert rows(stage.close(T0 + 5 * SECOND))[-1][3] == LOST


def test_what_was_sampled_since_stands():
    stage = windows()
    first, second = Sample(0, T0 + TICK, 5.0, GOOD), Sample(0, T0 + 4 * TICK, 6.0, GOOD)
    stage.push(block_of([first]), T0 + 2 * TICK)
    stage.mark(np.array([0], np.uint32), LOST, T0 + 3 * TICK)
    stage.push(block_of([second]), T0 + 5 * TICK)
    stage.push(again(first), T0 + 6 * TICK)
    assert rows(stage.close(T0 + 3 * SECOND))[0][1:3] == (2, 6.0)


def test_a_bad_sample_that_holds_is_bad_for_its_own_reason():
    stage = windows()
    bad = Sample(0, T0 + TICK, float("nan"), int(Quality.BAD_SENSOR_FAILURE))
    stage.push(block_of([bad]), T0 + 2 * TICK)
    stage.mark(np.array([0], np.uint32), LOST, T0 + 3 * TICK)
    stage.push(again(bad), T0 + 4 * TICK)
    told = rows(stage.close(T0 + 3 * SECOND))
    assert (told[0][1], told[-1][3]) == (1, Quality.BAD_SENSOR_FAILURE)


def test_after_it_a_late_sample_counts_in_its_window():
    """A subscription that was taken over hands on what came while it was away; only a new one begins with what holds."""
    for known in (False, True):
        stage = windows()
        first, late = Sample(0, T0 + 2 * TICK, 5.0, GOOD), Sample(0, T0 + 9 * TICK, 6.0, GOOD)
        stage.push(block_of([first]), T0 + 3 * TICK)
        stage.mark(np.array([0], np.uint32), LOST, T0 + 8 * TICK)
        blocks = stage.close(T0 + 30 * TICK)
        if known:
            stage.push(again(first), T0 + 30 * TICK)
        stage.push(block_of([late]), T0 + 30 * TICK)
        blocks += stage.close(T0 + 60 * TICK)
        told = rows(blocks)
        assert sum(count for _, count, _, _ in told) == 1 + known
        assert told[-1][2:] == (6.0, GOOD)


def test_a_poll_that_says_the_same_keeps_a_value_believed_and_counts_nothing():
    stage = Windows(1, SECOND, GRACE, np.full(1, 3 * SECOND, np.int64), T0)
    sample = Sample(0, T0 + TICK, 5.0, GOOD)
    stage.push(block_of([sample]), T0 + 2 * TICK)
    blocks = []
    for tick in range(3, 200):
        stage.push(again(sample), T0 + tick * TICK)
        blocks += stage.close(T0 + tick * TICK)
    told = rows(blocks)
    assert sum(count for _, count, _, _ in told) == 1
    assert {quality for _, _, _, quality in told} == {GOOD}
