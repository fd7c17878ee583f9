"""What the source does about refusals, silence and lateness; no sockets, no sleeps."""

from collections import Counter
from contextlib import suppress
from math import inf

import numpy as np
import pytest

from gateway.core.blocks import ObjectBlock, SampleBlock
from gateway.core.errors import NotConnected
from gateway.core.messages import DeviceState
from gateway.core.ports.plugin import DeviceEntry
from gateway.core.quality import Quality
from gateway.sources.modbus.source import ModbusSource
from tests.support.clock import SkippingClock, TimeIsUp
from tests.support.modbus_fake import FakeLink, FakeUnit, entry

News = SampleBlock | ObjectBlock | DeviceState


class Bench:
    """An open source on fake units, run by the fake clock."""

    def __init__(self, *entries: DeviceEntry, latency_s: float = 0.01, **units: FakeUnit) -> None:
        self.clock = SkippingClock()
        self.link = FakeLink(self.clock, {int(name[1:]): unit for name, unit in units.items()}, latency_s)
        self.source = ModbusSource(entries, self.clock, lambda endpoint: self.link)

    async def run(self, for_s: float) -> list[News]:
        """Everything read within that time."""
        news = []
        self.clock.end_s = self.clock.monotonic() + for_s
        with suppress(TimeIsUp):
            while True:
                news.append(await self.source.read())
        self.clock.end_s = inf
        return news

    async def heal(self, for_s: float, pause_s: float = 5.0) -> list[News]:
        """Everything read within that time, the connection opened again after a pause whenever it is lost."""
        news: list[News] = []
        end_s = self.clock.monotonic() + for_s
        while self.clock.monotonic() < end_s:
            with suppress(NotConnected):
                await self.source.open()
                news += await self.run(end_s - self.clock.monotonic())
            self.clock.end_s = inf
            await self.source.close()
            await self.clock.sleep(pause_s)
        return news

    async def start(self, for_s: float) -> list[News]:
        await self.source.open()
        return await self.run(for_s)


def states(news: list[News]) -> list[DeviceState]:
    return [item for item in news if isinstance(item, DeviceState)]


def samples(news: list[News]) -> dict[int, list[tuple[float, int]]]:
    """(value, quality) by tag, in order."""
    found: dict[int, list[tuple[float, int]]] = {}
    for block in news:
        if isinstance(block, SampleBlock):
            for tag, value, quality in zip(block.tag, block.value, block.quality, strict=True):
                found.setdefault(int(tag), []).append((float(value), int(quality)))
    return found


def qualities(news: list[News]) -> dict[int, Counter[int]]:
    return {tag: Counter(quality for _, quality in rows) for tag, rows in samples(news).items()}


def holding(*places: int, **keys: object) -> list[dict[str, object]]:
    return [{"address": f"holding:{place}"} | keys for place in places]


async def test_ok_is_told_with_the_first_answer_and_samples_carry_the_time_of_the_reply() -> None:
    bench = Bench(entry(holding(0, 1, 2), number=3, first_tag=10), u1=FakeUnit())
    await bench.source.open()
    assert await bench.source.read() == DeviceState(3, "ok")
    block = await bench.source.read()
    assert isinstance(block, SampleBlock)
    assert (list(block.tag), list(block.value)) == ([10, 11, 12], [0.0, 1.0, 2.0])
    assert set(block.time) == {bench.clock.now_ns()}
    assert (block.tag.dtype, block.time.dtype, block.value.dtype, block.quality.dtype) == ("u4", "i8", "f8", "u1")


async def test_samples_of_a_reply_whose_time_is_not_known_are_uncertain_at_the_earliest_possible_time() -> None:
    tags = [*holding(0), *holding(1, type="string", length=2)]
    bench = Bench(entry(tags), u1=FakeUnit(registers={1: 0x4142}))
    bench.link.late_ns = 1_500_000_000
    await bench.source.open()
    news = [await bench.source.read() for _ in range(3)]
    assert {type(item) for item in news} == {DeviceState, SampleBlock, ObjectBlock}
    for block in news:
        if not isinstance(block, DeviceState):
            assert block.time.tolist() == [bench.clock.now_ns() - 1_500_000_000]
            assert block.quality.tolist() == [Quality.UNCERTAIN_TIME]


async def test_every_tag_has_its_own_interval_and_no_drift() -> None:
    tags = holding(0, interval="100ms") + holding(1) + holding(2, interval="10s")
    bench = Bench(entry(tags), u1=FakeUnit(), latency_s=0.03)
    counts = {tag: sum(count.values()) for tag, count in qualities(await bench.start(30.0)).items()}
    assert counts == {0: 300, 1: 30, 2: 3}
    assert bench.source.stats()[0]["overruns"] == 0


async def test_two_devices_with_equal_tags_keep_their_ids() -> None:
    first, second = entry(holding(5, 6)), entry(holding(5, 6), number=1, first_tag=2, unit=2)
    bench = Bench(first, second, u1=FakeUnit(), u2=FakeUnit({5: 50, 6: 60}))
    assert {tag: rows[0][0] for tag, rows in samples(await bench.start(0.9)).items()} == {0: 5, 1: 6, 2: 50, 3: 60}
    assert bench.source.devices == [0, 1]


async def test_one_bad_address_costs_one_tag() -> None:
    bench = Bench(entry(holding(*range(40))), u1=FakeUnit(refused={23: 2}))
    news = await bench.start(10.0)
    found = qualities(news)
    assert found.pop(23) == {Quality.BAD_ADDRESS: 1}  # no sample stands for a request that was not sent
    assert all(count == {Quality.GOOD: 10} for count in found.values())
    assert len(found) == 39
    reason = "1 of 40 tags cannot be read: t23 (illegal data address)"
    assert states(news) == [DeviceState(0, "ok"), DeviceState(0, "degraded", reason)]


async def test_a_refused_tag_is_told_to_be_bad_again_when_its_unit_was_away() -> None:
    """What was known of it was overwritten by the unit's being down."""
    unit = FakeUnit(refused={3: 2})
    bench = Bench(entry(holding(*range(5))), entry(holding(0), number=1, first_tag=5, unit=2), u1=unit, u2=FakeUnit())
    await bench.start(5.0)
    unit.silent = True
    await bench.run(10.0)
    unit.silent = False
    assert qualities(await bench.run(10.0))[3] == {Quality.BAD_ADDRESS: 1}  # tried again after half a minute at the earliest


async def test_the_split_is_kept_and_the_culprit_is_left_alone_for_a_minute() -> None:
    unit = FakeUnit(refused={23: 2})
    bench = Bench(entry(holding(*range(40))), u1=unit)
    await bench.start(10.0)
    bench.link.requests.clear()
    await bench.run(10.0)
    assert not [start for _, _, start, count in bench.link.requests if start <= 23 < start + count]
    assert bench.link.requests == 10 * [(1, "holding", 0, 23), (1, "holding", 24, 16)]
    unit.refused.clear()
    news = await bench.run(60.0)
    assert states(news) == [DeviceState(0, "ok")]
    assert samples(news)[23][-1] == (23.0, Quality.GOOD)
    bench.link.requests.clear()
    await bench.run(3.0)
    assert bench.link.requests == 3 * [(1, "holding", 0, 40)]


@pytest.mark.parametrize(
    ("unit", "places", "expected"),
    [
        (FakeUnit(refused={5: 2}), (0, 10, 11, 12, 13), [(0, 1), (10, 4)]),  # a gap that must not be read over
        (FakeUnit(refused={5: 2, 11: 2}), (0, 10, 11, 12, 13), [(0, 1), (10, 1), (12, 2)]),  # that, and a refused tag
        (FakeUnit(most=20), tuple(range(40)), [(0, 20), (20, 20)]),  # a unit that gives less at once than it should
    ],
)
async def test_what_was_learned_costs_few_requests(
    unit: FakeUnit, places: tuple[int, ...], expected: list[tuple[int, int]]
) -> None:
    """Found out within seconds, then not tried again and again."""
    bench = Bench(entry(holding(*places)), u1=unit)
    news = await bench.start(10.0)
    assert all(count[Quality.GOOD] == 10 for tag, count in qualities(news).items() if places[tag] not in unit.refused)
    bench.link.requests.clear()
    await bench.run(3.0)
    assert sorted(request[2:] for request in bench.link.requests) == sorted(3 * expected)


async def test_the_breaker_is_half_open_while_it_probes() -> None:
    unit = FakeUnit(silent=True)
    bench = Bench(entry(holding(0)), entry(holding(0), number=1, first_tag=1, unit=2), u1=unit, u2=FakeUnit())
    seen = set()
    tell = bench.clock.sleep

    async def sleep(delay_s: float) -> None:
        seen.add(bench.source.stats()[0]["breaker"])
        await tell(delay_s)

    bench.clock.sleep = sleep  # type: ignore[method-assign]
    await bench.start(30.0)
    assert seen == {"closed", "open", "half_open"}


async def test_an_illegal_gap_costs_nothing() -> None:
    bench = Bench(entry(holding(0, 1, 10, 11)), u1=FakeUnit(refused={5: 2}))
    news = await bench.start(5.0)
    assert all(count == {Quality.GOOD: 5} for count in qualities(news).values())
    assert states(news) == [DeviceState(0, "ok")]


async def test_a_multi_register_tag_is_never_split() -> None:
    unit = FakeUnit(refused={3: 2})
    bench = Bench(entry(holding(0, 2, 4, 6, type="float32")), u1=unit)
    found = qualities(await bench.start(2.0))
    assert set(found[1]) == {Quality.BAD_ADDRESS}
    assert all(start % 2 == 0 and count % 2 == 0 for _, _, start, count in bench.link.requests)


async def test_an_illegal_function_is_not_searched_for_a_culprit() -> None:
    bench = Bench(entry(holding(*range(100))), u1=FakeUnit(code=1))
    news = await bench.start(5.0)
    assert len(bench.link.requests) == 1
    assert all(count == {Quality.BAD_ADDRESS: 1} for count in qualities(news).values())
    (state,) = states(news)
    assert state.reason.startswith("100 of 100 tags cannot be read: t0 (illegal function), t1 ")
    assert state.reason.endswith(" and 95 more")


@pytest.mark.parametrize("count", [1, 20])
async def test_a_passing_device_failure_changes_nothing(count: int) -> None:
    unit = FakeUnit()
    bench = Bench(entry(holding(*range(count))), u1=unit)
    await bench.start(1.0)
    unit.code = 4
    assert set(qualities(await bench.run(1.0))[0]) == {Quality.BAD_DEVICE_FAILURE}
    unit.code = 0
    bench.link.requests.clear()
    await bench.run(3.0)
    assert bench.link.requests == 3 * [(1, "holding", 0, count)]


async def test_a_stopped_controller_is_read_in_one_request_again_afterwards() -> None:
    unit = FakeUnit()
    bench = Bench(entry(holding(*range(20))), u1=unit)
    await bench.start(1.0)
    unit.code = 4
    news = await bench.run(5.0)
    assert [state.state for state in states(news)] == ["degraded"]
    assert all(set(count) == {Quality.BAD_DEVICE_FAILURE} for count in qualities(news).values())
    unit.code = 0
    assert states(await bench.run(60.0)) == [DeviceState(0, "ok")]
    bench.link.requests.clear()
    await bench.run(3.0)
    assert bench.link.requests == 3 * [(1, "holding", 0, 20)]


@pytest.mark.parametrize("code", [5, 6])
async def test_a_busy_unit_is_asked_again_and_that_is_all(code: int) -> None:
    """Three more times in a turn, with growing waits; then the turn is lost, the connection and the split are not."""
    unit = FakeUnit()
    bench = Bench(entry(holding(*range(10))), u1=unit)
    await bench.start(1.0)
    bench.link.requests.clear()
    unit.code = code
    news = await bench.run(3.0)
    assert states(news) == []
    assert all(count == {Quality.BAD_COMM_FAILURE: 3} for count in qualities(news).values())
    assert bench.link.requests == 12 * [(1, "holding", 0, 10)]
    assert bench.source.stats()[0][f"exceptions_{code}"] == 12


async def test_a_unit_busy_for_a_moment_loses_nothing() -> None:
    unit = FakeUnit()
    bench = Bench(entry(holding(*range(10))), u1=unit)
    await bench.start(1.0)
    unit.code = 6
    await bench.run(0.05)
    unit.code = 0
    assert qualities(await bench.run(0.5))[0] == {Quality.GOOD: 1}


async def test_a_busy_unit_leaves_the_line_to_the_others() -> None:
    bench = Bench(entry(holding(0)), entry(holding(0), 1, 1, unit=2, interval="100ms"), u1=FakeUnit(code=6), u2=FakeUnit())
    assert qualities(await bench.start(10.0))[1] == {Quality.GOOD: 100}


async def test_a_refused_address_is_asked_more_and_more_seldom() -> None:
    bench = Bench(entry(holding(*range(4), interval="10s")), u1=FakeUnit(refused={2: 2}))
    await bench.start(7200.0)
    probes = [request for request in bench.link.requests if request[2:] == (2, 1)]
    assert 6 <= len(probes) <= 16
    bench.link.requests.clear()
    await bench.run(3600.0)
    probes = [request for request in bench.link.requests if request[2:] == (2, 1)]
    assert 1 <= len(probes) <= 5


async def test_the_units_of_a_bus_begin_spread_over_a_second() -> None:
    units = [entry(holding(0, interval="1h"), number=n, first_tag=n, unit=n + 1) for n in range(4)]
    bench = Bench(*units, **{f"u{n}": FakeUnit() for n in range(1, 5)})
    await bench.source.open()
    begin, seen = bench.clock.now_ns(), []
    while len(seen) < 4:
        if isinstance(item := await bench.source.read(), SampleBlock):
            seen.append((item.time[0] - begin) / 1e9)
    assert seen == pytest.approx([0.01, 0.26, 0.51, 0.76])


async def test_texts_and_labels_come_as_objects_and_go_bad_with_their_request() -> None:
    unit = FakeUnit({0: 0x4142, 1: 1, 2: 5})
    tags = [
        {"address": "holding:0", "type": "string", "length": 2},
        {"address": "holding:1", "labels": {1: "on"}},
        {"address": "holding:2"},
    ]
    bench = Bench(entry(tags, first_tag=7), u1=unit)
    news = await bench.start(0.5)
    assert {tag: rows[0][0] for tag, rows in samples(news).items()} == {8: 1.0, 9: 5.0}
    (objects,) = [item for item in news if isinstance(item, ObjectBlock)]
    assert (objects.tag.tolist(), objects.value) == ([7, 8], ("AB", "on"))
    unit.code = 4
    news = await bench.run(1.0)
    (objects,) = [item for item in news if isinstance(item, ObjectBlock)]
    assert (objects.tag.tolist(), objects.value) == ([7, 8], [None, None])
    assert set(objects.quality) == {Quality.BAD_DEVICE_FAILURE}
    assert set(samples(news)) == {7, 8, 9}


async def test_what_happened_is_counted_for_each_device() -> None:
    first, second = entry(holding(0)), entry(holding(0), number=1, first_tag=1, unit=2)
    unit = FakeUnit()
    bench = Bench(first, second, u1=unit, u2=FakeUnit(code=2))
    await bench.start(3.0)
    unit.silent = True
    await bench.run(6.0)
    stats = bench.source.stats()
    assert (stats[0]["breaker"], stats[1]["breaker"]) == ("open", "closed")
    assert (stats[0]["exceptions"], stats[1]["exceptions"], stats[1]["exceptions_2"]) == (0, 1, 1)
    assert stats[0]["timeouts"] >= 2
    assert int(stats[0]["requests"]) - 3 - int(stats[0]["timeouts"]) in (0, 1)  # one may be on its way
    assert stats[0]["round_trip_ms"] == stats[0]["round_trip_max_ms"] == pytest.approx(10, abs=0.01)


async def test_the_first_timeout_spares_the_rest_of_the_cycle() -> None:
    unit = FakeUnit()
    bench = Bench(
        entry(holding(0, 100, 200, 300), unit=1, timeout="200ms"), entry(holding(0), 1, 4, unit=2), u1=unit, u2=FakeUnit()
    )
    await bench.start(1.0)
    unit.silent = True
    bench.link.requests.clear()
    news = await bench.run(0.9)
    assert [request[0] for request in bench.link.requests].count(1) == 1
    assert {tag: set(rows) for tag, rows in qualities(news).items() if tag < 4} == {
        tag: {Quality.BAD_TIMEOUT} for tag in range(4)
    }
    assert set(qualities(news)[4]) == {Quality.GOOD}


async def test_a_dead_unit_is_told_down_and_costs_the_others_a_timeout_now_and_then() -> None:
    unit = FakeUnit()
    dead, alive = entry(holding(0, 100, 200)), entry(holding(0), number=1, first_tag=3, unit=2)
    bench = Bench(dead, alive, u1=unit, u2=FakeUnit())
    await bench.start(1.0)
    unit.silent = True
    news = await bench.run(3600.0)
    assert states(news) == [DeviceState(0, "down", "unit 1 does not answer: no reply within 1 s, 3 times in a row")]
    probes = [request[0] for request in bench.link.requests].count(1)
    assert 60 < probes < 200
    assert qualities(news)[3][Quality.GOOD] >= 3600 - probes - 2


async def test_a_unit_that_is_back_is_told_ok_first_and_read_completely_at_once() -> None:
    unit = FakeUnit()
    slow = holding(0) + holding(100, interval="1h")
    bench = Bench(entry(slow), entry(holding(0), number=1, first_tag=2, unit=2), u1=unit, u2=FakeUnit())
    await bench.start(1.0)
    unit.silent = True
    await bench.run(120.0)
    unit.silent = False
    news = [item for item in await bench.run(65.0) if not (isinstance(item, SampleBlock) and item.tag[0] == 2)]
    assert news[0] == DeviceState(0, "ok")
    assert {int(block.tag[0]) for block in news[1:3] if isinstance(block, SampleBlock)} == {0, 1}
    assert qualities(news)[1] == {Quality.GOOD: 1}


async def test_when_no_unit_answers_the_connection_is_given_up_and_opens_again() -> None:
    units = {"u1": FakeUnit(), "u2": FakeUnit()}
    bench = Bench(entry(holding(0)), entry(holding(0), number=1, first_tag=1, unit=2), **units)
    await bench.start(1.0)
    for unit in units.values():
        unit.silent = True
    with pytest.raises(NotConnected, match="no unit answers"):
        await bench.run(10.0)
    await bench.source.close()
    for unit in units.values():
        unit.silent = False
    assert {state.state for state in states(await bench.start(2.0))} == {"ok"}


async def test_a_gateway_that_answers_for_a_dead_unit_keeps_the_connection() -> None:
    bench = Bench(entry(holding(0, 100)), u1=FakeUnit(code=11))
    news = await bench.start(300.0)
    reason = "unit 1 does not answer: exception 11, gateway target device failed to respond, 2 times in a row"
    assert states(news) == [DeviceState(0, "down", reason)]
    assert set(qualities(news)[0]) == {Quality.BAD_NOT_CONNECTED}


async def test_a_request_that_alone_is_never_answered_does_not_stop_its_unit() -> None:
    bench = Bench(entry(holding(0, 100, 200)), u1=FakeUnit(mute={100}))
    news = await bench.start(600.0)
    found = qualities(news)
    assert set(found[1]) == {Quality.BAD_TIMEOUT}
    assert min(found[0][Quality.GOOD], found[2][Quality.GOOD]) > 550
    assert states(news)[-1] == DeviceState(
        0, "degraded", "1 of 3 tags cannot be read: t1 (no reply within 1 s to holding:100)"
    )


async def test_late_turns_are_skipped_and_counted() -> None:
    bench = Bench(entry(holding(0, interval="10ms")), u1=FakeUnit(), latency_s=0.035)
    taken = len(samples(await bench.start(1.4))[0])
    assert 39 <= taken <= 41
    assert bench.source.stats()[0]["overruns"] == pytest.approx(100, abs=3)


async def test_a_connection_lost_between_reads_is_noticed_within_a_second() -> None:
    bench = Bench(entry(holding(0, interval="1h")), u1=FakeUnit())
    await bench.start(0.5)
    bench.link.connected, bench.link.refuse = False, True
    lost_at = bench.clock.monotonic()
    with pytest.raises(NotConnected, match="refused"):
        await bench.source.read()
    assert bench.clock.monotonic() - lost_at <= 1.0


async def test_an_idle_connection_that_the_device_closes_is_no_news_and_no_extra_poll() -> None:
    bench = Bench(entry(holding(0, interval="1m")), u1=FakeUnit())
    tell = bench.clock.sleep

    async def sleep(delay_s: float) -> None:
        bench.link.connected = bench.link.connected and delay_s < 0.5  # closed whenever nothing is asked
        await tell(delay_s)

    bench.clock.sleep = sleep  # type: ignore[method-assign]
    news = await bench.start(599.0)
    assert states(news) == [DeviceState(0, "ok")]
    assert qualities(news) == {0: {Quality.GOOD: 10}}
    assert bench.source.stats()[0]["connection_connects"] == 20


async def test_what_was_refused_is_tried_again_on_a_new_connection() -> None:
    unit = FakeUnit(refused={1: 2})
    bench = Bench(entry(holding(0, 1)), u1=unit)
    await bench.start(2.0)
    await bench.source.close()
    unit.refused.clear()
    news = await bench.start(1.5)
    assert states(news)[-1] == DeviceState(0, "ok")
    assert set(qualities(news)[1]) == {Quality.GOOD}


async def test_a_refused_connection_and_a_closed_source_say_so() -> None:
    bench = Bench(entry(holding(0)), u1=FakeUnit())
    await bench.source.close()
    with pytest.raises(NotConnected):
        await bench.source.read()
    bench.link.refuse = True
    with pytest.raises(NotConnected, match="refused"):
        await bench.source.open()


@pytest.mark.parametrize("in_flight", [1, 4])
async def test_a_device_that_closes_instead_of_refusing_costs_one_tag(in_flight: int) -> None:
    """Every tag in one request, so that no connection ever served until the request was taken apart."""
    bench = Bench(entry(holding(*range(40)), max_in_flight=in_flight), u1=FakeUnit(closes={23}))
    await bench.heal(120.0)
    bench.link.requests.clear()
    news = await bench.heal(40.0)
    found = qualities(news)
    assert set(found.pop(23)) == {Quality.BAD_COMM_FAILURE}
    assert len(found) == 39
    assert all(set(count) == {Quality.GOOD} and count[Quality.GOOD] >= 38 for count in found.values())
    assert len([start for _, _, start, count in bench.link.requests if start <= 23 < start + count]) <= 4
    assert states(news)[-1].state == "degraded"
    assert "t23 (" in states(news)[-1].reason


@pytest.mark.parametrize("in_flight", [1, 4])
async def test_a_request_that_ends_connections_which_serve_others_costs_no_one_else_a_turn(in_flight: int) -> None:
    tags = holding(*range(10)) + holding(500) + holding(*range(1000, 1010))
    bench = Bench(entry(tags, max_in_flight=in_flight), u1=FakeUnit(closes={500}))
    await bench.heal(5.0, 1.0)  # with more than one in flight the first connection is lost for all
    found = qualities(await bench.start(20.0))
    assert set(found.pop(10)) == {Quality.BAD_COMM_FAILURE}
    assert all(count == {Quality.GOOD: 20} for count in found.values())
    assert bench.source.stats()[0]["connection_connects"] < 20


async def test_a_device_that_closed_every_connection_for_an_hour_is_read_in_few_requests_again() -> None:
    unit = FakeUnit(closes={0})
    bench = Bench(entry(holding(0) + holding(*range(2, 40))), u1=unit)
    unit.closes = set(range(40))
    await bench.heal(3600.0, 60.0)
    unit.closes = set()
    await bench.heal(2000.0)
    bench.link.requests.clear()
    news = await bench.heal(10.0)
    assert states(news)[-1] == DeviceState(0, "ok")
    assert len(bench.link.requests) <= 12


async def test_bad_samples_carry_no_value() -> None:
    bench = Bench(entry(holding(0, 1)), u1=FakeUnit(code=2))
    assert all(np.isnan(value) for rows in samples(await bench.start(2.0)).values() for value, _ in rows)
