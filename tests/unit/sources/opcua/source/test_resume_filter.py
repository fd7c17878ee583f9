"""What is said again after a takeover."""

import numpy as np

from gateway.core.blocks import ObjectBlock
from gateway.sources.opcua.source.resume_filter import ResumeFilter
from tests.support.blocks import GOOD, block_of
from tests.support.oracle import Sample

FIRST = 7
BAD = 0


def made(*samples: Sample) -> ResumeFilter:
    repeats = ResumeFilter(FIRST, 4)
    repeats.sort(block_of(samples))
    return repeats


def told(block) -> list[tuple[int, int, float]]:
    return [] if block is None else list(zip(block.tag.tolist(), block.time.tolist(), block.value.tolist(), strict=True))


def test_a_first_sample_that_is_the_last_one_once_more_is_no_new_one():
    repeats = made(Sample(7, 10, 1.0, GOOD), Sample(8, 10, 2.0, GOOD), Sample(9, 10, float("nan"), BAD))
    repeats.on_connected()
    given = [Sample(7, 10, 1.0, GOOD), Sample(8, 11, 2.0, GOOD), Sample(9, 10, float("nan"), BAD), Sample(7, 12, 1.0, GOOD)]
    new, again = repeats.sort(block_of(given))
    assert told(new) == [(8, 11, 2.0), (7, 12, 1.0)]
    assert again.tag.tolist() == [7, 9]
    assert again.repeated
    assert not new.repeated


def test_only_the_first_and_only_after_a_loss():
    repeats = made(Sample(7, 10, 1.0, GOOD))
    same = block_of([Sample(7, 10, 1.0, GOOD)])
    assert repeats.sort(same) == (same, None), "no connection was lost"
    repeats.on_connected()
    new, again = repeats.sort(block_of([Sample(7, 10, 1.0, GOOD), Sample(7, 10, 1.0, GOOD)]))
    assert (len(new), len(again)) == (1, 1)
    assert repeats.sort(same)[1] is None


def test_another_value_or_quality_or_time_is_new():
    for other in (Sample(7, 10, 1.5, GOOD), Sample(7, 10, 1.0, GOOD - 1), Sample(7, 11, 1.0, GOOD)):
        repeats = made(Sample(7, 10, 1.0, GOOD))
        repeats.on_connected()
        assert repeats.sort(block_of([other]))[1] is None


def test_what_is_not_said_holds_but_for_what_is_known_to_be_bad():
    repeats = made(Sample(7, 10, 1.0, GOOD), Sample(8, 11, 2.0, GOOD), Sample(9, 12, 3.0, GOOD))
    texts = ObjectBlock(np.array([10], np.uint32), np.array([9], np.int64), ["on"], np.array([GOOD], np.uint8))
    repeats.record_objects(texts)
    assert repeats.unsent([]) == (None, None), "nothing was lost"
    repeats.on_connected()
    repeats.sort(block_of([Sample(8, 20, 2.5, GOOD)]))
    samples, objects = repeats.unsent([2])
    assert told(samples) == [(7, 10, 1.0)]
    assert samples.repeated
    assert (objects.tag.tolist(), objects.time.tolist(), objects.value) == ([10], [9], ("on",))
    assert repeats.unsent([]) == (None, None), "once"
    repeats.on_connected()
    repeats.record_objects(texts)
    assert repeats.unsent([0, 1, 2]) == (None, None)


def test_of_a_text_and_a_bad_sample_the_newer_one_holds():
    def text(tag: int, time: int) -> ObjectBlock:
        return ObjectBlock(np.array([tag], np.uint32), np.array([time]), ["on"], np.array([GOOD], np.uint8))

    bad = float("nan")
    repeats = made(Sample(7, 10, bad, BAD), Sample(8, 10, bad, BAD), Sample(9, 10, 2.0**60, GOOD))
    for tag, time in ((7, 11), (8, 9), (9, 10)):
        repeats.record_objects(text(tag, time))
    repeats.on_connected()
    samples, objects = repeats.unsent([])
    assert samples.tag.tolist() == [8, 9]
    assert objects.tag.tolist() == [7, 9]


def test_before_what_comes_after_a_takeover_the_last_sample_is_said_once_more():
    """So that the tag is known again, and a late sample counts in its window."""
    repeats = made(Sample(7, 10, 1.0, GOOD), Sample(8, 10, 2.0, GOOD))
    repeats.on_connected(resumed=True)
    new, again = repeats.sort(block_of([Sample(7, 11, 1.5, GOOD), Sample(7, 12, 1.6, GOOD), Sample(8, 10, 2.0, GOOD)]))
    assert told(new) == [(7, 11, 1.5), (7, 12, 1.6)]
    assert told(again) == [(7, 10, 1.0), (8, 10, 2.0)]
    assert repeats.sort(block_of([Sample(7, 13, 1.7, GOOD)]))[1] is None, "once"
    assert told(repeats.sort(block_of([Sample(9, 13, 1.7, GOOD)]))[1]) == [], "of this one nothing was known"


def test_a_polled_value_with_the_same_time_is_the_same_sample():
    repeats = ResumeFilter(FIRST, 4, polled=True)
    polls = [Sample(7, 10, 1.0, GOOD), Sample(7, 10, 1.0, GOOD), Sample(7, 11, 1.0, GOOD), Sample(7, 11, 2.0, GOOD)]
    found = [repeats.sort(block_of([one])) for one in polls]
    assert [len(new) for new, _ in found] == [1, 0, 1, 1]
    assert [told(again) for _, again in found] == [[], [(7, 10, 1.0)], [], []]


def test_a_bad_poll_is_a_sample_each_time():
    repeats = ResumeFilter(FIRST, 4, polled=True)
    bad = block_of([Sample(7, 10, float("nan"), BAD)])
    assert [len(repeats.sort(bad)[0]) for _ in range(3)] == [1, 1, 1]
