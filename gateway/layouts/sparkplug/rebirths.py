"""How often a node is born again on request: whoever asks without end must not fill the line with births."""

import asyncio
from collections.abc import Callable
from typing import Final, NoReturn

import structlog

from gateway.core.clock import Clock
from gateway.core.log_throttle import LogThrottle

log = structlog.get_logger("sparkplug")

_AT_ONCE: Final = 3
_EVERY_S: Final = 10.0


class RebirthRequests:
    """Requests of hosts for births (Sparkplug 3.0.0, 5.17).

    The first three are granted at once, and then one every ten seconds; all that come meanwhile are one. Births that were
    sent after a request serve everybody who asked.
    """

    def __init__(self, clock: Clock, wake: Callable[[], None]) -> None:
        """Begin without a request. wake: called when births are due."""
        self._clock = clock
        self._wake = wake
        self._granted_at: list[float] = []
        self._is_waiting = False
        self._asked = asyncio.Event()
        self._throttle = LogThrottle(clock)
        self.merged = 0
        """Requests that were answered together with an earlier one."""

    @property
    def is_due(self) -> bool:
        """Return whether births are to be sent now."""
        return self._is_waiting and self._due_in_s() <= 0

    def add(self) -> None:
        """Take a request."""
        if self._is_waiting:
            self.merged += 1
            return
        self._is_waiting = True
        self._asked.set()
        if self.is_due:
            self._wake()
        elif self._throttle.is_due("often"):
            log.warning("births are asked for too often", every_s=_EVERY_S, merged=self.merged)

    def sent(self) -> None:
        """Record that births are on their way: on request, or because a connection begins."""
        if self._is_waiting:
            self._is_waiting = False
            self._granted_at = [*self._granted_at[1 - _AT_ONCE :], self._clock.monotonic()]

    async def wake_when_due(self) -> NoReturn:
        """Call `wake` for a request that had to wait; never returns."""
        while True:
            self._asked.clear()
            while self._is_waiting and (delay_s := self._due_in_s()) > 0:
                await self._clock.sleep(delay_s)
                if self.is_due:
                    self._wake()
            await self._asked.wait()

    def _due_in_s(self) -> float:
        """Return when the next births are granted, in seconds; not positive for now."""
        if len(self._granted_at) < _AT_ONCE:
            return 0.0
        now = self._clock.monotonic()
        return min(self._granted_at[0] + _AT_ONCE * _EVERY_S, self._granted_at[-1] + _EVERY_S) - now
