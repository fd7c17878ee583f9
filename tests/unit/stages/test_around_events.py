"""Windows around alarms and anomalies, against an oracle that looks at each tag and window for itself."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.blocks import WindowBlock
from gateway.core.tags import Tag, TagTable
from gateway.stages.around_events import AroundEvents
from tests.support.blocks import GOOD, SECOND, T0

TABLE = TagTable(("a", "b"), (Tag(0, 0, "x"), Tag(1, 0, "y"), Tag(2, 1, "z")))


def window(number: int, tags: tuple[int, ...] = (0, 1, 2), late: bool = False) -> WindowBlock:
    size = len(tags)
    ones = np.ones(size, np.int64)
    return WindowBlock(
        T0 + number * SECOND, SECOND, late, np.array(tags, np.uint32), ones, ones, ones,
        *[np.full(size, float(number))] * 6, ones * T0, np.full(size, GOOD, np.uint8),
    )  # fmt: skip


def sent(blocks: list[WindowBlock]) -> list[tuple[int, int]]:
    """Window and tag of every row, in order."""
    return [((block.start - T0) // SECOND, int(tag)) for block in blocks for tag in block.tag]


def expected(active: list[list[bool]], before: int, after: int, whole: bool) -> set[tuple[int, int]]:
    """A tag's window is sent if something of it (or its device) was active within `before` windows after, `after` before."""
    found = set()
    for number in range(len(active)):
        for tag in range(3):
            device = TABLE.tags[tag].device
            own = [other for other in range(3) if (TABLE.tags[other].device == device if whole else other == tag)]
            for later in range(max(0, number - after), min(len(active), number + before + 1)):
                if any(active[later][other] for other in own):
                    found.add((number, tag))
    return found


@given(
    st.lists(st.lists(st.booleans(), min_size=3, max_size=3), max_size=30),
    st.integers(0, 4),
    st.integers(0, 4),
    st.booleans(),
)
def test_it_sends_what_lies_around_and_nothing_twice(active: list[list[bool]], before: int, after: int, whole: bool) -> None:
    policy = AroundEvents(TABLE, before * SECOND, after * SECOND, whole_devices=whole)
    rows: list[tuple[int, int]] = []
    for number, now in enumerate(active):
        rows += sent(policy.select(window(number), np.array(now)))
    assert len(set(rows)) == len(rows)
    assert set(rows) == expected(active, before, after, whole)


def test_a_supplement_goes_with_the_window_that_was_sent() -> None:
    policy = AroundEvents(TABLE, 2 * SECOND, 0, whole_devices=False)
    policy.select(window(0), np.array([False, False, False]))
    policy.select(window(1), np.array([True, False, False]))
    assert sent(policy.select(window(0, (0, 1), late=True), np.zeros(3, bool))) == [(0, 0)]
    assert policy.select(window(1, (2,), late=True), np.zeros(3, bool)) == []


def test_a_supplement_of_what_was_not_sent_comes_with_it_later() -> None:
    policy = AroundEvents(TABLE, 2 * SECOND, 0, whole_devices=False)
    policy.select(window(0), np.zeros(3, bool))
    assert policy.select(window(0, (1, 2), late=True), np.zeros(3, bool)) == []
    blocks = policy.select(window(1), np.array([False, True, False]))
    assert [((block.start - T0) // SECOND, block.late, block.tag.tolist()) for block in blocks] == [
        (0, False, [1]), (0, True, [1]), (1, False, [1]),
    ]  # fmt: skip


def test_a_clock_that_is_set_back_begins_anew() -> None:
    policy = AroundEvents(TABLE, 9 * SECOND, 5 * SECOND, whole_devices=True)
    assert sent(policy.select(window(100), np.array([True, False, False]))) == [(100, 0), (100, 1)]
    assert policy.select(window(50), np.zeros(3, bool)) == []
    assert sent(policy.select(window(51), np.array([False, False, True]))) == [(50, 2), (51, 2)]


def test_what_is_kept_is_bounded() -> None:
    table = TagTable(("a",), tuple(Tag(i, 0, f"t{i}") for i in range(100_000)))
    policy = AroundEvents(table, 3600 * SECOND, 0, whole_devices=True)
    for number in range(5):
        policy.select(window(number, tuple(range(100_000))), np.zeros(100_000, bool))
    assert len(policy._kept) == 2
