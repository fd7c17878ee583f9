"""What plants really have: devices that cannot keep up, are busy for hours, answer nonsense, gateways that hang."""

from itertools import pairwise

import pytest

from gateway.core.errors import NotConnected
from gateway.core.messages import DeviceState
from gateway.core.quality import Quality
from gateway.sources.modbus.link import BadReply
from gateway.sources.modbus.types import Table
from tests.support.modbus_fake import FakeUnit, entry
from tests.unit.sources.modbus.test_source import Bench, holding, qualities, samples, states


def many(count: int, **keys: object) -> Bench:
    """A bench with so many units on one connection."""
    units = [entry(holding(0), number=n, first_tag=n, unit=n + 1, **keys) for n in range(count)]
    return Bench(*units, latency_s=0.005, **{f"u{n + 1}": FakeUnit() for n in range(count)})


class BadLink:
    """Gives wrong replies where a request touches certain places."""

    def __init__(self, bench: Bench, places: set[int]) -> None:
        self.places = places
        self._bench, self._read = bench, bench.link.read
        bench.link.read = self.read  # type: ignore[method-assign]

    async def read(self, unit: int, table: Table, start: int, count: int, timeout_s: float) -> bytes:
        payload = await self._read(unit, table, start, count, timeout_s)
        if not self.places.isdisjoint(range(start, start + count)):
            raise BadReply("4 bytes of values, expected 6")
        return payload


async def test_a_slow_group_is_read_even_when_a_fast_one_is_more_than_the_device_can_do() -> None:
    """100 ms wanted, 150 ms needed: the hourly and the minute values come all the same, the fast one keeps nearly all."""
    tags = holding(0, interval="100ms") + holding(1, interval="1h") + holding(2, interval="1m")
    bench = Bench(entry(tags), u1=FakeUnit(), latency_s=0.15)
    found = samples(await bench.start(30.0))
    assert len(found[1]) == len(found[2]) == 1
    assert len(found[0]) > 190


async def test_a_heap_of_slow_requests_never_holds_up_a_fast_one_by_more_than_one() -> None:
    tags = holding(0, interval="500ms") + holding(*range(1000, 60000, 200), interval="1h")
    bench = Bench(entry(tags), u1=FakeUnit(), latency_s=0.2)
    await bench.source.open()
    news = await bench.run(100.0)
    times = [int(item.time[0]) for item in news if not isinstance(item, DeviceState) and item.tag[0] == 0]
    assert len(times) >= 199
    assert max(after - before for before, after in pairwise(times)) <= 0.9e9
    assert len(samples(news)) == 296


@pytest.mark.parametrize("interval", ["1s", "1h"])
async def test_a_unit_that_is_busy_from_the_start_says_so(interval: str) -> None:
    bench = Bench(entry(holding(0, 1, interval=interval)), u1=FakeUnit(code=6))
    reason = "2 of 2 tags cannot be read: t0 (server device busy), t1 (server device busy)"
    assert states(await bench.start(5.0)) == [DeviceState(0, "degraded", reason)]


async def test_a_unit_that_stays_busy_is_told_is_asked_every_turn_and_is_ok_again_at_once() -> None:
    unit = FakeUnit()
    bench = Bench(entry(holding(0)), u1=unit)
    await bench.start(1.0)
    unit.code = 6
    assert [state.state for state in states(await bench.run(10.0))] == ["degraded"]
    bench.link.requests.clear()
    await bench.run(3.0)
    assert len(bench.link.requests) == 12
    unit.code = 0
    news = await bench.run(1.0)
    assert states(news) == [DeviceState(0, "ok")]
    assert samples(news)[0][-1] == (0.0, Quality.GOOD)


async def test_wrong_replies_that_last_cost_the_tags_that_they_are_about() -> None:
    bench = Bench(entry(holding(*range(20))), u1=FakeUnit())
    wrong = BadLink(bench, {7})
    news = await bench.start(20.0)
    assert states(news)[-1] == DeviceState(0, "degraded", "1 of 20 tags cannot be read: t7 (4 bytes of values, expected 6)")
    found = qualities(await bench.run(5.0))
    assert 7 not in found
    assert all(count == {Quality.GOOD: 5} for count in found.values())
    wrong.places = set()
    assert states(await bench.run(61.0)) == [DeviceState(0, "ok")]


async def test_a_few_wrong_replies_change_nothing() -> None:
    bench = Bench(entry(holding(*range(20))), u1=FakeUnit())
    wrong = BadLink(bench, {7})
    assert qualities(await bench.start(2.5))[3] == {Quality.BAD_COMM_FAILURE: 3}
    wrong.places = set()
    bench.link.requests.clear()
    assert states(await bench.run(3.0)) == [DeviceState(0, "ok")]
    assert bench.link.requests == 3 * [(1, "holding", 0, 20)]


async def test_a_gateway_that_hangs_is_noticed_before_each_of_its_hundred_units_was_tried_twice() -> None:
    bench = many(100)
    await bench.start(3.0)
    for unit in bench.link.units.values():
        unit.silent = True
    hung_at = bench.clock.monotonic()
    with pytest.raises(NotConnected, match="5 units that used to answer fell silent together"):
        await bench.run(1000.0)
    assert bench.clock.monotonic() - hung_at < 7


async def test_half_a_plant_that_loses_power_costs_the_other_half_one_reconnect_at_most() -> None:
    bench = many(40, timeout="200ms")
    await bench.start(3.0)
    for number in range(1, 21):
        bench.link.units[number].silent = True
    with pytest.raises(NotConnected):
        await bench.run(60.0)
    await bench.source.close()
    news = await bench.start(120.0)
    assert {state.device for state in states(news) if state.state == "down"} == set(range(20))
    assert all(qualities(news)[tag][Quality.GOOD] > 60 for tag in range(20, 40))


async def test_a_serial_line_is_not_closed_because_units_fall_silent() -> None:
    bench = many(8, url="rtu:///dev/ttyUSB0")
    await bench.start(3.0)
    for number in range(1, 8):
        bench.link.units[number].silent = True
    assert qualities(await bench.run(300.0))[7][Quality.GOOD] > 200
