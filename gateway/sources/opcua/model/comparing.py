"""Whether a server's model is still the one that was found."""

import logging
import math
from collections.abc import Callable, Sequence
from typing import Final

from gateway.core.clock import Clock
from gateway.core.messages import Event
from gateway.sources.opcua.config import OpcUaDevice, OpcUaTag
from gateway.sources.opcua.connection import Connection
from gateway.sources.opcua.model.finding import Change, NotFound, ask
from gateway.sources.opcua.model.units import lacking

log = logging.getLogger(__name__)

FIRST_S: Final = 30.0
QUIET_S: Final = 2.0
"""After a server has said that its model changes it is given time to finish, each time it says so again ..."""
LONGEST_S: Final = 30.0
"""... but not for ever."""
PAUSE_S: Final = 60.0
"""From one comparison to the next, whatever the server says: a browse costs it something."""
_STEP_S: Final = 1.0
_SEVERITY: Final = 300


class Comparison:
    """Compares now and then, not more often because connections are lost, and soon after `hurry`. What is news is kept, and
    told."""

    def __init__(self, device: OpcUaDevice, tags: Sequence[OpcUaTag], number: int, clock: Clock) -> None:
        self._device = device
        self._tags = tags
        self._number = number
        self._clock = clock
        self._every_s = device.refresh / 1e9
        self._due_s = clock.monotonic() + min(self._every_s, FIRST_S)
        self._last_s = self._begun_s = -math.inf
        self._soon_s = math.inf

    def hurry(self) -> None:
        """The server says that its model has changed."""
        now_s = self._clock.monotonic()
        if self._soon_s == math.inf:
            self._begun_s = now_s
        self._soon_s = max(min(now_s + QUIET_S, self._begun_s + LONGEST_S), self._last_s + PAUSE_S)

    async def _wait(self) -> None:
        while (left_s := min(self._due_s, self._soon_s) - self._clock.monotonic()) > 0:
            await self._clock.sleep(min(left_s, _STEP_S))
        self._last_s = self._clock.monotonic()
        self._due_s, self._soon_s = self._last_s + self._every_s, math.inf

    async def run(self, connection: Connection, report: Callable[[Event], None]) -> None:
        """Until the connection is lost (NotConnected); at once where there is nothing to compare."""
        while self._device.browse or lacking(self._tags):
            await self._wait()
            try:
                change = await ask(connection, self._device, self._tags)
            except NotFound as error:
                log.warning("%s: the model cannot be compared: %s", self._device.name, error)
                continue
            if change is not None:
                report(Event("model", self._clock.now_ns(), self._number, None, self._detail(change)))

    def _detail(self, change: Change) -> dict[str, object]:
        if any(one.on_change == "restart" for one in self._device.browse):
            return change.detail("now, the gateway starts anew") | {"restart": True, "severity": _SEVERITY}
        return change.detail("at the next start") | {"severity": _SEVERITY}
