"""What the page and the API see of a running gateway: the read model, and facts of the parts that keep them anyway."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Values
from gateway.core.ports.requests import PastRequests
from gateway.web.live_view import LiveView


class OutboxView(Protocol):
    """The outbox in numbers."""

    @property
    def messages(self) -> int:
        """Return how many messages wait."""
        ...

    @property
    def memory_bytes(self) -> int:
        """Return what waits in memory."""
        ...

    @property
    def disk_bytes(self) -> int:
        """Return the size of the database file."""
        ...

    @property
    def lost(self) -> int:
        """Return the messages given up since the start."""
        ...

    @property
    def thinned(self) -> int:
        """Return the messages merged into others since the start."""
        ...

    @property
    def refused(self) -> str:
        """Return why the disk takes nothing at present, empty when it does."""
        ...


@dataclass(frozen=True, slots=True)
class HistoryView:
    """One tag over a span of time, as columns of equal length: samples, or the extremes of buckets."""

    time_ms: NDArray[np.int64]
    """Begin of each row, ms UTC."""
    min: Values
    """The lowest value, NaN for a gap."""
    mean: Values
    """The mean, or the sample itself."""
    max: Values
    """The highest value."""
    is_complete: bool = True
    """Nothing of the span is missing because it was dropped or never kept."""


class History(Protocol):
    """Reads the values of one tag from `from_ns` to before `to_ns`, in at most about so many rows."""

    async def __call__(self, tag: int, from_ns: int, to_ns: int, points: int) -> HistoryView:
        """Return them; ready within 100 ms for one tag's hour."""
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this gateway is; constant during a run."""

    name: str
    """Its name, unique at the broker."""
    version: str
    """Of the program."""
    boot: str
    """Of this run."""
    started_ms: int
    """When this run began, ms UTC."""


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What is configured of a device, and what a person may do when it is away."""

    protocol: str
    """Its protocol."""
    url: str
    """Where it is."""
    command: str
    """The command that finds out why it is not read."""


@dataclass(frozen=True, slots=True)
class SinkFacts:
    """One of several sinks, and what waits for it."""

    name: str
    """Its name."""
    connected: bool
    """Whether it is connected."""
    acked: int
    """Messages that have arrived since the start."""
    messages: int
    """How many messages wait for it."""
    lost: int
    """Messages given up for it since the start."""
    thinned: int
    """Messages merged into others for it since the start."""
    disk_bytes: int
    """The size of its file."""
    refused: str
    """Why the disk takes nothing at present, empty when it does."""


def one_sink() -> Sequence[SinkFacts]:
    """Return nothing: there is but one sink, which needs no name."""
    return ()


@dataclass(frozen=True, slots=True)
class GatewayView:
    """All that the web room reads. Each callable costs something only when it is called, on the event loop."""

    identity: Identity
    """Who it is."""
    live: LiveView
    """The read model."""
    now_ns: Callable[[], int]
    """The gateway's clock, ns UTC."""
    config: Callable[[], str]
    """Hash of the configuration that runs; a reload changes it."""
    outbox: Callable[[], OutboxView]
    """The outbox in numbers."""
    outbox_limits: Mapping[str, int]
    """`max_bytes`, `memory_bytes` and `max_age_ms` of the outbox."""
    is_connected: Callable[[], bool]
    """Whether the sink is connected."""
    sink: str
    """The sink's section of the configuration."""
    stuck: Callable[[], Sequence[str]]
    """The parts whose loop has not turned for 10 s and more."""
    sink_fault: Callable[[], str]
    """What is wrong although the sink is connected, empty for nothing."""
    refused: Callable[[], Mapping[str, str]]
    """The devices, or `gateway.yaml`, whose configuration cannot be used, each with its first problem."""
    certificates: Callable[[], Mapping[str, int]]
    """When certificates end, ms UTC, by owner."""
    about_device: Callable[[str], DeviceFacts]
    """What is configured of a device, by its name."""
    configuration: Callable[[], Sequence[Mapping[str, Any]]]
    """Every setting with its value and where it comes from, without secrets. Reads files: for a thread."""
    plan: Callable[[], Sequence[Mapping[str, Any]]]
    """What is read of each connection, and how busy that keeps it. Takes long: for a thread."""
    history: History | None = None
    """The values of the past; None while none are kept."""
    course: Callable[[int, int], Mapping[str, NDArray[np.int64]]] | None = None
    """The course of the delivery from a time in ms on, in so many rows at most, as the columns of `CourseAnswer`."""
    sinks: Callable[[], Sequence[SinkFacts]] = one_sink
    """Each of several sinks; none where there is only one."""
    past: PastRequests | None = None
    """Answers questions for the past in parts, as over MQTT."""
