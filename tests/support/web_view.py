"""The view of a gateway that needs no gateway: the real read model, and parts that say what a test wants."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gateway.core.blocks import SampleBlock
from gateway.core.messages import DeviceState
from gateway.core.quality import Quality
from gateway.core.tags import Tag, TagTable
from gateway.live.course import COLUMNS, DeliveryCourse
from gateway.live.model import LiveModel, PartReadings
from gateway.outbox.records import Stats
from gateway.web.view import DeviceFacts, GatewayView, Identity
from tests.support.clock import ManualClock

STARTED_MS = 1_700_000_000_000


@dataclass
class FakePlant:
    """A gateway's parts as the web room sees them. Change what you like, then ask."""

    table: TagTable
    live: LiveModel
    states: dict[int, DeviceState]
    now_ns: Callable[[], int]
    outbox: Stats = field(default_factory=lambda: Stats(3, 1_000, 61_440, 0, 0, ""))
    connected: bool = True
    stuck: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    sources: list[Any] = field(default_factory=list)

    def delivery(self) -> dict[str, int]:
        """What the course of the delivery has a reading of."""
        return dict.fromkeys(COLUMNS, 0) | {"waiting": self.outbox.messages, "lost": self.outbox.lost, "windows": 1}

    def view(self, **changes: Any) -> GatewayView:
        """The view of it, in which the delivery has had a course for two minutes."""
        clock = ManualClock(self.now_ns() - 120 * 10**9)
        course = DeliveryCourse(self.delivery, clock)
        for _ in range(12):
            course.record()
            clock.set_forward(10)
        view = GatewayView(
            identity=Identity("test", "1.2.3", "boot", STARTED_MS),
            live=self.live,
            now_ns=self.now_ns,
            config=lambda: "abcdef",
            outbox=lambda: self.outbox,
            outbox_limits={"max_bytes": 2**30, "memory_bytes": 2**25, "max_age_ms": 604_800_000},
            is_connected=lambda: self.connected,
            sink="mqtt",
            stuck=lambda: self.stuck,
            sink_fault=lambda: "",
            refused=lambda: self.refused,
            certificates=lambda: {"broker": STARTED_MS + 86_400_000},
            about_device=lambda name: DeviceFacts("Modbus", f"tcp://{name}", f"gateway read {name}"),
            configuration=lambda: [{"file": "gateway.yaml", "key": "name", "value": "test", "origin": "gateway.yaml:1"}],
            course=course.since,
            plan=lambda: [{"title": "tcp://x", "headings": ["reads"], "rows": [["holding 0..9"]], "lines": ["busy"]}],
        )
        return replace(view, **changes)

    def read(self, tags: Sequence[int], values: Sequence[float], quality: Quality = Quality.GOOD) -> None:
        """Have samples come in now."""
        size = len(tags)
        times = np.full(size, self.now_ns(), np.int64)
        codes = np.full(size, quality, np.uint8)
        self.live.samples(SampleBlock(np.array(tags, np.uint32), times, np.array(values, np.float64), codes))

    def set_state(self, device: int, state: Any, reason: str = "") -> None:
        """Have a device change its state."""
        self.states[device] = DeviceState(device, state, reason)
        self.live.state(self.states[device], self.now_ns())


class FakeSource:
    """A source that has only counters."""

    def __init__(self, device: int, stats: dict[str, float | str]) -> None:
        self.devices = [device]
        self._stats = {device: stats}

    def stats(self) -> dict[int, dict[str, float | str]]:
        """What it counted."""
        return self._stats


def fake_plant(
    devices: int = 2, tags: int = 5, now_ns: Callable[[], int] = time.time_ns, interval_ns: int = 1_000_000_000
) -> FakePlant:
    """Devices `d0`, `d1`... with tags `t0`, `t1`... each; all are up."""
    names = tuple(f"d{n}" for n in range(devices))
    rows = [
        Tag(d * tags + n, d, f"t{n}", "bar", n % 2 == 0, interval_ns, range=(0.0, 10.0))
        for d in range(devices)
        for n in range(tags)
    ]
    table = TagTable(names, tuple(rows))
    states = {d: DeviceState(d, "ok", "") for d in range(devices)}
    sources = [FakeSource(d, {"requests": 10 + d, "round_trip_ms": 1.5, "connection_address": "x"}) for d in range(devices)]
    counts: dict[str, int] = {"device": 2}
    parts = PartReadings(lambda: states, lambda: sources, lambda: counts, lambda: {"sent": 7, "acked": 6, "connects": 1})
    return FakePlant(table, LiveModel(table, parts, now_ns()), states, now_ns, sources=sources)
