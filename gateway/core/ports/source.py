"""The port of a source: one connection to the field."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.core.blocks import ObjectBlock, SampleBlock
from gateway.core.events.event import Event
from gateway.core.messages import DeviceState

Reading = SampleBlock | ObjectBlock | DeviceState | Event
"""What a source has to say."""


class Source(Protocol):
    """One connection to the field, serving one or more devices. One supervisor task owns it; no call overlaps another.

    A source never reconnects by itself. A tag, unit or node that fails costs its own samples (quality bad) and never
    the connection; only a lost connection ends in `NotConnected`.
    """

    @property
    def devices(self) -> Sequence[int]:
        """Table rows of the devices it serves, constant."""
        ...

    async def open(self) -> None:
        """Connect. Raises NotConnected (the supervisor backs off and calls again). Cancellable at once."""
        ...

    async def read(self) -> Reading:
        """Wait for what comes next: samples, values that are no numbers, news of one device, or something worth telling at
        once (samples lost on the device's side). Raises NotConnected. Cancellable at once."""
        ...

    def stats(self) -> Mapping[int, Mapping[str, float | str]]:
        """Per device what has been counted and measured since the start, under stable names in snake case with the unit
        at the end (`requests`, `timeouts`, `round_trip_ms`); cheap enough for once a second."""
        ...

    async def close(self) -> None:
        """Release everything `open` took, within a few seconds, whatever state it is in. Never raises."""
        ...


class Intake(Protocol):
    """Where sources and supervisor hand things on. Plain calls on the event loop, done when they return."""

    def feed(self, block: SampleBlock) -> None:
        """Take samples."""
        ...

    def objects(self, block: ObjectBlock) -> None:
        """Take values that are no numbers."""
        ...

    def device_state(self, state: DeviceState) -> bool:
        """Take news of a device. `down` makes all its tags unknown from now on. Returns whether the state is another one,
        and the journal was told."""
        ...

    def event(self, event: Event) -> None:
        """Take an event for publishing at once."""
        ...
