"""The historian without files: what passes is answered before and after it was compressed; nothing grows without bound."""

import asyncio

import numpy as np
import pytest

from gateway.core.blocks import SampleBlock, WindowBlock
from gateway.core.quality import Quality
from gateway.core.tag_move import TagMove
from gateway.live.history.config import HistoryConfig
from gateway.live.history.historian import Historian
from gateway.live.history.open_rows import MOST_OPEN_ROWS, OpenSamples, SeriesNumbers
from gateway.live.model import LiveModel, PartReadings
from tests.support.blocks import GOOD, SECOND, T0, table
from tests.support.clock import ManualClock

MINUTE = 60 * SECOND


class Bench:
    """A historian of four tags of two devices."""

    def __init__(self, **config: object) -> None:
        self.clock = ManualClock(T0)
        self.events: list[object] = []
        self.table = table(4, devices=2)
        self.historian = Historian(HistoryConfig(**config), self.table, self.clock, self.events.append)  # type: ignore[arg-type]

    def push(self, value: float, second: float, tags: tuple[int, ...] = (0, 1, 2, 3), **flags: bool) -> None:
        n = len(tags)
        self.historian.samples(
            SampleBlock(
                np.array(tags, np.uint32),
                np.full(n, T0 + int(second * SECOND), np.int64),
                np.full(n, float(value)),
                np.full(n, GOOD, np.uint8),
                **flags,
            )
        )

    async def values(self, tag: int, begin: float = 0, end: float = 1e6) -> list[float]:
        answer = await self.historian.query(np.array([tag], np.uint32), T0 + int(begin * SECOND), T0 + int(end * SECOND))
        return answer.values["value"].tolist()

    def minute(self, number: int, tags: tuple[int, ...] = (0, 1), low: float = 1, late: bool = False, used: int = 5) -> None:
        n = len(tags)
        real = np.full(n, float(low)) if used else np.full(n, np.nan)
        count = np.full(n, max(used, 1), np.int64)
        self.historian.summary(
            WindowBlock(
                start=T0 - T0 % (10 * MINUTE) + number * MINUTE, length=MINUTE, late=late, tag=np.array(tags, np.uint32),
                count=count, good=count.copy(), used=np.full(n, used, np.int64), min=real, max=real + 2, mean=real + 1,
                std=real.copy(), first=real.copy(), last=real.copy(), last_time=np.zeros(n, np.int64),
                quality=np.full(n, GOOD if used else Quality.BAD_TIMEOUT, np.uint8),
            )
        )  # fmt: skip


async def test_samples_are_answered_before_and_after_they_are_compressed() -> None:
    bench = Bench()
    for second in range(5):
        bench.push(second, second)
    assert await bench.values(2) == [0, 1, 2, 3, 4]
    await bench.historian._work(("samples",))
    bench.push(5, 5)
    assert await bench.values(2, 1, 5) == [1, 2, 3, 4]
    assert await bench.values(2) == [0, 1, 2, 3, 4, 5]


async def test_bad_samples_and_lost_devices_are_remembered_and_repeated_samples_are_not() -> None:
    bench = Bench()
    bench.push(1, 0)
    bench.historian.unknown(np.array([0], np.uint32), Quality.BAD_NOT_CONNECTED, T0 + SECOND)
    bench.push(1, 0, repeated=True)
    await bench.historian._work(("samples",))
    answer = await bench.historian.query(np.array([0], np.uint32), T0, T0 + MINUTE)
    assert answer.quality.tolist() == [GOOD, Quality.BAD_NOT_CONNECTED]
    assert np.isnan(answer.values["value"][1])


async def test_samples_read_back_take_their_place_in_time() -> None:
    bench = Bench()
    bench.push(5, 5)
    bench.push(1, 1, history=True)
    assert await bench.values(0) == [1, 5]


async def test_several_tags_come_sorted_by_tag_and_time() -> None:
    bench = Bench()
    for second in range(3):
        bench.push(second, second)
    answer = await bench.historian.query(np.array([3, 1], np.uint32), T0, T0 + MINUTE)
    assert answer.tag.tolist() == [1, 1, 1, 3, 3, 3]
    assert answer.time.tolist() == [T0, T0 + SECOND, T0 + 2 * SECOND] * 2
    assert len(await bench.historian.query(np.zeros(0, np.uint32), T0, T0 + MINUTE)) == 0


async def test_too_much_is_cut_and_said() -> None:
    bench = Bench()
    for second in range(30):
        bench.push(second, second)
    answer = await bench.historian.query(np.array([0], np.uint32), T0, T0 + MINUTE, most=10)
    assert answer.is_cut
    assert len(answer) == 10


async def test_what_is_not_known_is_said() -> None:
    bench = Bench(max_age="1min")
    bench.push(1, 0)
    await bench.historian._work(("samples",))
    await bench.clock.advance(200)
    bench.push(2, 200)
    await bench.historian._work(("samples",))
    answer = await bench.historian.query(np.array([0], np.uint32), T0, T0 + 300 * SECOND)
    assert answer.values["value"].tolist() == [2]
    assert [(a - T0, b - T0) for a, b, _ in answer.missing] == [(0, 200 * SECOND)]


async def test_minutes_become_ten_minutes_and_late_parts_are_merged() -> None:
    bench = Bench()
    begin = T0 - T0 % (10 * MINUTE)
    for number in range(10):
        bench.minute(number, low=number)
    bench.minute(3, low=-7, late=True)
    tag = np.array([1], np.uint32)
    for _ in range(2):  # before and after it was compressed
        minutes = await bench.historian.query(tag, begin, begin + 10 * MINUTE, "minutes")
        assert minutes.values["min"].tolist() == [0, 1, 2, -7, 4, 5, 6, 7, 8, 9]
        assert minutes.values["count"].tolist() == [5, 5, 5, 10, 5, 5, 5, 5, 5, 5]
        tens = await bench.historian.query(tag, begin, begin + 10 * MINUTE, "ten_minutes")
        assert [tens.values[name].tolist() for name in ("min", "max", "count")] == [[-7], [11], [55]]
        await bench.historian._work(("minutes",))
    await bench.historian._work(("ten_minutes",))
    tens = await bench.historian.query(tag, begin, begin + 10 * MINUTE, "ten_minutes")
    assert tens.values["count"].tolist() == [55]


async def test_a_minute_of_bad_samples_is_a_row_without_values() -> None:
    bench = Bench()
    bench.minute(0, used=0)
    answer = await bench.historian.query(np.array([0], np.uint32), 0, 2**62, "minutes")
    assert answer.quality.tolist() == [Quality.BAD_TIMEOUT]
    assert answer.values["count"].tolist() == [0]
    assert np.isnan(answer.values["mean"][0])


async def test_its_task_compresses_and_forgets() -> None:
    bench = Bench(block_time="1s")
    task = asyncio.create_task(bench.historian.run())
    bench.push(1, 0)
    for _ in range(200):
        await asyncio.sleep(0.01)
        await bench.clock.advance(1)
        if bench.historian.stats()["memory_bytes"]:
            break
    assert bench.historian.stats()["memory_bytes"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_another_table_goes_on_with_the_history_of_its_tags() -> None:
    bench = Bench()
    parts = PartReadings(dict, list, dict, dict)  # type: ignore[arg-type]
    model = LiveModel(bench.table, parts, T0, bench.historian)
    bench.push(7, 0, (3,))
    after = table(6, devices=3)
    model.take_table(after, TagMove.between(bench.table, after, {"device1"}), T0)
    bench.push(8, 1, (3,))
    assert await bench.values(3) == [7, 8]
    assert await bench.values(5) == []


def test_samples_that_nobody_compresses_are_dropped_and_counted() -> None:
    numbers = SeriesNumbers(table(1))
    samples = OpenSamples(numbers)
    n = 1 << 17
    block = SampleBlock(np.zeros(n, np.uint32), np.full(n, T0, np.int64), np.zeros(n), np.full(n, GOOD, np.uint8))
    for _ in range(12):
        samples.push(block)
    assert samples.rows <= MOST_OPEN_ROWS
    assert samples.dropped + samples.rows == 12 * n
