"""Whether a server's model is still the one that was found."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from gateway.core.clock import Clock
from gateway.core.messages import Event
from gateway.sources.opcua.config import OpcUaDevice
from gateway.sources.opcua.connection import Connection
from gateway.sources.opcua.finding import NotFound, keep

log = logging.getLogger(__name__)

FIRST_S: Final = 30.0
_SEVERITY: Final = 300


class Comparison:
    """Compares now and then, and not more often because connections are lost. What is news is kept, and told."""

    def __init__(self, device: OpcUaDevice, number: int, clock: Clock) -> None:
        self._device = device
        self._number = number
        self._clock = clock
        self._every_s = device.refresh / 1e9
        self._due_s = clock.monotonic() + min(self._every_s, FIRST_S)

    async def run(self, connection: Connection, report: Callable[[Event], None]) -> None:
        """Until the connection is lost (NotConnected); at once for a device without `browse`."""
        while self._device.browse:
            await self._clock.sleep(self._due_s - self._clock.monotonic())
            self._due_s = self._clock.monotonic() + self._every_s
            try:
                tags, cut = await connection.find(self._device.browse)
                change = await asyncio.to_thread(keep, self._device, tags, cut=cut)
            except NotFound as error:
                log.warning("%s: the model cannot be compared: %s", self._device.name, error)
                continue
            if change is not None:
                detail = change.detail() | {"severity": _SEVERITY}
                report(Event("model", self._clock.now_ns(), self._number, None, detail))
