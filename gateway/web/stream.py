"""Server-sent events: what has changed, once a second, encoded once for all viewers. Works only while somebody looks."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import orjson

from gateway.core.blocks import TagIds
from gateway.web.api import Api
from gateway.web.live_view import LiveView

PERIOD_S: Final = 1.0
MOST_VIEWERS: Final = 32
MOST_TAGS: Final = 500
_MOST_WAITING: Final = 8
_MOST_NEWS: Final = 200


@dataclass(slots=True, eq=False)
class Viewer:
    """One who looks. What it does not take in time ends it."""

    tags: TagIds
    """The tags whose values it wants."""
    drop: Callable[[], None]
    """Ends its connection."""
    waiting: asyncio.Queue[bytes] = field(default_factory=lambda: asyncio.Queue(_MOST_WAITING))
    """What is still to be sent."""
    is_dropped: bool = False
    """It was too slow."""


class Stream:
    """All viewers of a gateway. `run` is one task for all of them."""

    def __init__(self, live: LiveView, api: Api) -> None:
        self._live = live
        self._api = api
        self._viewers: set[Viewer] = set()
        self._someone = asyncio.Event()
        self._begin = self._table = 0
        self.dropped = 0

    @property
    def is_full(self) -> bool:
        """Return whether no more viewers are let in."""
        return len(self._viewers) >= MOST_VIEWERS

    def __len__(self) -> int:
        return len(self._viewers)

    def add(self, viewer: Viewer) -> None:
        """Let a viewer in: it gets all that is true now, and then what changes."""
        if not self._viewers:
            self._begin, self._table = self._live.version, self._live.table_version
        self._give(viewer, self._snapshot())
        self._viewers.add(viewer)
        self._someone.set()

    def remove(self, viewer: Viewer) -> None:
        """Forget a viewer."""
        self._viewers.discard(viewer)
        if not self._viewers:
            self._someone.clear()

    async def run(self, sleep: Callable[[float], Any]) -> None:
        """Send what has changed once a second, for ever; rest while nobody looks."""
        devices = alarms = events = -1
        while True:
            if not self._viewers:
                await self._someone.wait()
                devices = alarms = events = self._begin
            await sleep(PERIOD_S)
            if self._live.table_version != self._table:
                self._begin_anew()
                continue
            await self._api.read_host()
            live, parts = self._live, [message("status", self._api.status_now())]
            await asyncio.sleep(0)  # between all pieces: an alarm must not wait for what is made for viewers
            if live.devices_version > devices:
                devices = live.devices_version
                parts.append(message("devices", self._api.devices_now()))
                await asyncio.sleep(0)
            if live.alarms_version > alarms:
                alarms = live.alarms_version
                parts.append(message("alarms", self._api.alarms_now()))
                await asyncio.sleep(0)
            if news := live.events_since(events):
                events = news[-1].version
                parts.append(message("events", self._api.events_now(list(news)[-_MOST_NEWS:])))
                await asyncio.sleep(0)
            await self._send(b"".join(parts))

    def _begin_anew(self) -> None:
        """Let all viewers go after a reload: the numbers of their tags mean others now. They come again."""
        for viewer in list(self._viewers):
            viewer.is_dropped = True
            self.remove(viewer)
            viewer.drop()

    def _snapshot(self) -> bytes:
        api = self._api
        return (
            message("status", api.status_now()) + message("devices", api.devices_now()) + message("alarms", api.alarms_now())
        )

    async def _send(self, common: bytes) -> None:
        made: dict[bytes, bytes] = {}  # viewers of the same tags get the same bytes
        for viewer in list(self._viewers):
            if viewer not in self._viewers or self._live.table_version != self._table:
                continue
            values = b""
            if viewer.tags.size:
                key = viewer.tags.tobytes()
                if key not in made:
                    made[key] = message("values", self._api.values_now(viewer.tags))
                values = made[key]
            self._give(viewer, common + values)
            await asyncio.sleep(0)

    def _give(self, viewer: Viewer, content: bytes) -> None:
        try:
            viewer.waiting.put_nowait(content)
        except asyncio.QueueFull:
            viewer.is_dropped = True
            self.dropped += 1
            self.remove(viewer)
            viewer.drop()


def message(name: str, content: Any) -> bytes:
    """Return one event of the stream (HTML, 9.2.6): the data is one line of JSON."""
    return b"event: " + name.encode() + b"\ndata: " + encode(content) + b"\n\n"


def encode(content: Any) -> bytes:
    """Return JSON; what it does not know becomes text."""
    return orjson.dumps(content, default=_plain, option=orjson.OPT_NON_STR_KEYS)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    return str(value)
