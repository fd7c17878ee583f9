"""When a gateway starts anew by itself, because a device's tags are other ones than those that run."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gateway.core.clock import Clock
from gateway.core.events.event import Event
from gateway.core.ports.source import Intake

EVERY_S: Final = 300.0
MOST_S: Final = 86_400.0
PATIENCE: Final = 3


class Renewal:
    """Outlives each start. A start is due once a device asks for it, but not again within `EVERY_S`: a device that changes
    all the time would keep the others from being read. After `PATIENCE` starts as close to each other as that allows, the
    time to the next is twice as long each time, up to `MOST_S`, until it is calm for as long again.

    reason: why the present start was made, empty for the first.
    """

    def __init__(self, clock: Clock) -> None:
        self.reason = ""
        self._clock = clock
        self._last_s = -math.inf
        self._pause_s = EVERY_S
        self._row = 0
        self._names: dict[str, None] = {}
        self._asked = asyncio.Event()

    def ask(self, name: str) -> float:
        """The tags of a device have changed. Returns how long that has to wait, seconds."""
        self._names[name] = None
        self._asked.set()
        return self._wait_s

    @property
    def _wait_s(self) -> float:
        return max(0.0, self._last_s + self._pause_s - self._clock.monotonic())

    async def due(self) -> str:
        """Wait until a start is due; why, for people. It stays due until `begin` or `drop`. Cancellable."""
        await self._asked.wait()
        await self._clock.sleep(self._wait_s)
        return f"the tags of {', '.join(self._names)} have changed"

    def drop(self) -> None:
        """Nothing is to be done."""
        self._names.clear()
        self._asked.clear()

    def begin(self, reason: str) -> None:
        """It is made now."""
        self.drop()
        self.reason = reason
        now_s = self._clock.monotonic()
        self._row = self._row + 1 if now_s - self._last_s <= 2 * self._pause_s else 1
        self._pause_s = min(2 * self._pause_s, MOST_S) if self._row >= PATIENCE else EVERY_S
        self._last_s = now_s


class Noticing:
    """An `Intake` that hands everything on, and notes when a source says that its device's tags have changed and are to be
    taken at once: `restart_in_s` says when that has to wait."""

    def __init__(self, intake: Intake, renewal: Renewal, devices: Sequence[str]) -> None:
        self.feed, self.objects, self.device_state = intake.feed, intake.objects, intake.device_state
        self._event = intake.event
        self._renewal = renewal
        self._devices = devices

    def event(self, event: Event) -> None:
        """See `Intake.event`."""
        if event.kind == "model" and getattr(event, "restart", None) and event.device is not None:
            wait_s = round(self._renewal.ask(self._devices[event.device]))
            event = replace(event, restart_in_s=wait_s) if wait_s else event  # type: ignore[call-arg]
        self._event(event)
