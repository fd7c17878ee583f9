"""What the retained status topic says: one state per device, and news when one changes."""

import asyncio
from collections.abc import Callable, Mapping

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
        self._news = asyncio.Event()

    def update(self, state: DeviceState) -> bool:
        """Take a state; True if state or reason differ from before."""
        if self._states[state.device] == state:
            return False
        self._states[state.device] = state
        self._news.set()
        return True

    def state_of(self, device: int) -> DeviceState:
        """The newest state of a device."""
        return self._states[device]

    def states(self) -> Mapping[int, DeviceState]:
        """The newest states."""
        return self._states

    def wake(self) -> None:
        """Make `changed` return although no state is new: something else is to be told."""
        self._news.set()

    def current(self) -> tuple[str, bytes]:
        """Topic and payload of the birth and of every later status."""
        self._news.clear()
        return self._topic, self._encode(self._states)

    def offline(self, reason: str) -> tuple[str, bytes]:
        """Return topic and payload that say that the gateway is away since now."""
        return self._topic, self._encode_offline(reason)

    async def changed(self) -> None:
        """Return when `current` would say something new; what made it return is then no news any more."""
        await self._news.wait()
        self._news.clear()
