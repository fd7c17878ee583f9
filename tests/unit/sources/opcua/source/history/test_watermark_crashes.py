"""Stopped, killed and cut off at any moment: each value counts once, or lies in a time that is told as skipped."""

import random
from collections import Counter

import numpy as np
import pytest

from gateway.core.errors import NotConnected
from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.port.history import HistoryPage
from gateway.sources.opcua.port.values import Item
from gateway.sources.opcua.source.history.gaps import Gaps
from gateway.sources.opcua.source.history.readback import HistoryReader
from gateway.sources.opcua.source.history.watermark import Watermark
from tests.support.clock import ManualClock
from tests.support.opcua_fake import DAY_NS, values
from tests.support.watermarks_fake import Disk, FakeWatermarks

S = 1_000_000_000
ROWS = 3
ITEMS = [Item(row, f"ns=1;s=v{row}", S, 1) for row in range(ROWS)]
HELD_S = 3.0
MOST = 100_000


class CrashError(BaseException):
    """The process is gone."""


class World(ManualClock):
    """A server with a history, whose clock is ours, and everything that ever left a gateway on one folder."""

    def __init__(self, seed: int) -> None:
        super().__init__(DAY_NS)
        self.random = random.Random(seed)
        self.disk: Disk = {}
        self.store = FakeWatermarks(self.disk)
        self.changed_ns = 0
        self.times: list[list[int]] = [[] for _ in ITEMS]
        self.counted: list[tuple[int, int, int]] = []
        """Row, time, when."""
        self.in_force: set[tuple[int, int]] = set()
        self.told: list[tuple[int, int]] = []
        self.refused: set[int] = set()
        self.since: dict[int, int] = {}
        """When each row was heard first."""

    @property
    def ns(self) -> int:
        return self.now_ns()

    def _pass_until(self, then_ns: int) -> None:
        self.set_forward((then_ns - self.ns) / S)

    async def sleep(self, seconds: float) -> None:
        """Time passes: values come."""
        end_ns = self.ns + round(seconds * S)
        while (next_ns := self.ns + self.random.randrange(S // 10, S)) < end_ns:
            self._pass_until(next_ns)
            for row in range(ROWS):
                if self.random.random() < 0.7:
                    self.times[row].append(self.ns)
        self._pass_until(end_ns)
        # The outbox writes what is put within two seconds, or at any moment in between.
        if not self.store._changed:
            self.changed_ns = self.ns
        if self.ns - self.changed_ns > 2 * S or self.random.random() < 0.3:
            self.store.commit()

    async def readable(self, items):
        return [True] * len(items)

    async def read(self, items, start_ns, end_ns, most, points):
        answers = []
        for item in items:
            if item.row in self.refused:
                answers.append(HistoryPage(0x80020000, b"", values([], []).columns))
                continue
            here = [time for time in self.times[item.row] if start_ns - 1000 <= time <= end_ns][:most]
            answers.append(HistoryPage(0, b"", values([0] * len(here), [1.0] * len(here), source_ns=here).columns))
        return answers

    async def release(self, items, points):
        pass

    def lose(self) -> None:
        """A crash: of what was handed on in the last seconds a part never reached the disk."""
        since_ns = self.ns - round(self.random.random() * HELD_S * S)
        self.counted = [one for one in self.counted if one[2] < since_ns]

    def doubled(self) -> set[tuple[int, int]]:
        seen = Counter((row, time) for row, time, _ in self.counted)
        return {one for one, count in seen.items() if count > 1}

    def untold(self, until_ns: int) -> set[tuple[int, int]]:
        there = {(row, time) for row, time, _ in self.counted} | self.in_force
        asked = {(row, time) for row, since in self.since.items() for time in self.times[row] if since <= time < until_ns}
        missing = asked - there
        return {(row, time) for row, time in missing if not any(begin <= time <= end for begin, end in self.told)}


class Run:
    """One run of a gateway in a world."""

    def __init__(self, world: World) -> None:
        device = {"name": "plc", "protocol": "opcua", "url": "opc.tcp://a"}
        self.world = world
        self.gaps = Gaps(ROWS)
        world.store = FakeWatermarks(world.disk)
        config = OpcUaDevice.model_validate(device)
        self.watermark = Watermark(config, ITEMS, self.gaps, world, world.store, HELD_S)
        self.watermark.load()

    async def connect(self) -> None:
        self.gaps.on_connected()
        self.watermark.on_connected()
        self.begun_ns = self.world.ns
        self.heard = [len(times) for times in self.world.times]
        first = [(row, times[-1]) for row, times in enumerate(self.world.times) if times]
        self.world.in_force |= set(first)
        await self._hear(first)

    async def _hear(self, told: list[tuple[int, int]]) -> None:
        if told:
            rows, times = np.array([row for row, _ in told], np.uint32), np.array([time for _, time in told], np.int64)
            self.gaps.receive(rows, times)
            self.gaps.queue(rows, times)
            await self.watermark.admit()
            self.gaps.hand_on()
            for row, time in told:
                self.world.since.setdefault(row, time)

    async def live(self, seconds: float, crash: bool = False) -> None:
        end_ns = self.world.ns + round(seconds * S)
        while self.world.ns < end_ns:
            await self.world.sleep(0.5)
            told = [(row, time) for row in range(ROWS) for time in self.world.times[row][self.heard[row] :]]
            self.heard = [len(times) for times in self.world.times]
            await self._hear(sorted(told, key=lambda one: one[1]))
            self.world.counted += [(row, time, self.world.ns) for row, time in told]
        if crash:
            raise CrashError

    async def read_back(self, slices: int, how: str) -> None:
        """Cut off, or killed, at the slice of this number."""
        left = [slices]

        async def put(read):
            left[0] -= 1
            if left[0] < 0 and how == "crash before":
                raise CrashError
            pairs = zip(read.columns.row.tolist(), read.columns.source_ns.tolist(), strict=True)
            taken = [(row, time, self.world.ns) for row, time in pairs]
            if left[0] < 0 and how == "stop before":
                for gap in self.gaps.waiting:
                    gap.return_lent(1, 1)
                raise StopError
            self.world.counted += taken
            if left[0] < 0 and how == "crash after":
                raise CrashError
            if left[0] < 0:
                raise StopError if how == "stop after" else NotConnected("cut")

        self.gaps.close_open_gap(self.begun_ns)
        if not self.gaps.waiting:
            return
        for gap in self.gaps.waiting:
            gap.retry()
        await self.watermark.before_reading_back()
        historian = HistoryReader(self.world, ITEMS, self.world, MOST, put, self.watermark.before_slice)
        for gap in list(self.gaps.waiting):
            result = await historian.close(gap, 0)
            self.watermark.close_gap(gap)
            if result.skipped_ns:
                self.world.told.append((result.skipped_from_ns, result.skipped_from_ns + result.skipped_ns))
                gap.mark_reported()
            if not gap.aside:
                self.gaps.waiting.remove(gap)


class StopError(Exception):
    pass


HOWS = ["crash before", "crash after", "stop before", "stop after", "cut"]


async def one_run(world: World) -> None:
    chance = world.random
    run = Run(world)
    try:
        for _ in range(chance.randrange(1, 4)):
            world.refused = {chance.randrange(ROWS)} if chance.random() < 0.3 else set()
            await run.connect()
            await run.live(chance.choice([0.0, 1.0, 7.0]), crash=chance.random() < 0.1)
            try:
                await run.read_back(chance.choice([0, 1, 2, 5, 99]), chance.choice(HOWS))
                await run.live(chance.choice([0.0, 5.0, 30.0]), crash=chance.random() < 0.3)
            except NotConnected:
                for gap in run.gaps.waiting:
                    gap.return_lent(0, 1)
            run.watermark.end(at_last=False)
            await world.sleep(chance.choice([1.0, 20.0, 200.0]))
        run.watermark.end(at_last=True)
        world.store.commit()
    except StopError:
        for gap in run.gaps.waiting:
            gap.return_lent(0, 1)
        run.watermark.end(at_last=True)
        world.store.commit()
    except CrashError:
        world.lose()


@pytest.mark.parametrize("seed", range(3))
async def test_each_value_counts_once_or_is_told_as_skipped(seed):
    world = World(seed)
    await Run(world).connect()
    for _ in range(6):
        await one_run(world)
        assert not world.doubled()
        await world.sleep(world.random.choice([0.0, 3.0, 60.0, 600.0]))
    world.refused = set()
    last = Run(world)
    await last.connect()
    until_ns = world.ns
    await last.read_back(10**6, "cut")
    assert not world.doubled()
    assert not world.untold(until_ns)
    assert len(world.counted) > 10, "it was not all skipped"
