"""Whether the primary host listens: its STATE messages (Sparkplug 3.0.0, 5.4 and 6.4.27). Pure but for waiting."""

import asyncio

import orjson

from gateway.layouts.sparkplug.topics import NAMESPACE


class PrimaryHost:
    """The newest state of one host over one connection. Without a name there is none, and nobody to wait for."""

    def __init__(self, name: str) -> None:
        """Begin with a host that is offline. name: its id, empty for none."""
        self.topic = f"{NAMESPACE}/STATE/{name}" if name else ""
        self.online = not name
        self._stamp = 0
        self._change = asyncio.Event()

    def forget(self) -> None:
        """Forget the state: on a new connection the broker sends it again."""
        self._set(not self.topic)
        self._stamp = 0

    def received(self, payload: bytes) -> None:
        """Take a STATE message. One that is older than what is known, or not understood, changes nothing."""
        try:
            body = orjson.loads(payload)
        except orjson.JSONDecodeError:
            return
        online, stamp = (body.get("online"), body.get("timestamp")) if isinstance(body, dict) else (None, None)
        if isinstance(online, bool) and isinstance(stamp, int) and stamp >= self._stamp:
            self._stamp = stamp
            self._set(online)

    async def until(self, online: bool) -> None:
        """Return once the host is online, or once it is not."""
        while self.online != online:
            self._change.clear()
            await self._change.wait()

    def _set(self, online: bool) -> None:
        self.online = online
        self._change.set()
