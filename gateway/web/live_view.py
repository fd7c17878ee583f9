"""What the page and the API see of the read model (`gateway.live`)."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from gateway.core.blocks import Qualities, TagIds, Times, Values
from gateway.core.events.event import Event
from gateway.core.tags import TagTable

Stats = Mapping[str, float | str]


class ValuesView(Protocol):
    """Present values of some tags, as columns of equal length."""

    @property
    def version(self) -> int:
        """Return the version of the model when they were read."""
        ...

    @property
    def tag(self) -> TagIds:
        """Return uint32[n], rows of the table, ascending."""
        ...

    @property
    def time(self) -> Times:
        """Return int64[n], ns UTC, 0 for never."""
        ...

    @property
    def value(self) -> Values:
        """Return float64[n], NaN where there is no number."""
        ...

    @property
    def quality(self) -> Qualities:
        """Return uint8[n], `Quality` codes."""
        ...

    @property
    def objects(self) -> Mapping[int, Any]:
        """Return values that are no numbers, by tag."""
        ...


class DeviceView(Protocol):
    """The state of a device."""

    @property
    def device(self) -> int:
        """Return its row in the table."""
        ...

    @property
    def name(self) -> str:
        """Return its name."""
        ...

    @property
    def state(self) -> str:
        """Return `ok`, `degraded` or `down`."""
        ...

    @property
    def reason(self) -> str:
        """Return a sentence for people, empty when ok."""
        ...

    @property
    def since_ns(self) -> int:
        """Return when the state began, ns UTC."""
        ...

    @property
    def tags(self) -> int:
        """Return how many tags it has."""
        ...


class ConnectionView(Protocol):
    """One connection to the field."""

    @property
    def devices(self) -> Sequence[str]:
        """Return the names of its devices."""
        ...

    @property
    def is_up(self) -> bool:
        """Return whether any of them can be read."""
        ...

    @property
    def reason(self) -> str:
        """Return why it is down."""
        ...

    @property
    def since_ns(self) -> int:
        """Return when it came up or went down, ns UTC."""
        ...

    @property
    def stats(self) -> Mapping[str, Stats]:
        """Return what was counted, by device."""
        ...


class AlarmView(Protocol):
    """A condition that holds."""

    @property
    def device(self) -> str:
        """Return the name of the device."""
        ...

    @property
    def tag(self) -> str:
        """Return the name of the tag, empty for the device itself."""
        ...

    @property
    def condition(self) -> str:
        """Return which condition it is."""
        ...

    @property
    def since_ns(self) -> int:
        """Return when it began, ns UTC."""
        ...

    @property
    def event(self) -> Event:
        """Return its newest event."""
        ...


class EventView(Protocol):
    """An event that was published."""

    @property
    def version(self) -> int:
        """Return the version of the model when it was recorded."""
        ...

    @property
    def event(self) -> Event:
        """Return the event."""
        ...

    @property
    def device(self) -> str:
        """Return the name of the device, empty for the gateway itself."""
        ...

    @property
    def tag(self) -> str:
        """Return the name of the tag, empty for none."""
        ...


class CountersView(Protocol):
    """What was counted since the start."""

    @property
    def samples(self) -> int:
        """Return the samples read."""
        ...

    @property
    def windows(self) -> int:
        """Return the windows closed."""
        ...

    @property
    def events(self) -> Mapping[str, int]:
        """Return the events by kind."""
        ...

    @property
    def gateway(self) -> Stats:
        """Return the counters of publisher and outbox, and the days of certificates."""
        ...


class LiveView(Protocol):
    """The read model (`gateway.live`). Whoever reads computes; nothing is kept for viewers."""

    @property
    def table(self) -> TagTable:
        """Return all devices and tags."""
        ...

    @property
    def version(self) -> int:
        """Return the version of all that has come until now."""
        ...

    @property
    def table_version(self) -> int:
        """Return the version at which the table last changed."""
        ...

    @property
    def devices_version(self) -> int:
        """Return the version at which the state of a device last changed."""
        ...

    @property
    def alarms_version(self) -> int:
        """Return the version at which an alarm was last raised, changed or cleared."""
        ...

    def values(self, tags: TagIds | None = None) -> ValuesView:
        """Return the present values of the tags (ascending), of all for None."""
        ...

    def devices(self) -> Sequence[DeviceView]:
        """Return the state of every device, in the order of the table."""
        ...

    def connections(self) -> Sequence[ConnectionView]:
        """Return every connection to the field."""
        ...

    def alarms(self) -> Sequence[AlarmView]:
        """Return the active alarms."""
        ...

    def events_since(self, version: int = 0) -> Sequence[EventView]:
        """Return the newest events after a version, oldest first."""
        ...

    def counters(self) -> CountersView:
        """Return what was counted since the start."""
        ...
