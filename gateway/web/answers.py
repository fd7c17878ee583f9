"""The shapes of the API's answers: the documents of OpenAPI are made from these, and answers are these."""

from dataclasses import dataclass
from typing import Any, Literal

# The docstring of each class becomes the description of its schema; fields carry their unit at the end of their name.


@dataclass(frozen=True, slots=True)
class HealthAnswer:
    """How well the gateway is."""

    level: Literal["ok", "degraded", "red"]
    reasons: list[str]


@dataclass(frozen=True, slots=True)
class SinkAnswer:
    """One of several sinks, and what waits for it."""

    name: str
    connected: bool
    acked: int
    messages: int
    lost: int
    thinned: int
    disk_bytes: int
    refused: str


@dataclass(frozen=True, slots=True)
class OutboxAnswer:
    """The outbox in numbers, and the sink that empties it."""

    messages: int
    memory_bytes: int
    disk_bytes: int
    lost: int
    thinned: int
    refused: str
    limits: dict[str, int]
    sink: str
    connected: bool
    counters: dict[str, float | str]
    sinks: list[SinkAnswer]


@dataclass(frozen=True, slots=True)
class CourseAnswer:
    """The course of the delivery, as columns: messages that wait, those on disk by lane, and counts since the start."""

    time_ms: list[int]
    waiting: list[int]
    events: list[int]
    summaries: list[int]
    windows: list[int]
    memory_bytes: list[int]
    disk_bytes: list[int]
    lost: list[int]
    thinned: list[int]
    acked: list[int]


@dataclass(frozen=True, slots=True)
class StatusAnswer:
    """The gateway as a whole."""

    name: str
    version: str
    boot: str
    started_ms: int
    now_ms: int
    config: str
    health: HealthAnswer
    devices: dict[str, int]
    tags: int
    alarms: int
    outbox: OutboxAnswer
    samples: int
    windows: int
    events: dict[str, int]
    certificates: dict[str, int]
    host: dict[str, float]
    links: dict[str, bool]
    log_levels: dict[str, str]


@dataclass(frozen=True, slots=True)
class DeviceAnswer:
    """A device, its state, and the command that finds out more."""

    device: int
    name: str
    protocol: str
    url: str
    state: Literal["ok", "degraded", "down"]
    reason: str
    since_ms: int
    tags: int
    command: str


@dataclass(frozen=True, slots=True)
class DevicesAnswer:
    """All devices."""

    devices: list[DeviceAnswer]


@dataclass(frozen=True, slots=True)
class ConnectionAnswer:
    """One connection to the field: what was counted since the start, by device."""

    devices: list[str]
    up: bool
    reason: str
    since_ms: int
    stats: dict[str, dict[str, float | str]]


@dataclass(frozen=True, slots=True)
class ConnectionsAnswer:
    """All connections to the field."""

    connections: list[ConnectionAnswer]


@dataclass(frozen=True, slots=True)
class TagAnswer:
    """A tag and its present value: null where there is none, text and arrays as they are."""

    tag: int
    device: str
    name: str
    unit: str
    value: Any
    time_ms: int
    quality: Literal["good", "uncertain", "bad"]
    reason: str
    interval_ms: int
    range: list[float] | None


@dataclass(frozen=True, slots=True)
class TagsAnswer:
    """A page of tags. total: how many fit the question."""

    total: int
    offset: int
    tags: list[TagAnswer]


@dataclass(frozen=True, slots=True)
class ValuesAnswer:
    """Present values as columns of equal length, in the order of the tag's number."""

    version: int
    tag: list[int]
    value: list[Any]
    time_ms: list[int]
    quality: list[Literal["good", "uncertain", "bad"]]
    reason: list[str]


@dataclass(frozen=True, slots=True)
class HistoryAnswer:
    """One tag over a span, as columns; null is a gap. complete: nothing of the span was dropped or never kept."""

    tag: int
    time_ms: list[int]
    min: list[float | None]
    mean: list[float | None]
    max: list[float | None]
    complete: bool


@dataclass(frozen=True, slots=True)
class AlarmAnswer:
    """A condition that holds."""

    device: str
    tag: str
    condition: str
    since_ms: int
    severity: int
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AlarmsAnswer:
    """All conditions that hold, the newest first."""

    alarms: list[AlarmAnswer]


@dataclass(frozen=True, slots=True)
class EventAnswer:
    """An event that was published, with the payload of the contract."""

    version: int
    time_ms: int
    kind: str
    device: str
    tag: str
    severity: int
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EventsAnswer:
    """The newest events, the newest first. version: ask for what is newer with `since`."""

    version: int
    events: list[EventAnswer]


@dataclass(frozen=True, slots=True)
class PlanSection:
    """One connection: a table of its requests and the lines below it."""

    title: str
    headings: list[str]
    rows: list[list[str]]
    lines: list[str]


@dataclass(frozen=True, slots=True)
class PlanAnswer:
    """What is read of each connection, and how busy that keeps it, as `gateway plan` prints it."""

    sections: list[PlanSection]


@dataclass(frozen=True, slots=True)
class SettingAnswer:
    """One setting: where it stands, its value without secrets, and where the value comes from."""

    file: str
    key: str
    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class ConfigurationAnswer:
    """Every setting of the configuration that runs."""

    config: str
    settings: list[SettingAnswer]


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """Why a question has no answer."""

    error: str
    expected: str = ""
