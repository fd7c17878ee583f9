"""What is kept over restarts: exactly after a proper end, not too early after a crash, and never a reason to fail."""

import json
from math import inf
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from gateway.core.ports.watermarks import StoredWatermark
from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.port.values import Item
from gateway.sources.opcua.source.history.gaps import Gaps
from gateway.sources.opcua.source.history.watermark import AHEAD_S, LEASE_S, Watermark
from tests.support.clock import SkippingClock, TimeIsUp
from tests.support.opcua_fake import DAY_NS
from tests.support.watermarks_fake import Disk, FakeWatermarks

S = 1_000_000_000
LEASE_NS = round(LEASE_S * S)
HELD_S = 3.0
HELD_NS = 3 * S
ITEMS = [Item(0, "ns=1;s=a", S, 1), Item(1, "ns=1;s=b", S, 1, "1:2"), Item(2, "ns=1;s=c", S, 1)]
REFUSED = 0x80020000


@pytest.fixture
def disk() -> Disk:
    """What is left of one run to the next."""
    return {}


def state_of(disk: Disk) -> dict[str, Any]:
    return json.loads(disk["opcua/state/plc"].value)


class Run:
    """One run of the gateway on an outbox."""

    def __init__(self, disk: Disk, *, items=ITEMS, now_ns=DAY_NS, folder="/dev/null/nowhere", **config: object) -> None:
        device = {"name": "plc", "protocol": "opcua", "url": "opc.tcp://127.0.0.1", "history_kept": str(folder)} | config
        self.clock = SkippingClock(now_ns)
        self.gaps = Gaps(len(items))
        self.store = FakeWatermarks(disk)
        self.watermark = Watermark(OpcUaDevice.model_validate(device), items, self.gaps, self.clock, self.store, HELD_S)

    def begin(self) -> "Run":
        self.watermark.load()
        self.gaps.on_connected()
        self.watermark.on_connected()
        return self

    def hear(self, *times: int) -> None:
        """One value of each row, in order."""
        rows = np.arange(len(times), dtype=np.uint32)
        self.gaps.receive(rows, np.array(times, np.int64))
        self.gaps.queue(rows, np.array(times, np.int64))

    async def deliver(self, *times: int) -> None:
        self.hear(*times)
        await self.watermark.admit()
        self.gaps.hand_on()

    def end(self, *, at_last: bool = True) -> None:
        """The connection ends; what it leaves is committed a little later."""
        self.watermark.end(at_last=at_last)
        self.store.commit()

    async def beat(self, turns: int = 1) -> None:
        self.clock.slept, self.clock.most_sleeps = [], turns
        with pytest.raises(TimeIsUp):
            await self.watermark.run()
        self.clock.most_sleeps = inf

    def gap(self) -> tuple[list[int], tuple[int, int]] | None:
        """Where the first gap begins, and what is skipped before."""
        self.begin()
        return (self.gaps.waiting[0].after.tolist(), self.gaps.skipped) if self.gaps.waiting else None

    def waiting(self) -> list[tuple[list[int], list[int], list[int]]]:
        """What this run is left to read back."""
        self.watermark.load()
        return [(gap.after.tolist(), gap.before.tolist(), gap.counts.tolist()) for gap in self.gaps.waiting]


async def test_after_a_proper_end_each_node_goes_on_where_it_was(disk):
    first = Run(disk).begin()
    await first.deliver(DAY_NS - 5, DAY_NS - 3)
    await first.beat()
    first.end()
    assert Run(disk).gap() == ([DAY_NS - 5, DAY_NS - 3, 0], (0, 0))
    turned = [ITEMS[2], ITEMS[1], ITEMS[0]]
    assert Run(disk, items=turned).gap() == ([0, DAY_NS - 3, DAY_NS - 5], (0, 0))


async def test_a_node_that_says_nothing_for_a_whole_run_is_not_forgotten(disk):
    first = Run(disk).begin()
    await first.deliver(DAY_NS - 5, DAY_NS - 3)
    first.end()
    second = Run(disk).begin()
    await second.deliver(DAY_NS)
    second.end()
    third = Run(disk).begin()
    assert [gap.after.tolist() for gap in third.gaps.waiting] == [[DAY_NS - 5, 0, 0], [DAY_NS, DAY_NS - 3, 0]]
    assert third.gaps.waiting[0].rows(9) == [0], "the gap of the other one goes on"


async def test_nothing_is_handed_on_before_the_disk_says_that_it_may_have_been(disk):
    run = Run(disk).begin()
    assert run.watermark.admits, "nothing waits"
    for k in (0, 5, 20, 3600):
        run.hear(DAY_NS + k * S)
        await run.watermark.admit()
        assert Run(disk).gap()[0][0] >= DAY_NS + k * S


async def test_after_a_crash_nothing_that_may_have_been_told_is_read_again(disk):
    first = Run(disk).begin()
    await first.deliver(DAY_NS, DAY_NS - 3)
    crashed = Run(disk)
    assert crashed.gap() == ([DAY_NS + LEASE_NS] * 3, (DAY_NS - HELD_NS, HELD_NS + LEASE_NS))
    crashed.hear(DAY_NS + 2 * S, DAY_NS + 3 * S, DAY_NS)
    crashed.gaps.close_open_gap(DAY_NS + 3 * S)
    (gap,) = crashed.gaps.waiting
    assert (gap.skipped_from_ns, gap.skipped_ns) == (DAY_NS - HELD_NS, HELD_NS + 3 * S), "no more than there can have been"
    assert gap.rows(9) == []


async def test_a_crash_after_a_crash_tells_of_both(disk):
    """The second run has handed on something, but crashed before the gap was kept as such."""
    await Run(disk).begin().deliver(DAY_NS)
    await Run(disk).begin().deliver(DAY_NS + 3600 * S)
    assert Run(disk).gap() == ([DAY_NS + 3600 * S + LEASE_NS] * 3, (DAY_NS - HELD_NS, HELD_NS + 3600 * S + LEASE_NS))


async def test_the_limit_is_renewed_before_it_is_reached_and_only_when_there_is_news(disk):
    run = Run(disk).begin()
    await run.beat(5)
    assert run.store.commits == 0
    await run.deliver(DAY_NS)
    run.clock.on_woken = lambda: (run.store.commit(), run.hear(run.clock.now_ns()))
    await run.beat(240)
    assert run.store.commits <= 240 / (LEASE_S / 2) + 2, "each commit happens anyway, so half a lease will do"
    assert run.watermark.admits, "renewed in time, so that samples need not wait"
    run.clock.on_woken = lambda: None
    await run.beat(2)
    run.store.commit()
    commits = run.store.commits
    await run.beat(150)
    run.store.commit()
    assert run.store.commits == commits


async def test_a_limit_that_is_not_on_the_disk_admits_nothing(disk):
    run = Run(disk).begin()
    await run.deliver(DAY_NS)
    run.hear(DAY_NS + round((LEASE_S - AHEAD_S / 2) * S))
    await run.beat()
    run.hear(DAY_NS + LEASE_NS + S)
    assert not run.watermark.admits, "it is renewed, and that is not written"
    run.store.commit()
    assert run.watermark.admits


async def test_without_a_commit_for_others_the_limit_is_renewed_late(disk):
    """All devices together then cost one commit in 24 s."""
    run = Run(disk).begin()
    await run.deliver(DAY_NS)
    renewed = []
    put = run.store.put
    run.store.put = lambda key, value: (renewed.append(run.clock.now_ns()), put(key, value))
    run.clock.on_woken = lambda: (run.store._changed and run.store.commit(), run.hear(run.clock.now_ns()))
    await run.beat(240)
    assert len(renewed) <= 240 / (LEASE_S - AHEAD_S - 1) + 1


async def test_a_connection_that_breaks_again_and_again_is_written_once_a_minute(disk):
    run = Run(disk).begin()
    for k in range(10):
        await run.deliver(DAY_NS + k)
        run.end(at_last=False)
    assert state_of(disk)["nodes"] == {"ns=1;s=a": DAY_NS}
    assert Run(disk).gap()[0][0] > DAY_NS + 9, "the note knows better"
    run.end()
    assert state_of(disk)["nodes"] == {"ns=1;s=a": DAY_NS + 9}
    assert Run(disk).gap()[0][0] == DAY_NS + 9


async def test_without_news_an_end_leaves_the_file_of_the_run_before(disk):
    first = Run(disk).begin()
    await first.deliver(DAY_NS)
    first.end()
    before = dict(disk)
    second = Run(disk).begin()
    await second.beat(3)
    second.end()
    assert disk == before


async def read_slice(run: Run, start_s: int, end_s: int, rows=(0, 1)) -> None:
    """Hand on one value per row of a slice."""
    gap = run.gaps.waiting[0]
    await run.watermark.before_slice(gap, DAY_NS + start_s * S, DAY_NS + end_s * S)
    gap.lend(list(rows), DAY_NS + start_s * S, DAY_NS + end_s * S, dict.fromkeys(rows, 1))


async def away(folder) -> Run:
    """A run that was stopped at 0 s and is back at 100 s: 100 s are to be read back of rows 0 and 1."""
    first = Run(folder).begin()
    await first.deliver(DAY_NS, DAY_NS)
    first.end()
    second = Run(folder, now_ns=DAY_NS + 100 * S).begin()
    await second.deliver(DAY_NS + 100 * S, DAY_NS + 100 * S)
    second.gaps.close_open_gap(DAY_NS + 100 * S)
    await second.watermark.before_reading_back()
    return second


def at(*seconds: float) -> list[int]:
    return [DAY_NS + round(s * S) for s in seconds]


async def test_a_gap_that_is_being_read_back_at_an_end_goes_on_where_it_was(disk):
    run = await away(disk)
    await read_slice(run, 0, 10)
    await read_slice(run, 10, 30)
    run.end()
    third = Run(disk)
    assert third.waiting() == [([at(30)[0] - 1] * 2 + [0], [*at(100, 100), 0], [2, 2, 0])]
    (gap,) = third.gaps.waiting
    assert (gap.is_resumed, gap.skipped_ns, third.gaps.skipped) == (True, 0, (0, 0))


async def test_what_was_read_and_not_taken_at_an_end_is_read_again(disk):
    run = await away(disk)
    await read_slice(run, 0, 10)
    await read_slice(run, 10, 30)
    run.gaps.waiting[0].return_lent(1, 1)
    run.end()
    assert Run(disk).waiting() == [([at(10)[0] - 1] * 2 + [0], [*at(100, 100), 0], [1, 1, 0])]


async def test_after_a_crash_a_gap_goes_on_behind_what_may_have_been_handed_on(disk):
    """Of the slices of the last seconds nobody knows how far they got: they are told as skipped."""
    run = await away(disk)
    await read_slice(run, 0, 10)
    run.clock.set_forward(2 * HELD_S)
    await read_slice(run, 10, 30)
    run.clock.set_forward(2 * HELD_S)
    await read_slice(run, 30, 60)
    third = Run(disk)
    assert third.waiting() == [([at(60)[0] - 1] * 2 + [0], [*at(100, 100), 0], [0, 0, 0])]
    (gap,) = third.gaps.waiting
    assert [gap.skipped_from_ns, gap.skipped_from_ns + gap.skipped_ns] == at(10, 60)


async def test_after_a_crash_a_gap_of_which_nothing_was_handed_on_is_whole(disk):
    await away(disk)
    third = Run(disk)
    assert third.waiting() == [([DAY_NS, DAY_NS, 0], [*at(100, 100), 0], [0, 0, 0])]
    assert third.gaps.waiting[0].skipped_ns == 0


async def test_a_gap_that_was_closed_before_a_crash_is_not_opened_again(disk):
    run = await away(disk)
    await read_slice(run, 0, 100)
    run.watermark.close_gap(run.gaps.waiting.popleft())
    third = Run(disk)
    third.watermark.load()
    assert [(gap.rows(9), gap.skipped_ns) for gap in third.gaps.waiting] == [([], 100 * S)], "how much was lost with it?"
    await run.beat(round(2 * HELD_S))
    run.store.commit()
    third = Run(disk)
    third.watermark.load()
    assert [(gap.rows(9), gap.skipped_ns) for gap in third.gaps.waiting] == [([], 0)]


async def test_after_a_crash_refused_nodes_are_still_missing(disk):
    run = await away(disk)
    await read_slice(run, 0, 10)
    run.gaps.waiting[0].aside[1] = REFUSED
    await read_slice(run, 10, 30, rows=[0])
    await read_slice(run, 30, 50, rows=[0])
    third = Run(disk)
    assert third.waiting() == [([at(50)[0] - 1, at(10)[0] - 1, 0], [*at(100, 100), 0], [1, 1, 0])]


async def test_refused_nodes_that_are_asked_again_are_kept_as_such(disk):
    run = await away(disk)
    run.gaps.waiting[0].aside[1] = REFUSED
    await read_slice(run, 0, 100, rows=[0])
    run.watermark.close_gap(run.gaps.waiting[0])
    run.gaps.waiting[0].retry()
    await run.watermark.before_reading_back()
    assert Run(disk).waiting() == [([0, DAY_NS, 0], [0, *at(100), 0], [0, 0, 0])]


async def test_gaps_are_kept_as_a_whole_a_few_times_and_then_once_a_minute(disk):
    run = await away(disk)
    for _ in range(10):
        await run.watermark.before_reading_back()
    assert sum(run.clock.slept) == pytest.approx(6 * 60)


CONTENTS = [
    b"\xff\xfe",
    b"[]",
    b"{}",
    b'{"urls": ["opc.tcp://127.0.0.1:4840"], "exact": true}',
    b'{"urls": ["opc.tcp://127.0.0.1:4840"], "exact": true, "nodes": {"ns=1;s=a": "now"}}',
    b'{"urls": ["opc.tcp://127.0.0.1:4840"], "exact": false, "newest": -1}',
    b'{"urls": ["opc.tcp://127.0.0.1:4840"], "exact": false, "newest": 1e300}',
    b'{"urls": ["opc.tcp://127.0.0.1:4840"], "exact": true, "nodes": {"ns=1;s=a": 99999999999999999999999}}',
    b'{"urls": ["opc.tcp://127.0.0.1:4840"], "exact": true, "nodes": {}, "gaps": [{"number": 1}]}',
    b'{"urls": ["opc.tcp://127.0.0.1:4840"], "exact": true, "nodes": {}, "gaps": 3}',
    b'{"urls": ["opc.tcp://127.0.0.1:4840"], "number": "x", "newest": 0, "limit": 0, "read": {}, "nodes": {}}',
    b'{"urls": ["opc.tcp://127.0.0.1:4840"], "number": 1, "newest": 0, "limit": 0, "read": {"x": [0]}, "nodes": {}}',
    b'{"urls": ["opc.tcp://elsewhere:4840"], "exact": true, "nodes": {"ns=1;s=a": 5}}',
]


@pytest.mark.parametrize("content", CONTENTS)
def test_a_content_that_makes_no_sense_is_no_gap(disk, content):
    disk["opcua/state/plc"] = StoredWatermark(content)
    with capture_logs() as logs:
        assert Run(disk).gap() is None
    assert "history begins anew" in logs[0]["event"]


async def test_a_content_that_is_lost_is_a_hole_as_long_as_what_would_have_been_read(disk):
    disk["opcua/state/plc"] = disk["opcua/limit/plc"] = StoredWatermark(b"", is_certain=False)
    run = Run(disk, history_most="1h")
    assert run.gap() is not None
    run.hear(DAY_NS, DAY_NS)
    run.gaps.close_open_gap(DAY_NS)
    (gap,) = run.gaps.waiting
    assert gap.rows(9) == []
    assert gap.skipped_ns == pytest.approx(3600 * S, abs=20 * S)


async def test_a_disk_that_refuses_holds_up_nothing_and_is_told_once(disk):
    run = Run(disk).begin()
    run.store.refuses = True
    with capture_logs() as logs:
        for k in range(2):
            await run.deliver(DAY_NS + k * 60 * S)
    assert ["cannot be kept" in one["event"] for one in logs] == [True]


async def test_what_was_handed_on_without_a_limit_is_a_hole_for_the_next_run(disk):
    """The disk takes nothing for an hour, and then the gateway is killed."""
    run = Run(disk).begin()
    await run.deliver(DAY_NS)
    run.store.refuses = True
    await run.deliver(DAY_NS + 3600 * S)
    crashed = Run(disk, now_ns=DAY_NS + 4000 * S).begin()
    crashed.hear(DAY_NS + 4000 * S)
    crashed.gaps.close_open_gap(DAY_NS + 4000 * S)
    (gap,) = crashed.gaps.waiting
    assert gap.rows(9) == []
    assert (gap.skipped_from_ns, gap.skipped_ns) == (DAY_NS - HELD_NS, HELD_NS + 4000 * S)


async def test_gaps_that_were_open_when_the_disk_refused_are_holes_as_well(disk):
    run = await away(disk)
    run.store.refuses = True
    await read_slice(run, 0, 10)
    third = Run(disk, now_ns=DAY_NS + 200 * S).begin()
    assert [gap.rows(9) for gap in list(third.gaps.waiting)[:-1]] == [[]]
    assert third.gaps.waiting[0].skipped_ns == pytest.approx(100 * S)


async def test_a_disk_that_is_back_limits_again(disk):
    run = Run(disk).begin()
    run.store.refuses = True
    await run.deliver(DAY_NS)
    run.store.refuses = False
    run.hear(DAY_NS + 3600 * S)
    run.store.commit()
    assert not disk["opcua/limit/plc"].is_certain, "until the next try anything is handed on"
    await run.beat(70)
    assert disk["opcua/limit/plc"].is_certain
    assert Run(disk).gap()[0][0] == DAY_NS + 3600 * S + LEASE_NS
    run.hear(DAY_NS + 7200 * S)
    assert not run.watermark.admits


async def test_after_a_refusal_an_end_is_exact_again(disk):
    run = Run(disk).begin()
    run.store.refuses = True
    await run.deliver(DAY_NS)
    run.store.refuses = False
    run.end()
    assert Run(disk).gap() == ([DAY_NS, 0, 0], (0, 0))
