"""The read model of a running gateway."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.core.blocks import ObjectBlock, SampleBlock, TagIds, WindowBlock
from gateway.core.events.event import Event
from gateway.core.messages import DeviceState
from gateway.core.ports.source import Served
from gateway.core.tag_move import TagMove
from gateway.core.tags import TagTable
from gateway.live.events import ActiveAlarm, RecentEvents, RecordedEvent
from gateway.live.history.historian import Historian
from gateway.live.values import LiveValues, TagValues

Stats = Mapping[str, float | str]


@dataclass(frozen=True, slots=True)
class DeviceView:
    """The state of a device."""

    device: int
    """Its row in the table."""
    name: str
    """Its name."""
    state: Literal["ok", "degraded", "down"]
    """As on the status topic."""
    reason: str
    """A sentence for people, empty when ok."""
    since_ns: int
    """When this state began, ns since the epoch, UTC; a new reason alone begins nothing."""
    tags: int
    """How many tags it has."""


@dataclass(frozen=True, slots=True)
class ConnectionView:
    """One connection to the field, with all devices behind it."""

    devices: tuple[str, ...]
    """Names of its devices."""
    is_up: bool
    """Whether any of them can be read."""
    reason: str
    """Why it is down, for people; empty when it is up."""
    since_ns: int
    """When it came up or went down, ns since the epoch, UTC."""
    stats: Mapping[str, Stats]
    """What was counted and measured since the start, by device (`Source.stats`)."""


@dataclass(frozen=True, slots=True)
class PartReadings:
    """Where the model reads what another part keeps already. Each is called only when somebody asks."""

    states: Callable[[], Mapping[int, DeviceState]]
    """The newest state of each device."""
    sources: Callable[[], Sequence[Served]]
    """The connections to the field."""
    event_counts: Callable[[], Mapping[str, int]]
    """How many events of each kind there were since the start."""
    gateway_stats: Callable[[], Stats]
    """The gateway's own counters: connects, sent, acked, waiting, days of certificates."""


@dataclass(frozen=True, slots=True)
class Counters:
    """What was counted since the start."""

    samples: int
    """Samples read, with values that are no numbers."""
    past_samples: int
    """Samples read back from the devices' own history."""
    windows: int
    """Windows closed, with the late ones."""
    events: Mapping[str, int]
    """Events by kind; kind `loss` are the records of messages that are lost or merged."""
    gateway: Stats
    """The counters of publisher and outbox."""
    dropped_alarms: int
    """Active alarms that are not listed, because there were too many."""
    history: Stats
    """How much history there is (`Historian.stats`), empty without a historian."""


class LiveModel:
    """What is true at present, in columns: the one thing that viewers read. A `DataObserver`.

    `version` rises with every change; what is read carries the version of its reading, and `..._since(version)` returns what
    has changed after it. Nothing is computed while nobody asks. All of it belongs to the event loop; what is returned is the
    caller's.
    """

    def __init__(self, table: TagTable, parts: PartReadings, now_ns: int, history: Historian | None = None) -> None:
        """Begin at `now_ns` with every tag waiting and every device as `parts` says.

        history: is fed and asked through this model; None where nothing is remembered.
        """
        self.history = history
        self.table = table
        self._parts = parts
        self._version = 0
        self._windows = 0
        self._values = LiveValues(len(table), self._raise_version)
        self._events = RecentEvents(table, self._raise_version)
        self._since = dict.fromkeys(table.devices, now_ns)
        self._state = dict.fromkeys(table.devices, "")
        self.devices_version = 0
        self.table_version = 0

    def _raise_version(self) -> int:
        self._version += 1
        return self._version

    def _current(self) -> int:
        return self._version

    # What the pipeline shows.

    def samples(self, block: SampleBlock) -> None:
        """See samples."""
        self._values.push(block)
        if self.history is not None:
            self.history.samples(block)

    def objects(self, block: ObjectBlock) -> None:
        """See values that are no numbers."""
        self._values.push_objects(block)

    def unknown(self, tags: TagIds, quality: int, now_ns: int) -> None:
        """See that tags are unknown from now on."""
        self._values.mark(tags, quality)
        if self.history is not None:
            self.history.unknown(tags, quality, now_ns)

    def window(self, block: WindowBlock) -> None:
        """See a closed window: tags without samples may have become stale."""
        self._windows += 1
        self._values.window(block)

    @property
    def wants_summaries(self) -> bool:
        """Return whether minutes are remembered."""
        return self.history is not None

    def summary(self, block: WindowBlock) -> None:
        """See the summary of a minute."""
        if self.history is not None:
            self.history.summary(block)

    def event(self, event: Event) -> None:
        """See an event."""
        self._events.record(event)

    def state(self, state: DeviceState, now_ns: int) -> None:
        """See a new state or reason of a device."""
        name = self.table.devices[state.device]
        if self._state[name] != state.state:
            self._state[name], self._since[name] = state.state, now_ns
        self.devices_version = self._raise_version()

    # What viewers read.

    @property
    def version(self) -> int:
        """Return the version of all that has come until now."""
        self._values.fold()
        return self._version

    @property
    def alarms_version(self) -> int:
        """Return the version at which an alarm was last raised, changed or cleared."""
        return self._events.alarms_version

    def values(self, tags: TagIds | None = None) -> TagValues:
        """Return the present values of the tags (ascending), of all tags for None."""
        return self._values.read(tags, self._current)

    def values_since(self, version: int) -> TagValues:
        """Return the present values of the tags that were read, or became unknown, after a version."""
        return self._values.changed_since(version, self._current)

    def devices(self) -> list[DeviceView]:
        """Return the state of every device, in the order of the table."""
        table = self.table
        return [
            DeviceView(
                row,
                name := table.devices[row],
                state.state,
                state.reason,
                self._since[name],
                table.range_of(row)[1] - table.range_of(row)[0],
            )
            for row, state in sorted(self._parts.states().items())
        ]

    def connections(self) -> list[ConnectionView]:
        """Return every connection to the field."""
        states, names = self._parts.states(), self.table.devices
        views = []
        for source in self._parts.sources():
            own = [states[device] for device in source.devices]
            up = [state for state in own if state.state != "down"]
            chosen = up or own
            since = (min if up else max)((self._since[names[state.device]] for state in chosen), default=0)
            stats = {names[device]: dict(values) for device, values in source.stats().items()}
            reason = own[0].reason if own and not up else ""
            views.append(ConnectionView(tuple(names[device] for device in source.devices), bool(up), reason, since, stats))
        return views

    def alarms(self) -> list[ActiveAlarm]:
        """Return the active alarms, that of the oldest change first."""
        return self._events.alarms

    def events_since(self, version: int = 0) -> list[RecordedEvent]:
        """Return the newest events after a version, oldest first: 2,000 or 2 MiB of them are kept."""
        return self._events.since(version)

    def counters(self) -> Counters:
        """Return what was counted since the start."""
        values = self._values
        return Counters(
            values.samples,
            values.past_samples,
            self._windows,
            dict(self._parts.event_counts()),
            dict(self._parts.gateway_stats()),
            self._events.dropped_alarms,
            self.history.stats() if self.history is not None else {},
        )

    def take_table(self, table: TagTable, move: TagMove, now_ns: int) -> None:
        """Take another table while running: tags of devices that stay as they are keep their values, others begin anew.

        Tags and devices that it does not have are gone, with their alarms. Viewers see `table_version` rise, and read all.
        """
        self._values.take_over(move)
        same = {self.table.devices[row] for row in move.devices}
        tags = [table.tags[tag] for tag in move.learnt_new[move.new.size :].tolist()]
        self._events.take_table(table, same, {(table.devices[tag.device], tag.name) for tag in tags})
        if self.history is not None:
            self.history.take_table(table, move)
        self._since = {name: self._since[name] if name in same else now_ns for name in table.devices}
        self._state = {name: self._state[name] if name in same else "" for name in table.devices}
        self.table = table
        self.table_version = self.devices_version = self._raise_version()
