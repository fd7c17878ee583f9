"""Drives an OPC UA source as its supervisor would, and remembers what came."""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from gateway.core.blocks import ObjectBlock, SampleBlock
from gateway.core.clock import Clock, SystemClock
from gateway.core.events.event import Event
from gateway.core.messages import DeviceState
from gateway.core.ports.plugin import SourceServices
from gateway.core.ports.watermarks import Watermarks
from gateway.sources.opcua.client.session import connect
from gateway.sources.opcua.port.node_names import NodeNames
from gateway.sources.opcua.source.intervals import DEFAULT_INTERVALS, Intervals
from gateway.sources.opcua.source.source import OpcUaSource
from tests.support.opcua_fake import entry
from tests.support.watermarks_fake import FakeWatermarks


class Reader:
    """What a source delivered: values, qualities, times and objects by tag id; device states and events; in order."""

    def __init__(self, source: OpcUaSource) -> None:
        self.source = source
        self.values: dict[int, list[float]] = defaultdict(list)
        self.qualities: dict[int, list[int]] = defaultdict(list)
        self.times: dict[int, list[int]] = defaultdict(list)
        self.states: list[DeviceState] = []
        self.objects: dict[int, list[object]] = defaultdict(list)
        self.events: list[Event] = []

    async def once(self) -> None:
        """One read."""
        news = await self.source.read()
        if isinstance(news, DeviceState):
            self.states.append(news)
        elif isinstance(news, SampleBlock):
            self._remember(news)
        elif isinstance(news, ObjectBlock):
            for tag, value in zip(news.tag.tolist(), news.value, strict=True):
                self.objects[tag].append(value)
        else:
            self.events.append(news)

    async def until(self, condition: Callable[[], bool], deadline_s: float = 45.0) -> None:
        """Read until the condition holds; TimeoutError after the deadline."""
        async with asyncio.timeout(deadline_s):
            while not condition():
                await self.once()

    def seen(self, count: int) -> bool:
        """Every one of the first `count` tags has delivered."""
        return all(self.values[tag] for tag in range(count))

    def good(self, tag: int) -> list[float]:
        """A tag's values without the bad ones."""
        return [value for value in self.values[tag] if not math.isnan(value)]

    def _remember(self, block: SampleBlock) -> None:
        columns = (block.tag.tolist(), block.value.tolist(), block.quality.tolist(), block.time.tolist())
        for tag, value, quality, taken in zip(*columns, strict=True):
            self.values[tag].append(value)
            self.qualities[tag].append(quality)
            self.times[tag].append(taken)


def make_source(
    url: str,
    nodes: list[str | dict[str, object]],
    clock: Clock | None = None,
    watermarks: Watermarks | None = None,
    intervals: Intervals = DEFAULT_INTERVALS,
    **device: object,
) -> OpcUaSource:
    """A source on the real client."""
    fast = {"interval": "100ms", "sampling": "20ms", "timeout": "2s", "silence": "5min", **device}
    services = SourceServices(clock or SystemClock(), watermarks or FakeWatermarks())
    return OpcUaSource(entry(nodes=nodes, url=url, **fast), services, partial(connect, names=NodeNames()), intervals)


@asynccontextmanager
async def reading(
    url: str, nodes: list[str | dict[str, object]], *, intervals: Intervals = DEFAULT_INTERVALS, **device: object
) -> AsyncIterator[Reader]:
    """An open source with a reader; closed at the end."""
    source = make_source(url, nodes, intervals=intervals, **device)
    try:
        await source.open()
        yield Reader(source)
    finally:
        await source.close()


class Stopwatch:
    """`elapsed_s` since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._start
