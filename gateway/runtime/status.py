"""The content of the status topic: one state per device, and a signal when one changes."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from gateway.core.messages import DeviceState


class StatusBoard:
    """The newest state of every device. Only the newest matters, so it does not pass through the outbox."""

    def __init__(
        self,
        devices: int,
        topic: str,
        encode: Callable[[Mapping[int, DeviceState]], bytes],
        encode_offline: Callable[[str], bytes],
    ) -> None:
        """encode_offline: the payload that says, with a reason, that the gateway is away."""
        self._topic = topic
        self._encode = encode
        self._encode_offline = encode_offline
        self._states = {number: DeviceState(number, "down", "starting") for number in range(devices)}
        self._changed = asyncio.Event()
        self._feeds: list[asyncio.Event] = [self._changed]

    def feed(self) -> "StatusCopy":
        """Return the same status for another sink, which is told of each change by itself."""
        changed = asyncio.Event()
        self._feeds.append(changed)
        return StatusCopy(self, changed)

    def update(self, state: DeviceState) -> bool:
        """Record a state. Returns whether state or reason differ from before."""
        if self._states[state.device] == state:
            return False
        self._states[state.device] = state
        self.wake()
        return True

    def state_of(self, device: int) -> DeviceState:
        """Return the newest state of a device."""
        return self._states[device]

    def states(self) -> Mapping[int, DeviceState]:
        """Return the newest states by device row."""
        return self._states

    def take_over(self, devices: int, rows: Mapping[int, int]) -> None:
        """Go on with other devices. rows: the new row of each that stays as it is, by its row; the others are starting."""
        states = {row: DeviceState(row, "down", "starting") for row in range(devices)}
        for before, now in rows.items():
            states[now] = replace(self._states[before], device=now)
        self._states = states
        self.wake()

    def wake(self) -> None:
        """Make `changed` return although no state is new: another part of the status has changed."""
        for changed in self._feeds:
            changed.set()

    def current(self) -> tuple[str, bytes]:
        """Return topic and payload of the status, and consider them published."""
        self._changed.clear()
        return self.payload()

    def payload(self) -> tuple[str, bytes]:
        """Return topic and payload of the status as it is now."""
        return self._topic, self._encode(self._states)

    def offline(self, reason: str) -> tuple[str, bytes]:
        """Return topic and payload that say that the gateway is away since now."""
        return self._topic, self._encode_offline(reason)

    async def changed(self) -> None:
        """Wait until the status has changed since `current` or this was last called. Cancellable."""
        await self._changed.wait()
        self._changed.clear()


class StatusCopy:
    """The status of a board for one of several sinks (`core.ports.sink.StatusFeed`)."""

    def __init__(self, board: StatusBoard, changed: asyncio.Event) -> None:
        """Show what a board has. changed: set by the board at each change."""
        self._board, self._changed = board, changed

    def current(self) -> tuple[str, bytes]:
        """Return topic and payload of the status, and consider them published here."""
        self._changed.clear()
        return self._board.payload()

    def offline(self, reason: str) -> tuple[str, bytes]:
        """Return topic and payload that say that the gateway is away since now."""
        return self._board.offline(reason)

    async def changed(self) -> None:
        """Wait until the status has changed since `current` or this was last called. Cancellable."""
        await self._changed.wait()
        self._changed.clear()
