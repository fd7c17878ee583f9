"""One source, connected for ever: what happens when it fails, and when somebody ends it."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import pytest
import structlog.testing

from gateway.core.blocks import ObjectBlock, SampleBlock
from gateway.core.errors import NotConnected
from gateway.core.events.device import SamplesLost
from gateway.core.events.event import Event
from gateway.core.messages import DeviceState
from gateway.core.ports.source import Reading
from gateway.core.quality import Quality
from gateway.runtime.supervisor import Supervisor
from tests.support.clock import ManualClock

BLOCK = SampleBlock.bad(np.array([0], np.uint32), 1, Quality.BAD)


@dataclass
class Source:
    """Does what its script says, one entry per open: what fails there, or what reads give before they fail or hang."""

    clock: ManualClock
    script: list[object]
    calls: list[tuple[str, float]] = field(default_factory=list)
    devices: Sequence[int] = (3, 4)
    reads: list[object] = field(default_factory=list)

    def _note(self, call: str) -> None:
        self.calls.append((call, self.clock.monotonic() - 1000))

    async def open(self) -> None:
        self._note("open")
        step = self.script.pop(0) if self.script else []
        if step == "hang":
            await asyncio.Event().wait()
        if step in ("swallow", "swallow and fail"):
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            step = [BLOCK] if step == "swallow" else NotConnected("no answer in time")
        if isinstance(step, BaseException):
            raise step
        self.reads = list(step)  # type: ignore[call-overload]

    def stats(self) -> dict[int, dict[str, float | str]]:
        return {}

    async def read(self) -> Reading:
        if not self.reads:
            await asyncio.Event().wait()
        item = self.reads.pop(0)
        if isinstance(item, BaseException):
            raise item
        if isinstance(item, float):
            await self.clock.sleep(item)
            return BLOCK
        return item  # type: ignore[return-value]

    async def close(self) -> None:
        self._note("close")


@dataclass
class Sink:
    """Keeps what it gets."""

    got: list[object] = field(default_factory=list)
    news: bool = False

    def push(self, block: SampleBlock) -> None:
        self.got.append(block)

    def report_state(self, state: DeviceState) -> bool:
        self.got.append(state)
        return self.news

    def push_objects(self, block: ObjectBlock) -> None:
        self.got.append(block)

    def report(self, event: Event) -> None:
        self.got.append(event)


def delays() -> Iterator[float]:
    yield from (1.0, 2.0, 4.0)
    while True:
        yield 8.0


class Line:
    """A supervisor with its source, sink and clock."""

    def __init__(self, *script: object) -> None:
        self.clock = ManualClock()
        self.source, self.sink = Source(self.clock, list(script)), Sink()
        self.supervisor = Supervisor(self.source, "a, b", self.sink, self.clock, delays)

    async def run(self, for_s: float) -> None:
        task = asyncio.create_task(self.supervisor.run())
        await self.clock.advance(for_s)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    def times(self, call: str) -> list[float]:
        return [at for what, at in self.source.calls if what == call]


async def test_samples_and_states_are_handed_on_in_their_order() -> None:
    """What `read` returns goes to the sink, nothing else does."""
    text = ObjectBlock(np.array([0], np.uint32), np.array([1]), ["x"], np.array([192], np.uint8))
    told = [
        DeviceState(3, "ok"),
        BLOCK,
        text,
        BLOCK,
        SamplesLost(time_ns=1, device=3, reason="x", at_least=1),
        DeviceState(4, "degraded", "x"),
    ]
    line = Line(list(told))
    await line.run(0.1)
    assert line.sink.got == told


async def test_a_device_that_is_not_there_is_tried_for_ever_with_growing_delays() -> None:
    """NotConnected at open: close, tell, wait, open again; the waits grow to their limit and never end."""
    line = Line(*[NotConnected("no route")] * 1000)
    await line.run(100)
    assert line.times("open") == [0, 1, 3, 7, *range(15, 101, 8)]
    assert line.times("close")[:4] == line.times("open")[:4]
    assert len(line.times("close")) == len(line.times("open"))
    assert line.sink.got == [DeviceState(n, "down", "no route") for _ in line.times("open") for n in (3, 4)]


@pytest.mark.parametrize(("news", "lines"), [(True, 0), (False, 1)])
async def test_one_fault_is_one_line(news: bool, lines: int) -> None:
    """What the sink has told of each device, the supervisor does not say again; what it has not, it does."""
    line = Line(*[NotConnected("no route")] * 1000)
    line.sink.news = news
    with structlog.testing.capture_logs() as logs:
        await line.run(100)
    assert [one["event"] for one in logs].count("not connected") == lines


async def test_every_device_of_a_lost_connection_is_down_with_the_reason() -> None:
    """NotConnected in the middle of reading: told before the wait, after the samples that came."""
    line = Line([BLOCK, NotConnected("reset by peer")])
    await line.run(0.5)
    down = [DeviceState(3, "down", "reset by peer"), DeviceState(4, "down", "reset by peer")]
    assert line.sink.got == [BLOCK, *down]
    assert [call for call, _ in line.source.calls] == ["open", "close"]


async def test_an_error_without_words_still_has_a_reason() -> None:
    """`reason` is a sentence for people, never empty for a device that is down."""
    line = Line(NotConnected())
    await line.run(0.5)
    assert [state.reason for state in line.sink.got] == ["connection lost"] * 2  # type: ignore[attr-defined]


async def test_a_device_that_accepts_and_drops_is_not_hammered() -> None:
    """Connections shorter than 30 s do not reset the delay."""
    line = Line(*[[1.0, NotConnected("dropped")]] * 100)
    await line.run(60)
    gaps = [b - a for a, b in zip(line.times("close"), line.times("open")[1:], strict=False)]
    assert gaps[:5] == [1, 2, 4, 8, 8]


async def test_after_a_connection_that_lasted_the_delay_starts_small_again() -> None:
    """More than 30 s connected: the next loss is retried soon."""
    line = Line(NotConnected(), NotConnected(), NotConnected(), [31.0, NotConnected()], [])
    await line.run(60)
    assert line.times("open") == [0, 1, 3, 7, 39]
    downs = [state for state in line.sink.got if isinstance(state, DeviceState)]
    assert len(downs) == 2 * 4, "four losses, told of both devices; the fifth connection stands"


@pytest.mark.parametrize("script", [("hang",), ([],), (NotConnected(),), ([1.0] * 100,)])
async def test_cancelling_returns_at_once_and_closes(script: tuple[object, ...]) -> None:
    """While it opens, reads or waits: no time passes, and what was opened is closed."""
    line = Line(*script)
    await line.run(0.5)
    assert line.clock.monotonic() == 1000.5
    assert line.source.calls[-1][0] == "close"
    assert len(line.times("open")) == len(line.times("close"))


@pytest.mark.parametrize("script", [(ZeroDivisionError("bug"),), ([BLOCK, ZeroDivisionError("bug")],)])
async def test_a_bug_of_a_source_is_told_and_costs_nobody_else(script: tuple[object, ...]) -> None:
    """The socket is freed, the devices are down with the reason, and it is tried again like any lost connection."""
    line = Line(*script, [BLOCK])
    await line.run(5)
    down = [news for news in line.sink.got if isinstance(news, DeviceState)]
    assert down == [DeviceState(n, "down", "internal error: see the log, and please report it") for n in (3, 4)]
    assert [call for call, _ in line.source.calls] == ["open", "close", "open", "close"]
    assert line.sink.got[-1] is BLOCK


class OfALibraryError(asyncio.CancelledError):
    """Libraries have such; it ends a task as if somebody had cancelled it."""


@pytest.mark.parametrize("script", [(OfALibraryError(),), ([OfALibraryError()],)])
async def test_a_cancellation_that_nobody_asked_for_ends_no_source(script: tuple[object, ...]) -> None:
    line = Line(*script, [BLOCK])
    await line.run(5)
    down = [news for news in line.sink.got if isinstance(news, DeviceState)]
    assert down == [DeviceState(n, "down", "internal error, see the log: a stray cancellation") for n in (3, 4)]
    assert line.sink.got[-1] is BLOCK


@pytest.mark.parametrize("step", ["swallow", "swallow and fail"])
async def test_a_cancellation_that_a_library_swallows_ends_it_all_the_same(step: str) -> None:
    line = Line(step)
    task = asyncio.create_task(line.supervisor.run())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task}, timeout=5)
    assert task.cancelled()
    assert [call for call, _ in line.source.calls] == ["open", "close"]


async def test_a_bug_behind_the_source_is_loud() -> None:
    """What the pipeline throws is no business of one device: it passes through and ends the process."""
    line = Line([BLOCK])
    line.sink.push = lambda block: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    with pytest.raises(ZeroDivisionError):
        await line.supervisor.run()
    assert line.source.calls[-1][0] == "close"
