"""When gaps are filled, by whose clock, and what is told of it."""

import asyncio
import contextlib

import numpy as np
import pytest

from gateway.core.errors import NotConnected
from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.port.history import HistoryPage
from gateway.sources.opcua.port.traffic import Traffic
from gateway.sources.opcua.port.values import Item
from gateway.sources.opcua.source.history.backfill import CLOCKS, CUT_OFF, NOWHERE, SET_BACK, TOO_MANY, Backfill
from gateway.sources.opcua.source.history.gaps import MOST_GAPS, Gaps
from gateway.sources.opcua.source.history.watermark import Watermark
from tests.support.clock import ManualClock
from tests.support.opcua_fake import DAY_NS, values
from tests.support.watermarks_fake import FakeWatermarks

S = 1_000_000_000
ITEMS = [Item(0, "ns=1;s=a", S, 1), Item(1, "ns=1;s=b", S, 1)]
INTERNAL = 0x80020000


class Server:
    """A connection whose clock is `ahead_s` of ours, with values at the given times."""

    def __init__(self, *seconds: float, ahead_s: float = 0.0) -> None:
        self.traffic = Traffic(clock_ms=ahead_s * 1e3)
        self.history = self
        self.times = [DAY_NS + round(one * S) for one in seconds]
        self.asked: list[tuple[float, float]] = []
        self.is_readable = True
        self.status = 0
        self.failure: Exception | None = None

    async def readable(self, items):
        return [self.is_readable] * len(items)

    async def read(self, items, start_ns, end_ns, most, points):
        self.asked.append(((start_ns - DAY_NS) / S, (end_ns - DAY_NS) / S))
        if self.failure:
            raise self.failure
        here = [] if self.status else [time for time in self.times if start_ns - 1000 <= time <= end_ns]
        columns = values([0] * len(here), [1.0] * len(here), source_ns=here).columns
        return [HistoryPage(self.status, b"", columns) for _ in items]

    async def release(self, items, points):
        pass


class MetricValue:
    """Reports and events."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.events: list[dict[str, object]] = []

    def warn(self, sentence: str, count: int) -> None:
        self.complaints.append(sentence)

    def report(self, event) -> None:
        self.events.append(event.payload())


class Bench:
    """A device of which something was heard at 0 s, and again at 100 s of the server's clock."""

    def __init__(self, **device: object) -> None:
        self.clock = ManualClock(monotonic_s=0)
        config = {"name": "plc", "protocol": "opcua", "url": "opc.tcp://a", "history": True}
        self.config = OpcUaDevice.model_validate(config | device)
        self.gaps = Gaps(len(ITEMS))
        self.watermark = Watermark(self.config, ITEMS, self.gaps, self.clock, FakeWatermarks())
        self.filling = Backfill(self.config, ITEMS, 0, self.clock, self.gaps, self.watermark, 3.0)
        self.told = MetricValue()
        self.got: list[float] = []
        self.hear(0)

    def hear(self, seconds: float) -> None:
        self.gaps.receive(np.arange(2, dtype=np.uint32), np.full(2, DAY_NS + round(seconds * S)))

    async def put(self, read) -> None:
        self.got += [(time - DAY_NS) / S for time in read.columns.source_ns.tolist()]

    async def run(self, server: Server, for_s: float = 60.0, back_at: float | None = 100.0) -> None:
        """A connection that lasts so long."""
        self.gaps.on_connected()
        self.watermark.on_connected()
        await self.clock.advance(100)
        if back_at is not None:
            self.hear(back_at)
        running = self.filling.run(server, self.clock.now_ns(), self.put, self.told, self.told.report)
        task = asyncio.create_task(running)
        for _ in range(round(for_s * 4)):
            await self.clock.advance(0.25)
            await asyncio.sleep(0)
            if task.done():
                break
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_gap_is_filled_and_told():
    bench = Bench()
    await bench.run(Server(10, 50))
    assert sorted(bench.got) == [10, 10, 50, 50]
    assert [(one["samples"], one["nodes"]) for one in bench.told.events] == [(4, 2)]
    assert not bench.gaps.waiting


async def test_history_is_asked_for_by_the_servers_clock():
    """Three seconds ahead of ours. What was silent since the connection began is asked for up to then, and how far back one
    may go is counted from the server's present."""
    bench = Bench(history_most="60s")
    server = Server(50, 102, 103.5, ahead_s=3)
    await bench.run(server, back_at=None)
    assert max(end for _, end in server.asked) == 103
    assert min(begin for begin, _ in server.asked) == pytest.approx(44, abs=1)
    assert bench.got == [50, 50, 102, 102]
    assert bench.told.events[0]["too_old_ms"] == pytest.approx(44_000, abs=1000)


async def test_nothing_is_asked_while_the_clocks_differ_and_everything_once_they_agree():
    bench = Bench()
    server = Server(10, 50, ahead_s=3600)
    running = asyncio.create_task(bench.run(server, 200))
    while not bench.told.complaints:
        await asyncio.sleep(0.001)
    assert (bench.told.complaints, server.asked) == ([CLOCKS], [])
    server.traffic.clock_ms = 0.0
    await running
    assert sorted(bench.got) == [10, 10, 50, 50]


async def test_a_clock_that_was_set_back_in_the_gap_is_told_and_nothing_is_read_twice():
    bench = Bench()
    bench.hear(5000)
    server = Server(10, 50, 4990)
    await bench.run(server)
    assert not bench.got
    assert [(one["reason"], one["to"] - one["from"]) for one in bench.told.events] == [(SET_BACK, 4_900_000)]


async def test_refused_history_is_told_once_and_asked_for_again_until_it_comes():
    bench = Bench()
    server = Server(10, 50)
    server.status = INTERNAL
    running = asyncio.create_task(bench.run(server, 1000))
    while len(server.asked) < 3 or not bench.filling.refused:
        await asyncio.sleep(0)
    assert [one["refused"] for one in bench.told.events] == [2]
    assert "see its log" in str(bench.told.events[0]["reason"])
    assert len(bench.told.complaints) == 1
    assert "the server refuses to read history: BadInternalError" in bench.told.complaints[0]
    assert bench.filling.refused == 2
    server.status = 0
    await running
    assert (sorted(bench.got), bench.filling.refused) == ([10, 10, 50, 50], 0)
    assert "refused" not in bench.told.events[-1]


async def test_a_server_without_any_history_is_told_once():
    bench = Bench()
    server = Server()
    server.is_readable = False
    for _ in range(2):
        await bench.run(server, back_at=None)
    assert bench.told.complaints == [NOWHERE]


async def test_connections_that_break_each_time_that_history_is_read_get_time_in_between():
    bench = Bench()
    server = Server(10)
    server.failure = NotConnected("gone")
    for _ in range(3):
        with pytest.raises(NotConnected):
            await bench.run(server)
    asked = len(server.asked)
    await bench.run(server, 30)
    assert (len(server.asked), bench.told.complaints) == (asked, [CUT_OFF])


async def test_a_wait_that_was_cut_short_for_other_reasons_is_not_longer_the_next_time():
    """Or the history of a link that breaks every minute would never be read."""
    bench = Bench()
    server = Server(10, 50)
    server.failure = NotConnected("the server hangs up")
    for _ in range(3):
        with pytest.raises(NotConnected):
            await bench.run(server)
    server.failure = None
    for _ in range(3):
        await bench.run(server, 30)
    await bench.run(server, 70)
    assert not bench.gaps.waiting


async def test_gaps_that_are_given_up_are_told():
    bench = Bench()
    for start in range(1, MOST_GAPS + 2):
        bench.gaps.on_connected()
        bench.hear(10 * start)
        bench.gaps.close_open_gap(DAY_NS)
    bench.hear(200)
    await bench.run(Server(), back_at=300)
    given_up = [one for one in bench.told.events if one.get("reason") == TOO_MANY]
    assert [(one["from"] - DAY_NS // 1_000_000, one["skipped_ms"]) for one in given_up] == [(0, 10_000), (10_000, 10_000)]
