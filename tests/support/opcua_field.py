"""An OPC UA source under its supervisor, and everything it ever said, in order."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import repeat

from gateway.core.blocks import ObjectBlock, SampleBlock
from gateway.core.clock import SystemClock
from gateway.core.events.event import Event
from gateway.core.messages import DeviceState
from gateway.runtime.supervisor import Supervisor
from gateway.sources.opcua.source.intervals import DEFAULT_INTERVALS, Intervals
from gateway.sources.opcua.source.source import OpcUaSource
from tests.support.opcua_reader import make_source

RETRY_S = 0.05


class Counting(Supervisor):
    """connects: how often the source was opened."""

    connects = 0


class Field:
    """A `SampleSink` that remembers: values, times, qualities and texts by tag id, states and events.

    past, past_texts: what was read back from history; again: what holds after all. None of it is among `values` or `texts`.
    latest: the quality that holds, by tag id.
    """

    def __init__(self, source: OpcUaSource) -> None:
        self.source = source
        self.supervisor = Counting(source, "plc", self, SystemClock(), lambda: repeat(RETRY_S))
        source.open = self._counted(source.open)  # type: ignore[method-assign]  # nobody else knows when it has succeeded
        self.values: dict[int, list[float]] = defaultdict(list)
        self.times: dict[int, list[int]] = defaultdict(list)
        self.qualities: dict[int, list[int]] = defaultdict(list)
        self.latest: dict[int, int] = {}
        self.past: dict[int, list[float]] = defaultdict(list)
        self.past_texts: dict[int, list[object]] = defaultdict(list)
        self.again: dict[int, list[float]] = defaultdict(list)
        self.texts: dict[int, list[object]] = defaultdict(list)
        self.states: list[DeviceState] = []
        self.events: list[Event] = []
        self._told = asyncio.Event()

    def _counted(self, open_source: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        async def counted() -> None:
            await open_source()
            self.supervisor.connects += 1

        return counted

    def push(self, block: SampleBlock) -> None:
        columns = (block.tag.tolist(), block.value.tolist(), block.time.tolist(), block.quality.tolist())
        self._told.set()
        for tag, value, taken, quality in zip(*columns, strict=True):
            if not block.history:
                self.latest[tag] = quality
            if block.history or block.repeated:
                (self.past if block.history else self.again)[tag].append(value)
                continue
            self.values[tag].append(value)
            self.times[tag].append(taken)
            self.qualities[tag].append(quality)

    def push_objects(self, block: ObjectBlock) -> None:
        for tag, value in zip(block.tag.tolist(), block.value, strict=True):
            (self.past_texts if block.history else self.texts)[tag].append(value)
        self._told.set()

    def report_state(self, state: DeviceState) -> bool:
        self.states.append(state)
        self._told.set()
        return True

    def report(self, event: Event) -> None:
        self.events.append(event)
        self._told.set()

    @property
    def downs(self) -> list[str]:
        """The reasons of all losses so far."""
        return [state.reason for state in self.states if state.state == "down"]

    async def until(self, condition: Callable[[], bool], deadline_s: float = 60.0) -> None:
        """Wait until the condition holds; TimeoutError after the deadline."""
        async with asyncio.timeout(deadline_s):
            while not condition():
                self._told.clear()
                await self._told.wait()

    async def until_fresh(self, tag: int = 0, deadline_s: float = 60.0) -> None:
        """Wait for one more value of a tag, or until it is known again."""
        count = len(self.values[tag]) + len(self.again[tag])
        await self.until(lambda: len(self.values[tag]) + len(self.again[tag]) > count, deadline_s)


@asynccontextmanager
async def in_the_field(
    url: str, nodes: list[str], *, intervals: Intervals = DEFAULT_INTERVALS, **device: object
) -> AsyncIterator[Field]:
    """A source that runs until the end of the block, reconnecting within a tenth of a second."""
    async with running(make_source(url, nodes, intervals=intervals, **device)) as field:
        yield field


@asynccontextmanager
async def running(source: OpcUaSource) -> AsyncIterator[Field]:
    """The same for a source that exists."""
    field = Field(source)
    task = asyncio.create_task(field.supervisor.run(), name="supervisor")
    try:
        yield field
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
