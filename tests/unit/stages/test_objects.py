"""Values that are no numbers: told when they change, and never altered."""

from typing import Any

import numpy as np
import pytest

from gateway.core.blocks import ObjectBlock
from gateway.core.quality import Quality
from gateway.stages.objects import Objects
from tests.support.blocks import GOOD, SECOND, T0

SILENCE = 60 * SECOND


def rows(*given: tuple[int, Any] | tuple[int, Any, int]) -> ObjectBlock:
    """(tag, value[, quality]) read one second after another from T0."""
    full = [(row[0], row[1], row[2] if len(row) == 3 else GOOD) for row in given]
    return ObjectBlock(
        np.array([tag for tag, _, _ in full], np.uint32),
        np.array([T0 + n * SECOND for n in range(len(full))], np.int64),
        [value for _, value, _ in full],
        np.array([quality for _, _, quality in full], np.uint8),
    )


def told(block: ObjectBlock) -> list[tuple[int, Any, int]]:
    return list(zip(block.tag.tolist(), block.value, block.quality.tolist(), strict=True))


def objects(tags: int = 4) -> Objects:
    return Objects(np.full(tags, SILENCE, np.int64))


def test_first_change_and_change_of_quality_pass_a_repetition_does_not() -> None:
    """Row by row, in order, several of one tag too."""
    stage = objects()
    given = rows((1, "a"), (1, "a"), (1, "b"), (2, [1, 2]), (2, [1, 2]), (1, None, Quality.BAD), (1, "b"))
    passed = told(stage.changed(given, T0))
    assert passed == [(1, "a", GOOD), (1, "b", GOOD), (2, [1, 2], GOOD), (1, None, Quality.BAD), (1, "b", GOOD)]
    assert not len(stage.changed(rows((1, "b"), (2, [1, 2])), T0))


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), (0, False), ("1", 1), ([1], (1,))])
def test_values_of_different_types_differ(one: object, other: object) -> None:
    """Python says 1 == True; a subscriber would not."""
    assert len(objects().changed(rows((0, one), (0, other)), T0)) == 2


def test_an_integer_beyond_2_53_keeps_every_digit() -> None:
    """Neighbours that float64 cannot tell apart are two values."""
    big = 2**63 - 1
    assert [v for _, v, _ in told(objects().changed(rows((0, big), (0, big - 1)), T0))] == [big, big - 1]


def test_a_device_that_goes_takes_its_values_with_it() -> None:
    """One bad row per tag that had a value, once; the value comes back as news."""
    stage, tags = objects(), np.array([0, 1], np.uint32)
    stage.changed(rows((1, "a")), T0)
    assert told(stage.mark(tags, Quality.BAD_NOT_CONNECTED, T0 + SECOND)) == [(1, None, Quality.BAD_NOT_CONNECTED)]
    assert not len(stage.mark(tags, Quality.BAD_NOT_CONNECTED, T0 + 2 * SECOND))
    assert told(stage.changed(rows((1, "a")), T0 + 3 * SECOND)) == [(1, "a", GOOD)]


def test_silence_ends_with_the_value_and_the_time_of_its_last_read() -> None:
    """Said at T0, read again at T0 + 1 s: after a minute of silence it is repeated with that time, not a new one."""
    stage = objects()
    stage.changed(rows((1, "a"), (1, "a")), T0)
    assert not len(stage.due(T0 + SILENCE - 1))
    again = stage.due(T0 + SILENCE)
    assert (told(again), again.time.tolist()) == ([(1, "a", GOOD)], [T0 + SECOND])
    assert not len(stage.due(T0 + SILENCE + 1))


def test_a_clock_that_stepped_back_does_not_silence_a_value() -> None:
    """Its age is unknown, so it is told again."""
    stage = objects()
    stage.changed(rows((1, "a")), T0)
    assert len(stage.due(T0 - 3600 * SECOND)) == 1


def test_only_tags_that_show_no_numbers_lose_their_window_rows() -> None:
    """A big integer is a number all the same."""
    stage = objects()
    stage.changed(rows((0, 2**60), (1, "text"), (2, {"x": 1}), (3, True)), T0)
    assert stage.without_number.tolist() == [False, True, True, True]
