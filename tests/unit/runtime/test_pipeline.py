"""The pipeline: samples in, messages out, at the right time and through clock jumps. Real stages, fake clock and outbox."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import numpy as np
import pytest

from gateway.core.blocks import ObjectBlock
from gateway.core.loop_watch import LoopWatch
from gateway.core.messages import DeviceState, Message
from gateway.core.tags import TagTable
from gateway.encoding.encoder import Encoder, StatusText
from gateway.encoding.topics import Topics
from gateway.plugins import DETECTORS
from gateway.runtime.pipeline import Pipeline
from gateway.runtime.status import StatusBoard
from gateway.stages.config import DetectionConfig, PublishConfig, TagPolicy, WindowConfig
from gateway.stages.stage_chain import StageChain
from tests.support.blocks import GOOD, SECOND, block_of, table
from tests.support.clock import ManualClock
from tests.support.events import limit_alarm
from tests.support.oracle import Sample

M0 = 1_700_000_040 * SECOND


@dataclass
class Outbox:
    """Keeps what is put, with the wall time of the moment."""

    clock: ManualClock
    messages: list[tuple[float, Message]] = field(default_factory=list)

    def put(self, message: Message) -> None:
        self.messages.append(((self.clock.now_ns() - M0) / SECOND, message))

    def of(self, end: str) -> list[tuple[float, dict]]:
        """(when it was put, payload) of the messages of the topics with this end."""
        return [(at, json.loads(m.payload)) for at, m in self.messages if m.topic.endswith(end)]


class Gateway:
    """A pipeline with real stages and encoder: three devices of one tag, the middle one with a limit of 100."""

    def __init__(self, now_ns: int = M0) -> None:
        self.clock = ManualClock(now_ns)
        self.table: TagTable = table(3, devices=3)
        policies = [TagPolicy(), TagPolicy(hi=100), TagPolicy()]
        self.chain = StageChain.build(
            self.table, policies, WindowConfig(), DetectionConfig(), PublishConfig(), now_ns, DETECTORS
        )
        topics = Topics.of("plant", "g", self.table.devices)
        status = StatusText("b", "v", "c", self.table)
        self.board = StatusBoard(3, topics.status, lambda states: status.online(0, states), str.encode)
        self.outbox = Outbox(self.clock)
        encoder = Encoder(topics, self.table, "b")
        self.watch = LoopWatch(self._elapsed_ns, self._elapsed_ns)
        self.pipeline = Pipeline(self.chain, encoder, self.outbox, self.board, self.table, self.clock)
        self.pipeline.loop_watch = self.watch

    def _elapsed_ns(self) -> int:
        return round(self.clock.monotonic() * 1e9)

    def sample(self, tag: int = 0, value: float = 1.0, age: int = 0) -> None:
        self.pipeline.push(block_of([Sample(tag, self.clock.now_ns() - age, value, GOOD)]))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.pipeline.run())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    def windows(self, device: int = 0) -> list[tuple[float, int, int]]:
        """(when it was put, second of its start, samples) of each window message of a device."""
        return [
            (at, p["ts"] // 1000 - M0 // SECOND, next(iter(p["tags"].values()))["n"])
            for at, p in self.outbox.of(f"device{device}/window")
        ]


async def test_a_window_leaves_at_its_end_plus_grace() -> None:
    """Half a second after the edge of wall time, not of the start of the process, and again every second."""
    gateway = Gateway(M0 + SECOND // 3)
    async with gateway.running():
        for second in range(5):
            gateway.sample(value=float(second))
            await gateway.clock.advance(1.0)
    assert gateway.windows() == [(1.5, 0, 1), (2.5, 1, 1), (3.5, 2, 1), (4.5, 3, 1)]


@pytest.mark.parametrize("seconds", [200])
async def test_windows_do_not_drift(seconds: int) -> None:
    """The edges are those of wall time; however late a turn comes, the next one is not."""
    gateway = Gateway()
    async with gateway.running():
        for second in range(seconds):
            gateway.sample(value=float(second))
            await gateway.clock.advance(1.0)
    times = [at for at, _, _ in gateway.windows()]
    assert len(times) == seconds - 1
    assert all(at % 1 == 0.5 for at in times)


async def test_an_alarm_leaves_at_once() -> None:
    """It does not wait for its window."""
    gateway = Gateway()
    gateway.sample(1, 150.0)
    ((at, payload),) = gateway.outbox.of("device1/event")
    assert (at, payload["kind"], payload["state"], payload["value"]) == (0.0, "alarm", "active", 150.0)


@pytest.mark.parametrize("by_s", [3600.0, 0.7, -0.7, -3600.0])
async def test_a_jump_of_the_clock_is_told_and_no_sample_is_lost(by_s: float) -> None:
    """Forwards and back, an hour or less than a second: one event, windows at the new time, every sample counted once."""
    gateway = Gateway()
    async with gateway.running():
        for step in range(40):
            gateway.sample(value=float(step))
            await gateway.clock.advance(0.25)
            if step == 20:
                gateway.clock.jump(by_s)
                before = len(gateway.windows())
    after = gateway.outbox.of("device0/window")[before:]
    assert len(after) >= 4  # one a second: none waits for the old time to come again ...
    assert not any("late" in payload for _, payload in after[-2:])  # ... nor passes for a supplement
    jumps = [p for _, p in gateway.outbox.of("g/event")]
    assert [(p["kind"], p["by_ms"]) for p in jumps] == [("clock_jump", round(by_s * 1000))]
    gateway.pipeline.flush()
    assert sum(n for _, _, n in gateway.windows()) == 40


async def test_a_small_jump_never_makes_two_windows_of_one_start() -> None:
    """Of two blocks of one window and tag all but the first are late, so a subscriber can merge instead of guess."""
    for by_s in (0.6, -0.6, -2.6, 1.6):
        gateway = Gateway()
        async with gateway.running():
            for step in range(60):
                gateway.sample(value=float(step))
                await gateway.clock.advance(0.1)
                if step == 23:
                    gateway.clock.jump(by_s)
        starts = [p["ts"] for _, p in gateway.outbox.of("device0/window") if "late" not in p]
        assert len(starts) == len(set(starts))


@pytest.mark.parametrize("seconds", [300])
async def test_slewing_is_followed_silently(seconds: int) -> None:
    """NTP corrects half a millisecond a second: half an hour of it is 0.9 s and no event."""
    gateway = Gateway()
    async with gateway.running():
        for _ in range(seconds):
            await gateway.clock.advance(1.0)
            gateway.clock.jump(0.0005)
    assert gateway.outbox.of("g/event") == []


async def test_a_stalled_process_catches_up_and_leaves_room_for_others() -> None:
    """Twenty seconds without a turn: what is due comes out, and the loop still sleeps between its turns."""
    gateway = Gateway()
    async with gateway.running():
        gateway.sample()
        await gateway.clock.advance(0.1)
        gateway.watch.tick()
        gateway.clock.set_forward(20)
        gateway.watch.tick()
        await gateway.clock.advance(1.0)
        assert gateway.windows() == [(20.1, 0, 1)]
        assert 0 < gateway.clock.waits_s[0] <= 1.0
    assert [(p["kind"], p["for_ms"]) for _, p in gateway.outbox.of("g/event")] == [("stall", 20_000)]


async def test_the_beat_shows_that_the_loop_turns() -> None:
    """What the watchdog looks at moves at least once a second, even with nothing to do."""
    gateway = Gateway()
    async with gateway.running():
        await gateway.clock.advance(100.0)
        assert gateway.clock.monotonic() - gateway.pipeline.beat <= 1.0


def states(gateway: Gateway, *news: DeviceState) -> list[tuple[str, str, int]]:
    for state in news:
        gateway.pipeline.report_state(state)
    return [(p["state"], p["reason"], p["severity"]) for _, p in gateway.outbox.of("device0/event")]


async def test_a_change_of_state_is_an_event_and_a_change_of_reason_is_not() -> None:
    """Status shows every reason; events are for what changes."""
    found = states(
        Gateway(),
        DeviceState(0, "ok"),
        DeviceState(0, "degraded", "a node is refused"),
        DeviceState(0, "degraded", "two nodes are refused"),
        DeviceState(0, "down", "no route"),
        DeviceState(0, "down", "refused"),
        DeviceState(0, "down", "refused"),
        DeviceState(0, "ok"),
        DeviceState(0, "ok"),
    )
    assert found == [("ok", "", 1), ("degraded", "a node is refused", 600), ("down", "no route", 600), ("ok", "", 1)]


async def test_a_device_that_is_down_from_the_start_is_told_once() -> None:
    """`down` is also the state before anything is known; the first real reason is news."""
    assert states(Gateway(), *[DeviceState(0, "down", "no route")] * 3) == [("down", "no route", 600)]


async def test_a_device_that_is_down_makes_its_own_tags_unknown_and_no_others() -> None:
    """From now on `bad` with the reason, even while retries go on; the neighbours stay good."""
    gateway = Gateway()
    async with gateway.running():
        for tag in range(3):
            gateway.sample(tag)
        await gateway.clock.advance(1.0)
        for _ in range(3):
            gateway.pipeline.report_state(DeviceState(1, "down", "no route"))
            await gateway.clock.advance(1.0)
    rows = [payload["tags"]["tag1"] for _, payload in gateway.outbox.of("device1/window")]
    assert [(row["n"], row["q"], row.get("reason")) for row in rows] == [(1, "good", None), (0, "bad", "not_connected")]
    assert len(gateway.windows(0)) == len(gateway.windows(2)) == 1


async def test_a_device_that_is_degraded_keeps_its_values() -> None:
    """Some of its tags fail on their own; the others are as good as ever."""
    gateway = Gateway()
    gateway.sample()
    gateway.pipeline.report_state(DeviceState(0, "degraded", "one node is refused"))
    gateway.pipeline.flush()
    ((_, payload),) = gateway.outbox.of("device0/window")
    assert payload["tags"]["tag0"]["q"] == "good"


async def test_a_stop_publishes_what_is_in_progress() -> None:
    """`flush`: the open window and the summary, once."""
    gateway = Gateway()
    gateway.sample()
    gateway.pipeline.flush()
    gateway.pipeline.flush()
    assert gateway.windows() == [(0.0, 0, 1)]
    assert len(gateway.outbox.of("device0/summary")) == 1


async def test_events_of_others_pass_through() -> None:
    """Sources and supervisor may tell of anything."""
    gateway = Gateway()
    gateway.pipeline.report(limit_alarm(M0, 2, 2))
    ((_, payload),) = gateway.outbox.of("device2/event")
    assert (payload["kind"], payload["tag"]) == ("alarm", "tag2")


async def test_a_silent_start_says_that_nothing_is_known() -> None:
    """After five seconds of patience every tag is named, as bad and waiting."""
    gateway = Gateway()
    async with gateway.running():
        await gateway.clock.advance(4.0)
        assert not gateway.outbox.of("/window")
        await gateway.clock.advance(4.0)
    rows: Sequence[dict] = [row for _, p in gateway.outbox.of("/window") for row in p["tags"].values()]
    assert [(row["q"], row["reason"]) for row in rows] == [("bad", "waiting")] * 3


def text(tag: int, value: str, time: int) -> ObjectBlock:
    return ObjectBlock(np.array([tag], np.uint32), np.array([time], np.int64), [value], np.array([GOOD], np.uint8))


async def test_text_leaves_at_once_on_change_and_has_no_windows() -> None:
    """On its own topic, with its own time; when the device goes, so does the value; the tag's windows are left out."""
    gateway = Gateway()
    async with gateway.running():
        now = gateway.clock.now_ns()
        for value in ("idle", "idle", "pressing"):
            gateway.pipeline.push_objects(text(1, value, now))
        assert [at for at, _ in gateway.outbox.of("/device1/value")] == [0.0, 0.0]
        gateway.pipeline.report_state(DeviceState(1, "down", "gone"))
        await gateway.clock.advance(10.0)
    payloads = [payload for _, payload in gateway.outbox.of("/device1/value")]
    good = {"ts": now // 1_000_000, "q": "good"}
    assert [p["tags"] for p in payloads] == [
        {"tag1": {"value": "idle"} | good},
        {"tag1": {"value": "pressing"} | good},
        {"tag1": {"value": None, "ts": now // 1_000_000, "q": "bad", "reason": "not_connected"}},
    ]
    assert [p["seq"] for p in payloads] == [1, 2, 3]
    assert not gateway.outbox.of("/device1/window")
    assert gateway.outbox.of("/device0/window")
