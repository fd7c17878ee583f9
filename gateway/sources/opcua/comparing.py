"""Whether a server's model is still the one that was found."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from gateway.core.clock import Clock
from gateway.core.messages import Event
from gateway.sources.opcua.config import OpcUaDevice, OpcUaTag
from gateway.sources.opcua.connection import Connection
from gateway.sources.opcua.finding import NotFound, ask
from gateway.sources.opcua.units import lacking

log = logging.getLogger(__name__)

FIRST_S: Final = 30.0
_SEVERITY: Final = 300


class Comparison:
    """Compares now and then, and not more often because connections are lost. What is news is kept, and told."""

    def __init__(self, device: OpcUaDevice, tags: Sequence[OpcUaTag], number: int, clock: Clock) -> None:
        self._device = device
        self._tags = tags
        self._number = number
        self._clock = clock
        self._every_s = device.refresh / 1e9
        self._due_s = clock.monotonic() + min(self._every_s, FIRST_S)

    async def run(self, connection: Connection, report: Callable[[Event], None]) -> None:
        """Until the connection is lost (NotConnected); at once where there is nothing to compare."""
        while self._device.browse or lacking(self._tags):
            await self._clock.sleep(self._due_s - self._clock.monotonic())
            self._due_s = self._clock.monotonic() + self._every_s
            try:
                change = await ask(connection, self._device, self._tags)
            except NotFound as error:
                log.warning("%s: the model cannot be compared: %s", self._device.name, error)
                continue
            if change is not None:
                detail = change.detail("at the next start") | {"severity": _SEVERITY}
                report(Event("model", self._clock.now_ns(), self._number, None, detail))
