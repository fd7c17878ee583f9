"""The port of a source: one connection to the field, and the sink for the samples that it reads."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.core.blocks import ObjectBlock, SampleBlock
from gateway.core.events.event import Event
from gateway.core.messages import DeviceState

Reading = SampleBlock | ObjectBlock | DeviceState | Event
"""One result of `Source.read`."""


class Source(Protocol):
    """One connection to the field, serving one or more devices. One supervisor task owns it; no call overlaps another.

    A source never reconnects by itself. A tag, unit or node that fails costs its own samples (quality bad) and never
    the connection; only a lost connection ends in `NotConnected`.
    """

    @property
    def devices(self) -> Sequence[int]:
        """Return the table rows of the devices that it serves; constant."""
        ...

    async def open(self) -> None:
        """Connect. Raises NotConnected: the supervisor waits and calls again. Cancellable at once."""
        ...

    async def read(self) -> Reading:
        """Wait for what comes next, and return it.

        That is samples, values that are no numbers, a device's new state, or an event that must not wait (samples lost on
        the device's side). Raises NotConnected. Cancellable at once.
        """
        ...

    def stats(self) -> Mapping[int, Mapping[str, float | str]]:
        """Return per device what was counted and measured since the start.

        Names are stable, in snake case, with the unit at the end (`requests`, `timeouts`, `round_trip_ms`). Cheap enough
        for once a second.
        """
        ...

    async def close(self) -> None:
        """Release everything that `open` took, within a few seconds, whatever state it is in. Never raises."""
        ...


class Served(Protocol):
    """A connection to the field as those see it who only look at it."""

    @property
    def devices(self) -> Sequence[int]:
        """Return the present table rows of the devices that it serves."""
        ...

    def stats(self) -> Mapping[int, Mapping[str, float | str]]:
        """Return per device what was counted and measured since it began, see `Source.stats`."""
        ...


class SampleSink(Protocol):
    """The receiver of everything that sources read. Plain calls on the event loop, complete when they return."""

    def push(self, block: SampleBlock) -> None:
        """Take over samples."""
        ...

    def push_objects(self, block: ObjectBlock) -> None:
        """Take over values that are no numbers."""
        ...

    def report_state(self, state: DeviceState) -> bool:
        """Record a device's state; `down` makes all its tags unknown from now on.

        Returns whether the state was new, and was logged.
        """
        ...

    def report(self, event: Event) -> None:
        """Publish an event at once."""
        ...
