"""Values that are no numbers: told when they change, and never altered."""

from typing import Any

import numpy as np
import pytest

from gateway.core.blocks import ObjectBlock, SampleBlock
from gateway.core.quality import Quality
from gateway.stages.values import ObjectValues
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


def objects(tags: int = 4) -> ObjectValues:
    return ObjectValues(np.full(tags, SILENCE, np.int64))


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


def sample(tag: int, value: float, quality: int = GOOD, at: int = 5) -> SampleBlock:
    """Read `at` seconds after T0."""
    return SampleBlock(
        np.array([tag], np.uint32), np.array([T0 + at * SECOND]), np.array([value]), np.array([quality], np.uint8)
    )


def settled(stage: ObjectValues) -> list[tuple[int, Any, int]]:
    """What is told of samples once the objects that belong to them had time to come."""
    assert not len(stage.replaced_by_samples(T0 + 6 * SECOND))
    return told(stage.replaced_by_samples(T0 + 7 * SECOND))


@pytest.mark.parametrize(
    ("before", "value", "quality", "after"),
    [
        ("b", np.nan, Quality.BAD_TIMEOUT, (None, Quality.BAD_TIMEOUT)),  # a text that went bad
        (2**60 + 1, 3.0, GOOD, (3, GOOD)),  # a large integer that is small now
        (2**60 + 1, np.nan, Quality.BAD_ADDRESS, (None, Quality.BAD_ADDRESS)),
        ("text", 7.5, GOOD, (7.5, GOOD)),  # a node of any type
    ],
)
def test_an_object_ends_with_the_next_sample_of_its_tag(before: Any, value: float, quality: int, after: Any) -> None:
    stage = objects()
    stage.changed(rows((1, before)), T0)
    stage.record_samples(sample(1, value, quality))
    assert settled(stage) == [(1, *after)]
    assert not len(stage.replaced_by_samples(T0 + 8 * SECOND)), "once"
    assert told(stage.due(T0 + 7 * SECOND + SILENCE)) == [(1, *after)]
    assert type(told(stage.due(T0 + 9 * SECOND + 2 * SILENCE))[0][1]) is type(after[0])


def test_an_integer_that_was_bad_is_an_integer_again() -> None:
    stage = objects()
    stage.changed(rows((1, 2**60 + 1)), T0)
    stage.record_samples(sample(1, np.nan, Quality.BAD_TIMEOUT))
    assert settled(stage) == [(1, None, Quality.BAD_TIMEOUT)]
    stage.record_samples(sample(1, 4.0, at=9))
    ((_, value, _),) = settled(stage)
    assert (value, type(value)) == (4, int)


def test_a_bad_sample_about_the_same_time_ends_it_and_a_good_one_is_its_number() -> None:
    """A server may change the status and leave the time as it was; a label and its number have one time."""
    stage = objects()
    stage.changed(rows((1, "Running"), (2, "b")), T0)
    stage.record_samples(sample(1, 4.0, at=0))
    stage.record_samples(sample(2, np.nan, Quality.BAD_TIMEOUT, at=1))
    assert settled(stage) == [(2, None, Quality.BAD_TIMEOUT)]


def test_a_sample_waits_for_its_object_and_then_says_nothing() -> None:
    """The sample of a label or of a large integer may come a moment before it, and a window may end in between."""
    stage = objects()
    stage.changed(rows((1, "Running")), T0)
    stage.record_samples(sample(1, 4.0))
    assert not len(stage.replaced_by_samples(T0 + 6 * SECOND))
    late = rows((0, "x"), (0, "x"), (0, "x"), (0, "x"), (0, "x"), (1, "Faulty"))
    assert told(stage.changed(late, T0))[-1] == (1, "Faulty", GOOD)
    assert not len(stage.replaced_by_samples(T0 + 7 * SECOND))
    assert not len(stage.replaced_by_samples(T0 + 8 * SECOND))


def test_older_samples_samples_of_others_and_of_the_past_change_nothing() -> None:
    stage = objects()
    stage.changed(rows((0, "x"), (0, "y"), (1, "b")), T0)
    stage.record_samples(sample(1, np.nan, Quality.BAD_TIMEOUT, at=1))
    stage.record_samples(sample(2, 1.0))
    past = sample(1, 9.0)
    stage.record_samples(SampleBlock(past.tag, past.time, past.value, past.quality, history=True))
    assert settled(stage) == []


def test_a_device_that_goes_after_the_sample_says_why() -> None:
    stage = objects()
    stage.changed(rows((1, "b")), T0)
    stage.record_samples(sample(1, np.nan, Quality.BAD_TIMEOUT))
    stage.replaced_by_samples(T0 + 6 * SECOND)
    stage.mark(np.array([1], np.uint32), Quality.BAD_NOT_CONNECTED, T0 + 6 * SECOND)
    assert not len(stage.replaced_by_samples(T0 + 7 * SECOND))


def test_windows_of_a_tag_that_has_nothing_to_say_hold_no_number() -> None:
    """A text that is null from the beginning; what is bad from the beginning may still become a number."""
    stage = objects()
    stage.changed(rows((1, None), (2, None, Quality.BAD_TIMEOUT)), T0)
    assert stage.without_number.tolist() == [False, True, False, False]
