"""The last events, and the alarms that are active."""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.core.events.event import Event
from gateway.core.events.process import LimitAlarm
from gateway.core.tags import TagTable

MOST_EVENTS: Final = 2_000
MOST_EVENT_BYTES: Final = 2 * 2**20
MOST_ALARMS: Final = 20_000
_OVERHEAD_BYTES: Final = 400
_LONG_BYTES: Final = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class RecordedEvent:
    """An event that was published."""

    version: int
    """Of the model, when it was recorded."""
    event: Event
    """The event; its numbers of tag and device are those of the table of its time."""
    device: str
    """Name of the device, empty for an event of the gateway itself."""
    tag: str
    """Name of the tag, empty for an event of a device or of the gateway."""


@dataclass(frozen=True, slots=True, eq=False)
class ActiveAlarm:
    """A condition that holds at present."""

    device: str
    """Name of the device."""
    tag: str
    """Name of the tag, empty for a condition that the device itself reports."""
    condition: str
    """Which condition: `hihi`, `hi`, `lo`, `lolo`, `anomaly zscore`, or the name that the device gives it."""
    since_ns: int
    """When it began, ns since the epoch, UTC."""
    event: Event
    """The newest event of it."""


class RecentEvents:
    """The newest events, bounded in number and bytes, and every condition that is active."""

    def __init__(self, table: TagTable, next_version: Callable[[], int]) -> None:
        """Begin without events. next_version: raises the version of the model, and returns it."""
        self._table = table
        self._next = next_version
        self._events: deque[tuple[RecordedEvent, int]] = deque()
        self._bytes = 0
        self._alarms: dict[tuple[str, str, str], ActiveAlarm] = {}
        self.alarms_version = 0
        self.dropped_alarms = 0

    def record(self, event: Event) -> None:
        """Keep an event, and what it says of a condition."""
        device = "" if event.device is None else self._table.devices[event.device]
        tag = "" if event.tag is None else self._table.tags[event.tag].name
        recorded, size = RecordedEvent(self._next(), event, device, tag), _size(event)
        self._events.append((recorded, size))
        self._bytes += size
        while len(self._events) > MOST_EVENTS or self._bytes > MOST_EVENT_BYTES:
            self._bytes -= self._events.popleft()[1]
        if (condition := event.condition_state) is not None:
            self._record_condition((device, tag, condition[0]), condition[1], recorded)

    def _record_condition(self, key: tuple[str, str, str], is_active: bool, recorded: RecordedEvent) -> None:
        before = self._alarms.pop(key, None)
        if is_active:
            since = before.since_ns if before is not None else recorded.event.time_ns
            self._alarms[key] = ActiveAlarm(*key, since, recorded.event)
            if len(self._alarms) > MOST_ALARMS:
                del self._alarms[next(iter(self._alarms))]
                self.dropped_alarms += 1
        if is_active or before is not None:
            self.alarms_version = recorded.version

    def since(self, version: int) -> list[RecordedEvent]:
        """Return the events after a version, oldest first, as far as they are kept."""
        found = []
        for recorded, _ in reversed(self._events):
            if recorded.version <= version:
                break
            found.append(recorded)
        found.reverse()
        return found

    @property
    def alarms(self) -> list[ActiveAlarm]:
        """Return the active alarms, that of the oldest change first."""
        return list(self._alarms.values())

    def take_table(self, table: TagTable, devices: Collection[str], known: Collection[tuple[str, str]]) -> None:
        """Take another table. Alarms of some devices, and of tags of others (`known`: device and tag), go on.

        So do configured alarms: their end is an event.
        """
        self._table = table
        kept = {
            key: alarm
            for key, alarm in self._alarms.items()
            if key[0] in devices or key[:2] in known or isinstance(alarm.event, LimitAlarm)
        }
        if len(kept) != len(self._alarms):
            self._alarms = kept
            self.alarms_version = self._next()


def _size(event: Event) -> int:
    """Return about how many bytes an event takes."""
    size = _OVERHEAD_BYTES
    for value in event.payload().values():
        if isinstance(value, str):
            size += len(value)
        elif isinstance(value, Mapping):
            size += len(repr(value))
        elif isinstance(value, list | tuple):
            size += _LONG_BYTES + sum(len(str(one)) for one in value)
    return size
