"""Events and alarms of one session: subscribed, received, and asked for again."""

import math

import structlog

from gateway.core.errors import NotConnected
from gateway.sources.opcua.port.events import EVENT_TYPE, Events
from gateway.sources.opcua.port.values import DataValues, Values
from gateway.sources.opcua.source.alarms import Alarms
from gateway.sources.opcua.source.diagnostics import EVENTS_LOST, Diagnostics
from gateway.sources.opcua.source.model_watch import ModelWatch
from gateway.sources.opcua.source.reading_queue import ReadingQueue
from gateway.sources.opcua.source.source_device import SourceDevice
from gateway.sources.opcua.status.codes import is_good, status_name
from gateway.sources.opcua.status.explanation import explained

log = structlog.get_logger("opcua")


class EventMonitor:
    """The event monitored items of one session. What is known of conditions and of the model outlives it."""

    def __init__(
        self,
        device: SourceDevice,
        events: Events,
        values: Values,
        alarms: Alarms,
        model_watch: ModelWatch,
        queue: ReadingQueue,
        diagnostics: Diagnostics,
    ) -> None:
        """Begin without a subscription."""
        self._device = device
        self._events, self._values = events, values
        self._alarms = alarms
        self._model_watch = model_watch
        self._queue = queue
        self._diagnostics = diagnostics
        self._due_s = math.inf
        """When refused notifiers are asked for again."""
        self._is_model_refused = False

    async def subscribe(self) -> None:
        """Subscribe to events and have the retained conditions repeated; all again in a minute if a notifier is refused.

        Where changes of the model are refused, or never come, the comparison every `refresh` finds them.
        Raises NotConnected.
        """
        watch = self._model_watch
        self._is_model_refused = self._is_model_refused or watch.is_model_refused
        watch.is_model_refused = False
        wanted, model = self._device.config.events, self._is_model_wanted and not self._is_model_refused
        if not wanted and not model:
            return
        try:
            statuses = await self._events.subscribe(wanted, model=model)
        except NotConnected:
            watch.is_model_refused = model
            raise
        if model and not is_good(status := statuses.pop()):
            log.info("model changes are not reported", device=self._device.name, reason=status_name(status))
        refused = [(one.notifier, status) for one, status in zip(wanted, statuses, strict=True) if not is_good(status)]
        retry_s = self._device.intervals.notifier_retry_s
        self._due_s = self._device.clock.monotonic() + retry_s if refused else math.inf
        for notifier, status in refused:
            self._diagnostics.warn(f"events of {notifier} are refused: {explained(status)}", 1)
        if len(refused) < len(wanted):
            await self._events.refresh_conditions()

    @property
    def _is_model_wanted(self) -> bool:
        """For units and refused nodes alone no subscription is made beside polled reads: small servers have few."""
        # Values report changed units, too: see `has_new_meaning`.
        wants_units = self._model_watch.is_wanted and bool(self._device.config.events)
        is_useful = wants_units or bool(self._diagnostics.health.bad_rows)
        return bool(self._device.config.browse) or (self._device.is_subscribed and is_useful)

    async def run(self) -> None:
        """Receive changes of the model beside polled reads, which do not depend on them.

        Returns when the subscription ends: then the comparison every `refresh` is left.
        """
        try:
            while True:
                await self.put(await self._values.next_notification())
        except NotConnected as error:
            log.info("model changes are no longer reported", device=self._device.name, reason=str(error))

    async def retry(self) -> None:
        """Subscribe again where notifiers were refused and their retry is due."""
        if self._device.clock.monotonic() >= self._due_s:
            await self.subscribe()

    async def put(self, values: DataValues) -> None:
        """Queue the events that came with values. Raises NotConnected."""
        if values.model_changed:
            self._model_watch.hurry()
            self._diagnostics.health.hurry(self._device.clock.monotonic())
        if not values.events:
            return
        self._diagnostics.check_clock(values)
        is_late = self._diagnostics.is_late  # of these values: others are received while names are asked for
        types = {given.values[EVENT_TYPE] for given in values.events if len(given.values) > EVENT_TYPE}
        names = await self._events.type_names([one for one in types if isinstance(one, str)])
        off_ns = values.server_clock_ns - values.received_ns if values.server_clock_ns else 0
        for given in values.events:
            config = self._device.config
            is_right = (abs(off_ns) <= config.clock_tolerance or is_late) and config.times == "server"
            came_ns = values.received_ns - (0 if is_right else values.late_ns)
            for event in self._alarms.events_of(given, came_ns, is_right, names):
                self._diagnostics.statistics.events += 1
                self._queue.push(event)
        if self._alarms.lost:
            self._diagnostics.count_loss(EVENTS_LOST, 1)
        if self._alarms.needs_refresh:
            await self._events.refresh_conditions()
        self._alarms.lost = self._alarms.needs_refresh = False
