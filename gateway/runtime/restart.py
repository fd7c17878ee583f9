"""When a gateway starts anew by itself, because a device's tags are other ones than those that run."""

import asyncio
import math
from typing import Final

from gateway.core.clock import Clock
from gateway.core.retry_timer import DoublingDelay

EVERY_S: Final = 300.0
MOST_S: Final = 86_400.0
PROMPT_RESTARTS: Final = 3


class RestartSchedule:
    """The restarts of a process, which it outlives.

    A restart is due once a device asks for it, but not again within `EVERY_S`: a device that changes all the time would keep
    the others from being read. After `PROMPT_RESTARTS` restarts as close to each other as that allows, the time to the next
    doubles with each, up to `MOST_S`, until there was none for as long again.

    Attributes:
        reason: why the present run was started, empty for the first.
    """

    def __init__(self, clock: Clock) -> None:
        self.reason = ""
        self._clock = clock
        self._last_s = -math.inf
        self._pause = DoublingDelay(EVERY_S, MOST_S)
        self._restarts_in_a_row = 0
        self._devices: dict[str, None] = {}
        self._requested = asyncio.Event()

    def request(self, device: str) -> float:
        """Ask for a restart, because the tags of a device have changed. Return the seconds that it has to wait."""
        self._devices[device] = None
        self._requested.set()
        return self._wait_s

    @property
    def _wait_s(self) -> float:
        return max(0.0, self._last_s + self._pause.current_s - self._clock.monotonic())

    async def due(self) -> str:
        """Wait until a restart is due, and return why, for people. It stays due until `restarting` or `withdraw`.

        Cancellable.
        """
        await self._requested.wait()
        await self._clock.sleep(self._wait_s)
        return f"the tags of {', '.join(self._devices)} have changed"

    def withdraw(self) -> None:
        """Forget all requests: nothing has to be done."""
        self._devices.clear()
        self._requested.clear()

    def restarting(self, reason: str) -> None:
        """Record that the restart is made now, for this reason."""
        self.withdraw()
        self.reason = reason
        now_s = self._clock.monotonic()
        is_close = now_s - self._last_s <= 2 * self._pause.current_s
        self._restarts_in_a_row = self._restarts_in_a_row + 1 if is_close else 1
        if self._restarts_in_a_row >= PROMPT_RESTARTS:
            self._pause.double()
        else:
            self._pause.reset()
        self._last_s = now_s
