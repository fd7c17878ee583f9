"""A gateway's status that changes at a call of the test."""

import asyncio

TOPIC = "gw/status"


class FakeStatus:
    """A `core.ports.sink.StatusFeed`."""

    def __init__(self) -> None:
        self.payload = b"online 0"
        self._changed = asyncio.Event()

    def set(self, payload: bytes) -> None:
        """Make it another one."""
        self.payload = payload
        self._changed.set()

    def current(self) -> tuple[str, bytes]:
        self._changed.clear()
        return TOPIC, self.payload

    async def changed(self) -> None:
        await self._changed.wait()
        self._changed.clear()

    def offline(self, reason: str) -> tuple[str, bytes]:
        return TOPIC, reason.encode()


class QuietStatus:
    """A `core.ports.sink.StatusFeed` of which there is never news."""

    def current(self) -> tuple[str, bytes]:
        return TOPIC, b"online"

    async def changed(self) -> None:
        await asyncio.get_running_loop().create_future()

    def offline(self, reason: str) -> tuple[str, bytes]:
        return TOPIC, reason.encode()
