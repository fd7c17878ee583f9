"""What becomes of a connection that the peer closes, and of a second address; no sockets, no sleeps."""

import asyncio

import pytest

from gateway.core.errors import NotConnected
from gateway.sources.modbus.counters import ConnectionCounters
from gateway.sources.modbus.failover_link import FailoverLink
from gateway.sources.modbus.link import HungUp, NoReply, Refusal
from tests.support.modbus_fake import FakeClock, FakeLink, FakeUnit


class Bench:
    """A line of fake links with a unit 1 behind each."""

    def __init__(self, links: int = 1) -> None:
        self.clock = FakeClock()
        self.counters = ConnectionCounters()
        self.links = [FakeLink(self.clock, {1: FakeUnit()}) for _ in range(links)]
        self.line = FailoverLink(self.links, self.counters)

    async def read(self) -> bytes:
        return await self.line.read(1, "holding", 7, 1, 1.0)

    def hang_up(self, link: int = 0) -> None:
        self.links[link].connected = False


async def test_an_idle_connection_that_is_closed_is_opened_again_once_and_then_with_the_next_request() -> None:
    bench = Bench()
    await bench.line.open(3.0)
    for turn in range(3):
        assert await bench.read() == b"\0\7"
        bench.hang_up()
        await bench.line.check_idle()
        assert bench.links[0].connected
        bench.hang_up()
        for _ in range(100):
            await bench.line.check_idle()
        assert not bench.links[0].connected
        assert bench.counters.connects == 2 * (turn + 1)


async def test_a_server_that_is_gone_is_noticed_while_nothing_is_asked() -> None:
    bench = Bench()
    await bench.line.open(3.0)
    await bench.read()
    bench.hang_up()
    bench.links[0].refuse = True
    with pytest.raises(NotConnected, match="refused"):
        await bench.line.check_idle()


async def test_a_connection_that_never_served_and_is_closed_is_no_idle_one() -> None:
    """A controller that allows one connection accepts a second and closes it: only the supervisor's pauses help."""
    bench = Bench()
    await bench.line.open(3.0)
    bench.hang_up()
    with pytest.raises(NotConnected, match="allow one more connection"):
        await bench.line.check_idle()
    with pytest.raises(NotConnected):
        await bench.read()
    assert bench.counters.connects == 1


async def closed_under_way(*_: object) -> bytes:
    raise NotConnected("the connection was lost")


async def test_a_request_whose_connection_is_lost_is_asked_once_more_where_it_had_served() -> None:
    bench = Bench()
    await bench.line.open(3.0)
    link, read = bench.links[0], bench.links[0].read
    link.read = closed_under_way  # type: ignore[method-assign, assignment]
    with pytest.raises(NotConnected, match="lost"):
        await bench.read()
    assert bench.counters.connects == 1

    async def close_once(*request: object) -> bytes:
        link.read = read  # type: ignore[method-assign]
        link.connected = False
        raise NotConnected("the connection was lost")

    link.read = read  # type: ignore[method-assign]
    await bench.read()
    link.read = close_once  # type: ignore[method-assign, assignment]
    assert await bench.read() == b"\0\7"
    assert bench.counters.connects == 2


async def test_a_request_at_which_the_connection_is_closed_twice_is_refused_and_others_are_served() -> None:
    bench = Bench()
    await bench.line.open(3.0)
    await bench.read()
    link, read = bench.links[0], bench.links[0].read
    link.read = closed_under_way  # type: ignore[method-assign, assignment]
    with pytest.raises(Refusal, match="closed instead"):
        await bench.read()
    link.read = read  # type: ignore[method-assign]
    link.connected = False
    assert await bench.read() == b"\0\7"


async def test_a_connection_that_ends_at_its_first_request_is_lost() -> None:
    bench = Bench()
    await bench.line.open(3.0)
    bench.links[0].read = closed_under_way  # type: ignore[method-assign, assignment]
    with pytest.raises(HungUp, match="lost"):
        await bench.read()


async def test_a_backup_is_used_while_the_first_address_cannot_be_reached() -> None:
    bench = Bench(2)
    bench.links[0].refuse = True
    await bench.line.open(3.0)
    assert bench.line.active == 1
    assert await bench.read() == b"\0\7"
    bench.line.close()
    bench.links[0].refuse = False
    await bench.line.open(3.0)
    assert bench.line.active == 0


async def test_the_first_address_takes_over_again_once_it_answers_and_nothing_under_way_is_lost() -> None:
    bench = Bench(2)
    first, backup = bench.links
    first.refuse = True
    await bench.line.open(3.0)
    await bench.read()
    assert not await bench.line.try_first()
    first.refuse, first.units[1].silent = False, True
    assert not await bench.line.try_first()
    assert (bench.line.active, first.connected, backup.connected) == (1, False, True)
    first.units[1].silent = False
    ask = backup.read
    started, closed = asyncio.Event(), asyncio.Event()

    async def interrupted(*request: object) -> bytes:
        started.set()
        await closed.wait()
        raise NotConnected("closed")

    backup.read = interrupted  # type: ignore[method-assign, assignment]
    under_way = asyncio.create_task(bench.read())
    await started.wait()
    assert await bench.line.try_first()
    closed.set()
    assert await under_way == b"\0\7"
    assert (bench.line.active, first.connected, backup.connected) == (0, True, False)
    backup.read = ask  # type: ignore[method-assign]


async def test_a_first_address_that_accepts_and_says_nothing_is_passed_over() -> None:
    bench = Bench(2)
    bench.links[0].units[1].silent = True
    await bench.line.open(3.0)
    with pytest.raises(NoReply):
        await bench.read()
    bench.line.close()
    await bench.line.open(3.0)
    assert bench.line.active == 1
    bench.links[1].units[1].silent = True
    bench.line.close()
    await bench.line.open(3.0)
    assert bench.line.active == 0


async def test_when_none_can_be_reached_all_reasons_are_told_and_the_first_goes_on_being_the_first() -> None:
    bench = Bench(2)
    for link in bench.links:
        link.refuse = True
    for _ in range(3):
        with pytest.raises(NotConnected, match="refused; refused"):
            await bench.line.open(3.0)
    for link in bench.links:
        link.refuse = False
    await bench.line.open(3.0)
    assert bench.line.active == 0
