"""The present value of every tag: what each block leads to, against a dictionary that is kept sample by sample."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.blocks import ObjectBlock, SampleBlock, WindowBlock
from gateway.core.quality import Quality
from gateway.core.tag_move import TagMove
from gateway.core.tags import Tag, TagTable
from gateway.live.values import MOST_WAITING_BLOCKS, LiveValues, TagValues
from tests.support.blocks import GOOD, T0, block_of
from tests.support.oracle import Sample

NOT_CONNECTED = int(Quality.BAD_NOT_CONNECTED)
WAITING = int(Quality.BAD_WAITING)


class Live(LiveValues):
    """With a version of its own."""

    def __init__(self, tags: int = 4) -> None:
        self.version = 0
        super().__init__(tags, self.rise)

    def rise(self) -> int:
        self.version += 1
        return self.version

    def all(self) -> TagValues:
        return self.read(None, lambda: self.version)

    def since(self, version: int) -> list[int]:
        return self.changed_since(version, lambda: self.version).tag.tolist()

    def row(self, tag: int = 0) -> tuple[float | None, int, int]:
        """(value, time, quality) of a tag, None for no value."""
        found = self.all()
        value = float(found.value[tag])
        return (None if np.isnan(value) else value), int(found.time[tag]), int(found.quality[tag])


def table(*devices: str) -> TagTable:
    """A tag for each name of a device."""
    names = tuple(dict.fromkeys(devices))
    return TagTable(names, tuple(Tag(row, names.index(name), f"t{row}") for row, name in enumerate(devices)))


def one(tag: int, value: float, time: int = T0, quality: int = GOOD, **flags: bool) -> SampleBlock:
    block = block_of([Sample(tag, time, value, quality)])
    return SampleBlock(block.tag, block.time, block.value, block.quality, **flags)


def text(tag: int, value: object, time: int = T0, quality: int = GOOD, history: bool = False) -> ObjectBlock:
    columns = np.array([tag], np.uint32), np.array([time], np.int64), [value], np.array([quality], np.uint8)
    return ObjectBlock(*columns, history)


def window(tag: int, quality: int, last: float = np.nan, count: int = 0, start: int = T0, late: bool = False) -> WindowBlock:
    number, real = np.array([count], np.int64), np.array([np.nan])
    return WindowBlock(
        start=start, length=10**9, late=late, tag=np.array([tag], np.uint32), count=number, good=number, used=number,
        min=real.copy(), max=real.copy(), mean=real.copy(), std=real.copy(), first=real.copy(), last=np.array([last]),
        last_time=np.array([start], np.int64), quality=np.array([quality], np.uint8),
    )  # fmt: skip


def test_before_the_first_sample_a_tag_waits() -> None:
    assert Live().row() == (None, 0, WAITING)


@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=5), max_size=30), st.data())
def test_the_last_row_of_each_tag_is_its_value(blocks: list[list[tuple[int, int]]], data: st.DataObject) -> None:
    live, expected = Live(), {}
    shared = [np.array([0, 1], np.uint32), np.array([1, 2], np.uint32)]
    for number, rows in enumerate(blocks):
        block = block_of([Sample(tag, T0 + number, float(value), GOOD) for tag, value in rows])
        if data.draw(st.booleans()):  # the same column of tags again, as polls have it
            values = np.array([number, -number], float)
            block = SampleBlock(shared[number % 2], np.full(2, T0 + number), values, np.full(2, GOOD, np.uint8))
        live.push(block)
        expected |= dict(zip(block.tag.tolist(), block.value.tolist(), strict=True))
        if data.draw(st.booleans()):
            live.fold()
    assert {tag: live.row(tag)[0] for tag in expected} == expected


def test_what_waits_is_bounded() -> None:
    live = Live()
    for number in range(3 * MOST_WAITING_BLOCKS):
        live.push(one(0, number))
        assert len(live._waiting) < MOST_WAITING_BLOCKS
    assert live.row()[0] == 3 * MOST_WAITING_BLOCKS - 1
    assert live.samples == 3 * MOST_WAITING_BLOCKS


def test_only_what_changed_is_returned() -> None:
    live = Live()
    live.push(one(1, 5))
    version = live.all().version
    assert live.since(0) == [1]
    assert live.since(version) == []
    live.push(one(3, 5))
    live.push(one(1, 6))
    assert live.since(version) == [1, 3]


def test_samples_of_the_past_change_nothing() -> None:
    live = Live()
    live.push(one(0, 5))
    live.push(one(0, 4, T0 + 1, history=True))
    live.push_objects(text(0, "old", history=True))
    assert live.row() == (5, T0, GOOD)
    assert (live.samples, live.past_samples) == (1, 2)


def test_a_device_that_is_down_makes_its_tags_unknown_and_keeps_when_they_were_read() -> None:
    live = Live()
    live.push(one(0, 5))
    live.mark(np.array([0], np.uint32), NOT_CONNECTED)
    assert live.row() == (None, T0, NOT_CONNECTED)
    assert live.all().reasons[0] == "not_connected"


def test_a_repeated_sample_is_known_again_and_overwrites_nothing_newer() -> None:
    live = Live()
    live.push(one(0, 5))
    live.mark(np.array([0], np.uint32), NOT_CONNECTED)
    live.push(one(0, 5, repeated=True))
    assert live.row() == (5, T0, GOOD)
    live.push(one(0, 6, T0 + 1))
    live.push(one(0, 5, repeated=True))
    assert live.row() == (6, T0 + 1, GOOD)
    assert live.samples == 2


def test_a_window_tells_what_is_stale_and_what_is_known_again() -> None:
    live = Live()
    live.push(one(0, 5))
    live.window(window(0, Quality.BAD_STALE))
    assert live.row() == (None, T0, Quality.BAD_STALE)
    live.window(window(0, GOOD, last=5))
    assert live.row() == (5, T0, GOOD)


@pytest.mark.parametrize(
    "block",
    [
        window(0, Quality.BAD_STALE, start=T0 - 2 * 10**9),
        window(0, Quality.BAD_STALE, late=True),
        window(0, Quality.UNCERTAIN, count=1),
    ],
)
def test_a_window_that_is_older_than_the_sample_or_has_samples_changes_nothing(block: WindowBlock) -> None:
    live = Live()
    live.push(one(0, 5))
    live.window(block)
    assert live.row() == (5, T0, GOOD)


def test_text_stands_beside_the_columns_until_a_number_or_a_bad_sample_comes() -> None:
    live = Live()
    live.push_objects(text(1, "on"))
    assert live.all().objects == {1: "on"}
    assert live.row(1) == (None, T0, GOOD)
    live.push_objects(text(1, "off", T0 + 1))
    assert live.all().objects == {1: "off"}
    live.push(SampleBlock.bad(np.array([1], np.uint32), T0 + 1, Quality.BAD_TIMEOUT))
    assert live.all().objects == {}
    assert live.row(1) == (None, T0 + 1, Quality.BAD_TIMEOUT)


@pytest.mark.parametrize("object_first", [True, False])
def test_a_large_integer_is_exact_whichever_of_its_two_forms_comes_first(object_first: bool) -> None:
    live = Live()
    rounded = one(0, 2.0**60, T0, Quality.UNCERTAIN_ROUNDED)
    forms = [lambda: live.push_objects(text(0, 2**60 + 1)), lambda: live.push(rounded)]
    for push in forms if object_first else forms[::-1]:
        push()
    assert live.all().objects == {0: 2**60 + 1}
    assert live.row()[2] == GOOD
    live.push(one(0, 7, T0 + 1))
    assert live.all().objects == {}
    assert live.row() == (7, T0 + 1, GOOD)


def test_another_table_keeps_the_values_of_known_tags() -> None:
    live = Live()
    live.push(one(0, 5))
    live.push(one(3, 8))
    live.push_objects(text(2, "on"))
    version = live.all().version
    before = table("a", "b", "c", "c")
    live.take_over(TagMove.between(before, table("c", "c", "new"), {"c"}))
    assert [live.row(tag)[0] for tag in range(3)] == [None, 8, None]
    assert live.all().objects == {0: "on"}
    assert live.since(version) == [0, 1, 2]
    live.push(one(2, 1, T0 + 5))
    assert live.row(2)[0] == 1
    live.take_over(TagMove.between(table("c", "c", "new"), table(), set()))
    assert len(live.all()) == 0
