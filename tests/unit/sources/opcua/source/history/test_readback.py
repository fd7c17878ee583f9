"""Reading back a gap from a fake server's history."""

import asyncio

import numpy as np
import pytest

from gateway.core.errors import NotConnected
from gateway.sources.opcua.port.errors import ServiceFault
from gateway.sources.opcua.port.history import HistoryPage
from gateway.sources.opcua.port.values import Item
from gateway.sources.opcua.source.history.gaps import Gaps
from gateway.sources.opcua.source.history.readback import HistoryReader
from tests.support.clock import SkippingClock, settle
from tests.support.opcua_fake import DAY_NS, values

S = 1_000_000_000


class Archive:
    """A server's history: (time, number) by row; answers at most `chunk` values at once."""

    def __init__(self, data: dict[int, list[tuple[int, float]]], chunk: int = 1000) -> None:
        self.data = data
        self.chunk = chunk
        self.without: set[int] = set()
        self.most_nodes = 1000
        self.calls: list[int] = []
        self.open_points: set[bytes] = set()
        self.failure_after = -1
        self.faulty: dict[int, int] = {}
        self.most_values = 1_000_000
        self.most_points = 1_000_000
        self.poisoned: set[int] = set()
        self.poison: Exception = ServiceFault(0x80020000)

    async def readable(self, items):
        return [item.row not in self.without for item in items]

    async def read(self, items, start_ns, end_ns, most, points):
        if len(items) > self.most_nodes:
            raise ServiceFault(0x80100000)
        if len(self.calls) == self.failure_after:
            raise NotConnected("gone")
        if faults := [self.faulty[item.row] for item in items if item.row in self.faulty]:
            self.calls.append(len(items))
            raise ServiceFault(faults[0])
        if most > self.most_values:
            raise ServiceFault(0x80B90000)
        self.calls.append(len(items))
        if not self.poisoned.isdisjoint(item.row for item in items):
            raise self.poison
        return [self._answer(item.row, start_ns, end_ns, most, point) for item, point in zip(items, points, strict=True)]

    def _answer(self, row, start_ns, end_ns, most, point):
        if row not in self.data:
            return HistoryPage(0x80730000, b"", values([], []).columns)
        here = [(t, n) for t, n in self.data[row] if start_ns // 1000 * 1000 <= t <= end_ns][:most]
        begin = 0
        if point:
            self.open_points.remove(point)
            begin = int(point.split(b":")[1])
        part = here[begin : begin + self.chunk]
        rest = b"%d:%d" % (row, begin + len(part)) if begin + len(part) < len(here) else b""
        if rest and len(self.open_points) >= self.most_points:
            return HistoryPage(0x804B0000, b"", values([], []).columns)
        if rest:
            self.open_points.add(rest)
        columns = values([0] * len(part), [n for _, n in part], source_ns=[t for t, _ in part]).columns
        return HistoryPage(0, rest, columns)

    async def release(self, items, points):
        self.open_points -= set(points)


class Bench:
    """A gap from 0 s to `length_s` after DAY_NS on some rows, and what was read back of it."""

    def __init__(self, archive: Archive, rows: int, length_s: float, most: int = 10_000) -> None:
        self.got: dict[int, list[float]] = {row: [] for row in range(rows)}
        self.orders: list[int] = []
        self.gaps = Gaps(rows)
        self.gaps.receive(np.arange(rows, dtype=np.uint32), np.full(rows, DAY_NS))
        self.gaps.on_connected()
        self.gaps.close_open_gap(DAY_NS + round(length_s * S))
        items = [Item(row, f"ns=1;s=v{row}", S, 1) for row in range(rows)]
        self.historian = HistoryReader(archive, items, SkippingClock(), most, self._put)

    async def _put(self, read):
        columns = read.columns
        self.orders += columns.source_ns.tolist()
        for row, number in zip(columns.row.tolist(), columns.number.tolist(), strict=True):
            self.got[row].append(number)

    async def read(self, oldest_ns=0):
        """What came of every gap; those of which nothing is refused are done."""
        results = []
        for gap in list(self.gaps.waiting):
            results.append(await self.historian.close(gap, oldest_ns))
            if not gap.aside:
                self.gaps.waiting.remove(gap)
        return results


def series(count: int, every_ns: int = S, first: int = 1) -> list[tuple[int, float]]:
    return [(DAY_NS + k * every_ns, float(k)) for k in range(first, first + count)]


async def test_every_sample_of_every_node_comes_once_and_in_the_order_of_time():
    archive = Archive({row: series(99) for row in range(25)}, chunk=7)
    bench = Bench(archive, 25, 100)
    (result,) = await bench.read()
    assert all(got == [float(k) for k in range(1, 100)] for got in bench.got.values())
    assert (result.samples, result.nodes, result.truncated, result.without) == (25 * 99, 25, 0, 0)
    seconds = [time // (8 * S) for time in bench.orders]
    assert seconds[0] <= seconds[len(seconds) // 2] <= seconds[-1]
    assert not archive.open_points
    assert not bench.gaps.waiting


async def test_samples_on_the_edges_of_steps_are_neither_lost_nor_doubled():
    bench = Bench(Archive({0: series(999, S // 10)}, chunk=13), 1, 100)
    await bench.read()
    assert bench.got[0] == [float(k) for k in range(1, 1000)]


async def test_what_the_live_stream_said_is_not_read_again():
    archive = Archive({0: [(DAY_NS, 0.0), *series(9), (DAY_NS + 10 * S, 10.0)]})
    bench = Bench(archive, 1, 10)
    await bench.read()
    assert bench.got[0] == [float(k) for k in range(1, 10)]


async def test_nodes_without_history_cost_nobody_else():
    archive = Archive({0: series(5), 2: series(5)})
    archive.without = {1}
    bench = Bench(archive, 4, 6)
    (result,) = await bench.read()
    assert [len(got) for got in bench.got.values()] == [5, 0, 5, 0]
    assert (result.nodes, result.without) == (2, 1)
    assert result.refused == {0x80730000: 1}, "row 3 is none of the archive's"


async def test_a_limit_of_nodes_per_call_is_learnt():
    archive = Archive({row: series(5) for row in range(10)})
    archive.most_nodes = 3
    bench = Bench(archive, 10, 6)
    await bench.read()
    assert all(len(got) == 5 for got in bench.got.values())
    assert max(archive.calls) <= 3


async def test_no_more_than_allowed_is_read_and_the_rest_released():
    archive = Archive({0: series(500, S // 100), 1: series(20, S // 4)}, chunk=30)
    bench = Bench(archive, 2, 5, most=100)
    (result,) = await bench.read()
    assert bench.got[0] == [float(k) for k in range(1, 101)]
    assert bench.got[1] == [float(k) for k in range(1, 20)]
    assert result.truncated == 1
    assert result.event(0, 0).payload()["severity"] == 400
    assert not archive.open_points


async def test_what_is_older_than_allowed_is_left_alone():
    bench = Bench(Archive({0: series(99)}), 1, 100)
    await bench.read(oldest_ns=DAY_NS + 90 * S)
    assert bench.got[0] == [float(k) for k in range(91, 100)]


async def test_a_lost_connection_costs_no_sample():
    archive = Archive({0: series(99), 1: series(99)}, chunk=10)
    bench = Bench(archive, 2, 100)
    archive.failure_after = 6
    with pytest.raises(NotConnected):
        await bench.read()
    before = len(bench.got[0])
    assert 0 < before < 99
    archive.failure_after = -1
    await bench.read()
    assert np.unique(bench.got[0]).tolist() == [float(k) for k in range(1, 100)]
    assert len(bench.got[0]) == 99


async def test_what_was_handed_on_is_not_read_again_after_a_cancel():
    """The connection is lost while the reader is slow: the block that waits is still taken, and goes on behind it."""
    bench = Bench(Archive({0: series(99)}), 1, 100)
    put, slow = bench._put, asyncio.Event()

    async def put_and_wait(read):
        await put(read)
        await slow.wait()

    bench.historian._put = put_and_wait
    reading = asyncio.create_task(bench.read())
    await settle()
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert bench.got[0]
    slow.set()
    await bench.read()
    assert bench.got[0] == [float(k) for k in range(1, 100)]


async def test_a_server_that_cuts_off_without_a_word_is_truncated_all_the_same():
    archive = Archive({0: series(500, S // 1000)})
    bench = Bench(archive, 1, 5, most=100)
    (result,) = await bench.read()
    assert bench.got[0] == [float(k) for k in range(1, 101)]
    assert result.truncated == 1


async def test_a_server_that_promises_more_for_ever_is_left():
    class Endless(Archive):
        def _answer(self, row, start_ns, end_ns, most, point):
            return HistoryPage(0, b"more", values([], []).columns)

    archive = Endless({})
    bench = Bench(archive, 1, 5)
    (result,) = await bench.read()
    assert result.samples == 0


async def test_what_is_skipped_after_a_crash_is_told_although_nothing_is_read():
    bench = Bench(Archive({0: [(DAY_NS + S, 1.0)]}), 1, 0)
    bench.gaps.waiting[0].skipped_ns = 5 * S
    (result,) = await bench.read()
    detail = result.event(0, 0).payload()
    assert (detail["skipped_ms"], detail["samples"], detail["from"]) == (5000, 0, DAY_NS // 1_000_000)


UNSUPPORTED, DENIED, INTERNAL, SERVICE_UNSUPPORTED = 0x80720000, 0x801F0000, 0x80020000, 0x800B0000


async def test_a_node_that_fails_the_call_costs_no_other_one():
    archive = Archive({row: series(5) for row in range(25)})
    archive.faulty = {13: INTERNAL}
    bench = Bench(archive, 25, 6)
    (result,) = await bench.read()
    assert [row for row in range(25) if len(bench.got[row]) != 5] == [13]
    assert result.refused == {INTERNAL: 1}
    assert result.event(0, 0).payload()["reason"] == "BadInternalError: the server has a fault of its own, see its log"
    assert result.event(0, 0).payload()["severity"] == 400
    assert bench.gaps.waiting[0].rows(9) == []
    archive.faulty.clear()
    bench.gaps.waiting[0].retry()
    await bench.read()
    assert all(got == [1.0, 2.0, 3.0, 4.0, 5.0] for got in bench.got.values()), "and it comes when it can be read"


@pytest.mark.parametrize(("status", "most"), [(SERVICE_UNSUPPORTED, 1), (UNSUPPORTED, 1), (DENIED, 8), (INTERNAL, 8)])
async def test_a_server_that_refuses_every_call_is_left_alone_soon(status, most):
    archive = Archive({row: series(5) for row in range(1000)})
    archive.faulty = dict.fromkeys(range(1000), status)
    bench = Bench(archive, 1000, 6)
    (result,) = await bench.read()
    assert result.refused == {status: 1000}
    assert result.samples == 0
    assert len(archive.calls) <= most
    assert bench.gaps.waiting, "to be asked for again"


async def test_a_single_value_that_is_too_many_is_asked_for_in_smaller_parts():
    archive = Archive({0: series(900, S // 100)}, chunk=100_000)
    archive.most_values = 300

    class Paging(Archive):
        def _answer(self, row, start_ns, end_ns, most, point):
            self.chunk = most
            return super()._answer(row, start_ns, end_ns, 10**9, point)

    archive.__class__ = Paging
    bench = Bench(archive, 1, 10)
    (result,) = await bench.read()
    assert bench.got[0] == [float(k) for k in range(1, 901)]
    assert (result.truncated, result.refused.total()) == (0, 0)


async def test_a_server_with_few_continuation_points_is_asked_for_fewer_nodes():
    archive = Archive({row: series(50) for row in range(10)}, chunk=7)
    archive.most_points = 2
    bench = Bench(archive, 10, 60)
    (result,) = await bench.read()
    assert all(got == [float(k) for k in range(1, 51)] for got in bench.got.values())
    assert result.refused.total() == 0
    assert not archive.open_points


async def test_no_data_in_a_part_of_the_gap_is_no_refusal():
    class Empty(Archive):
        def _answer(self, row, start_ns, end_ns, most, point):
            answer = super()._answer(row, start_ns, end_ns, most, point)
            return answer if len(answer.columns) else HistoryPage(0x809B0000, b"", answer.columns)

    bench = Bench(Empty({0: [(DAY_NS + 50 * S, 1.0), (DAY_NS + 90 * S, 2.0)]}), 1, 100)
    (result,) = await bench.read()
    assert bench.got[0] == [1.0, 2.0]
    assert result.refused.total() == 0


async def test_a_node_that_is_refused_in_the_middle_goes_on_from_there():
    class Falling(Archive):
        fails = True

        def _answer(self, row, start_ns, end_ns, most, point):
            if row == 1 and self.fails and end_ns > DAY_NS + 20 * S:
                return HistoryPage(INTERNAL, b"", values([], []).columns)
            return super()._answer(row, start_ns, end_ns, most, point)

    archive = Falling({0: series(99), 1: series(99)})
    bench = Bench(archive, 2, 100)
    (result,) = await bench.read()
    assert result.refused == {INTERNAL: 1}
    assert (len(bench.got[0]), 0 < len(bench.got[1]) < 99) == (99, True)
    archive.fails = False
    bench.gaps.waiting[0].retry()
    await bench.read()
    assert bench.got[0] == bench.got[1] == [float(k) for k in range(1, 100)]


async def test_the_same_page_for_ever_is_told_and_costs_no_other_node():
    class Circling(Archive):
        def _answer(self, row, start_ns, end_ns, most, point):
            if row == 1:
                return HistoryPage(0, b"again", values([0], [1.0], source_ns=[DAY_NS + S]).columns)
            return super()._answer(row, start_ns, end_ns, most, point)

    bench = Bench(Circling({0: series(99)}), 2, 100)
    (result,) = await bench.read()
    assert (bench.got[0], bench.got[1]) == ([float(k) for k in range(1, 100)], [1.0])
    assert result.truncated == 1


async def test_what_is_asked_for_is_noted_before_it_is_handed_on():
    bench = Bench(Archive({0: [(DAY_NS + S, 1.0), (DAY_NS + 60 * S, 2.0)]}), 1, 100)
    noted: list[tuple[int, int, int]] = []

    async def ahead(gap, start_ns, end_ns):
        noted.append((len(bench.got[0]), start_ns, end_ns))

    bench.historian._ahead = ahead
    await bench.read()
    assert [count for count, _, _ in noted] == [0, 1], "one for each slice in which something was"
    assert noted[0][2] <= noted[1][1]


async def test_the_past_is_handed_on_no_faster_than_windows_can_be_closed():
    bench = Bench(Archive({0: series(3600)}), 1, 3601)
    await bench.read()
    assert bench.historian._clock.monotonic() - 1000 >= 3600 / 250


async def test_a_node_whose_history_brings_the_whole_answer_down_costs_nobody_else():
    archive = Archive({row: [(DAY_NS + S, float(row))] for row in range(20)})
    archive.poisoned = {3, 12}
    bench = Bench(archive, 20, 5)
    (result,) = await bench.read()
    assert [row for row in range(20) if not bench.got[row]] == [3, 12]
    assert (result.samples, result.nodes) == (18, 18)


async def test_a_node_whose_history_ends_the_connection_is_given_up_after_a_few():
    archive = Archive({row: [(DAY_NS + S, float(row))] for row in range(20)})
    archive.poisoned, archive.poison = {3, 12}, NotConnected("gone")
    bench = Bench(archive, 20, 5)
    losses = 0
    while bench.gaps.waiting:
        try:
            await bench.read()
        except NotConnected:
            losses += 1
            assert losses <= 2 * 3
    assert [row for row in range(20) if len(bench.got[row]) != 1] == [3, 12]
