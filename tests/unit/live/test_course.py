"""The course of the delivery: dense for an hour, a minute apart before, bounded."""

import asyncio
from contextlib import suppress

from gateway.live.course import COLUMNS, DeliveryCourse
from tests.support.clock import ManualClock


class Bench:
    """A course over a clock that a test turns."""

    def __init__(self) -> None:
        self.clock = ManualClock(1_700_000_040 * 10**9)
        self.waiting = 0
        self.course = DeliveryCourse(lambda: dict.fromkeys(COLUMNS, 1) | {"waiting": self.waiting}, self.clock)

    def go_on(self, readings: int) -> None:
        for _ in range(readings):
            self.waiting += 1
            self.course.record()
            self.clock.set_forward(10)


def test_it_is_dense_for_an_hour_and_by_minutes_before() -> None:
    bench = Bench()
    bench.go_on(2 * 360)
    found = bench.course.since(0, 10_000)
    assert found["waiting"][-1] == 720
    apart = (found["time_ms"][1:] - found["time_ms"][:-1]).tolist()
    assert set(apart[-359:]) == {10_000}
    assert set(apart[:59]) == {60_000}
    assert (found["lost"] == 1).all()


def test_it_begins_where_it_is_asked_for_and_has_as_many_rows_as_are_wanted() -> None:
    bench = Bench()
    bench.go_on(300)
    end = int(bench.course.since(0, 1_000)["time_ms"][-1])
    found = bench.course.since(end - 600_000, 1_000)
    assert len(found["time_ms"]) == 61
    few = bench.course.since(end - 600_000, 10)
    assert len(few["time_ms"]) <= 10
    assert few["time_ms"][-1] == end


def test_it_takes_a_bounded_part_of_memory() -> None:
    bench = Bench()
    bench.go_on(8 * 8640)
    found = bench.course.since(0, 100_000)
    assert len(found["time_ms"]) <= 360 + 7 * 1440
    assert found["time_ms"][-1] - found["time_ms"][0] <= 7 * 86_400_000
    assert sum(ring._rows.nbytes for ring in (bench.course._fine, bench.course._coarse)) < 1_000_000


def test_without_a_reading_there_is_none() -> None:
    assert Bench().course.since(0, 10)["time_ms"].size == 0


async def test_it_is_taken_by_itself() -> None:
    bench = Bench()
    task = asyncio.create_task(bench.course.run())
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert bench.course.since(0, 10)["time_ms"].size == 1
