"""Events and alarms of one connection: subscribed, taken, and asked for again."""

import math
from typing import Final

import structlog

from gateway.core.clock import Clock
from gateway.core.errors import NotConnected
from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.port.events import EVENT_TYPE
from gateway.sources.opcua.port.session import Connection
from gateway.sources.opcua.port.values import DataValues
from gateway.sources.opcua.source.alarms import Alarms
from gateway.sources.opcua.source.diagnostics import EVENTS_LOST, Diagnostics
from gateway.sources.opcua.source.model_watch import ModelWatch
from gateway.sources.opcua.source.reading_queue import ReadingQueue
from gateway.sources.opcua.status.codes import is_good, status_name
from gateway.sources.opcua.status.explanation import explained

log = structlog.get_logger("opcua")

EVENTS_RETRY_S: Final = 60.0


class EventMonitor:
    """alarms, comparison: what is known of conditions and of the model; they outlive the connection."""

    def __init__(
        self,
        config: OpcUaDevice,
        alarms: Alarms,
        comparison: ModelWatch,
        clock: Clock,
        inbox: ReadingQueue,
        reports: Diagnostics,
    ) -> None:
        self._config = config
        self._alarms = alarms
        self._comparison = comparison
        self._clock = clock
        self._inbox = inbox
        self._reports = reports
        self._due_s = math.inf
        self._is_deaf = False

    async def watch(self, connection: Connection) -> None:
        """Subscribe to events and have the conditions told that hold; all again in a minute if one is refused. Where changes
        of the model are refused, or never come, `refresh` finds them. Refused nodes are asked for again when they come."""
        self._is_deaf, self._comparison.is_deaf = self._is_deaf or self._comparison.is_deaf, False
        wanted, model = self._config.events, self._is_model_wanted and not self._is_deaf
        if not wanted and not model:
            return
        try:
            statuses = await connection.add_events(wanted, model=model)
        except NotConnected:
            self._comparison.is_deaf = model
            raise
        if model and not is_good(status := statuses.pop()):
            log.info("%s: changes of the model are not told: %s", self._config.name, status_name(status))
        refused = [(one.notifier, status) for one, status in zip(wanted, statuses, strict=True) if not is_good(status)]
        self._due_s = self._clock.monotonic() + EVENTS_RETRY_S if refused else math.inf
        for notifier, status in refused:
            self._reports.complain(f"events of {notifier} are refused: {explained(status)}", 1)
        if len(refused) < len(wanted):
            await connection.refresh_conditions()

    @property
    def _is_model_wanted(self) -> bool:
        """For units and refused nodes alone no subscription is made beside polled reads: small servers have few."""
        units = self._comparison.is_wanted and bool(self._config.events)  # values tell, too: see `has_new_meaning`
        is_useful = units or bool(self._reports.health.bad_rows)
        return bool(self._config.browse) or (self._config.mode == "subscribe" and is_useful)

    async def hear(self, connection: Connection) -> None:
        """Changes of the model beside polled reads, which do not depend on them: `refresh` is left when they end."""
        try:
            while True:
                await self.take(connection, await connection.next_values())
        except NotConnected as error:
            log.info("%s: changes of the model are no longer told: %s", self._config.name, error)

    async def retry(self, connection: Connection) -> None:
        """Notifiers that were refused, once their time has come."""
        if self._clock.monotonic() >= self._due_s:
            await self.watch(connection)

    async def take(self, connection: Connection, values: DataValues) -> None:
        """The events that came with values."""
        if values.model_changed:
            self._comparison.hurry()
            self._reports.health.hurry(self._clock.monotonic())
        if not values.events:
            return
        types = {given.values[EVENT_TYPE] for given in values.events if len(given.values) > EVENT_TYPE}
        names = await connection.event_types([one for one in types if isinstance(one, str)])
        off_ns = values.server_clock_ns - values.received_ns if values.server_clock_ns else 0
        for given in values.events:
            is_right = abs(off_ns) <= self._config.clock_tolerance
            for event in self._alarms.take(given, values.received_ns, is_right, names):
                self._reports.statistics.events += 1
                self._inbox.report(event)
        if self._alarms.lost:
            self._reports.lose(EVENTS_LOST, 1)
        if self._alarms.needs_refresh:
            await connection.refresh_conditions()
        self._alarms.lost = self._alarms.needs_refresh = False
