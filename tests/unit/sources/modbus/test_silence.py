"""A unit that is silent on some registers loses those, and nothing else; it is down only when it answers nothing."""

import pytest

from gateway.core.errors import NotConnected
from gateway.core.messages import DeviceState
from gateway.core.quality import Quality
from gateway.sources.modbus.probing import spread
from tests.support.modbus_fake import FakeUnit, entry
from tests.unit.sources.modbus.test_source import Bench, holding, qualities, states

SILENT = set(range(11021, 11037))
PLACES = (11018, 11020, 11021, 11030, 11036, 11040)


@pytest.mark.parametrize("url", ["tcp://127.0.0.1", "rtu:///dev/ttyUSB0"])
@pytest.mark.parametrize("in_flight", [1, 4])
async def test_six_tags_in_one_request_of_which_three_are_never_answered(url: str, in_flight: int) -> None:
    """Before: no good sample of any for 90 s, and the unit was down."""
    if url.startswith("rtu") and in_flight > 1:
        return
    bench = Bench(entry(holding(*PLACES), url=url, max_in_flight=in_flight), u1=FakeUnit(mute=SILENT))
    await bench.heal(25.0, 1.0)
    found = qualities(await bench.run(120.0))
    for tag in (0, 1, 5):
        assert set(found[tag]) == {Quality.GOOD}
        assert found[tag][Quality.GOOD] > 100
    assert all(set(found.get(tag, {})) <= {Quality.BAD_TIMEOUT} for tag in (2, 3, 4))


async def test_the_reason_names_the_addresses() -> None:
    bench = Bench(entry(holding(*PLACES)), u1=FakeUnit(mute=SILENT))
    news = await bench.heal(40.0, 1.0)
    (*_, last) = states(news)
    assert last.state == "degraded"
    assert last.reason == (
        "3 of 6 tags cannot be read: t2 (no reply within 1 s to holding:11021), t3 (no reply within 1 s to holding:11030), "
        "t4 (no reply within 1 s to holding:11036)"
    )


async def test_silent_requests_in_a_row_do_not_take_their_unit_down() -> None:
    """Two of four requests are never answered, one after the other."""
    bench = Bench(entry(holding(0, 100, 200, 300), max_gap=0), u1=FakeUnit(mute={100, 200}))
    news = await bench.start(300.0)
    assert "down" not in {state.state for state in states(news)}
    found = qualities(news)
    assert min(found[0][Quality.GOOD], found[3][Quality.GOOD]) > 270
    assert max(found[0][Quality.BAD_TIMEOUT], found[3][Quality.BAD_TIMEOUT]) <= 3


async def test_a_healthy_request_beside_a_silent_one_stays_good() -> None:
    bench = Bench(entry(holding(*PLACES) + holding(0, 1, 2)), u1=FakeUnit(mute=SILENT))
    await bench.start(30.0)
    found = qualities(await bench.run(60.0))
    assert all(set(found[tag]) == {Quality.GOOD} for tag in (6, 7, 8))


async def test_a_gap_that_silences_a_request_costs_nothing() -> None:
    bench = Bench(entry(holding(0, 1, 10, 11)), u1=FakeUnit(mute={5}))
    await bench.start(20.0)
    news = await bench.run(60.0)
    assert all(set(count) == {Quality.GOOD} for count in qualities(news).values())
    assert len(qualities(news)) == 4


async def test_registers_that_fall_silent_while_it_runs_are_found_and_are_read_again_when_they_answer() -> None:
    unit = FakeUnit()
    bench = Bench(entry(holding(*PLACES)), u1=unit)
    await bench.start(5.0)
    unit.mute = SILENT
    await bench.heal(60.0, 1.0)
    assert set(qualities(await bench.run(30.0))[0]) == {Quality.GOOD}
    unit.mute = set()
    await bench.run(1900.0)
    bench.link.requests.clear()
    found = qualities(await bench.run(10.0))
    assert all(set(found[tag]) == {Quality.GOOD} for tag in range(6))
    assert len(bench.link.requests) <= 20


async def test_a_modbus_gateway_that_answers_for_silent_registers_is_no_reason_to_be_down() -> None:
    """Exception 11 instead of silence."""
    bench = Bench(entry(holding(*PLACES)), u1=FakeUnit(refused=dict.fromkeys(SILENT, 11)))
    news = await bench.start(60.0)
    assert set(qualities(await bench.run(30.0))[0]) == {Quality.GOOD}
    assert states(news)[-1].state == "degraded"


async def test_a_unit_that_answers_nothing_is_down_after_a_few_requests() -> None:
    other = entry(holding(0), number=1, first_tag=6, unit=2)
    bench = Bench(entry(holding(*PLACES)), other, u1=FakeUnit(silent=True), u2=FakeUnit())
    news = [state for state in states(await bench.start(12.0)) if state.device == 0]
    assert news == [DeviceState(0, "down", "unit 1 does not answer: no reply within 1 s, 6 times in a row")]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 100])
def test_signs_of_life_are_looked_for_far_from_each_other(count: int) -> None:
    order = spread(count)
    assert sorted(order) == list(range(count))
    assert count < 7 or order[:3] == [0, count - 1, (count - 1) // 2]


async def test_what_is_held_on_a_line_that_may_be_shared_is_handed_on_before_the_connection_counts_as_lost() -> None:
    unit = FakeUnit()
    bench = Bench(entry(holding(0), url="rtu+tcp://127.0.0.1", timeout="100ms", interval="100ms"), u1=unit)
    await bench.start(1.05)
    unit.silent = True
    news, reason = [], ""
    while not reason:
        try:
            news.append(await bench.source.read())
        except NotConnected as error:
            reason = str(error)
    assert "no unit answers" in reason
    assert qualities(news)[0][Quality.BAD_TIMEOUT] == 2
