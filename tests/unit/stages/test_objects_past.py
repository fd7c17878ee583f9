"""Values of the past that are no numbers: told on change among themselves, and what holds now stays."""

from dataclasses import replace

import numpy as np

from gateway.core.blocks import ObjectBlock
from gateway.core.quality import Quality
from gateway.stages.values import ObjectValues

S = 1_000_000_000
GOOD = int(Quality.GOOD)


def block(*values: object, time: int = S, tag: int = 0) -> ObjectBlock:
    count = len(values)
    return ObjectBlock(
        np.full(count, tag, np.uint32), np.arange(time, time + count), list(values), np.full(count, GOOD, np.uint8)
    )


def test_the_past_is_told_on_change_and_leaves_what_holds():
    objects = ObjectValues(np.full(1, 60 * S))
    objects.changed(block("now", time=9 * S), 9 * S)
    past = objects.changed(replace(block("a", "a", "b", "now"), history=True), 10 * S)
    assert (past.value, past.history) == (["a", "b", "now"], True)
    assert not len(objects.changed(block("now", time=11 * S), 11 * S))
    told = objects.due(100 * S)
    assert (told.value, told.time.tolist(), told.history) == (["now"], [11 * S], False)


def test_a_tag_of_which_only_the_past_is_known_is_not_repeated():
    objects = ObjectValues(np.full(1, 60 * S))
    objects.changed(replace(block("a"), history=True), S)
    assert not len(objects.due(100 * S))
    assert objects.without_number[0]
