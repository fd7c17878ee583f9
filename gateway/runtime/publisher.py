"""The one place that connects to a sink, again and again, and carries messages from the outbox to it."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import Final, NoReturn

import structlog

from gateway.core import spans
from gateway.core.backoff import full_jitter
from gateway.core.clock import Clock
from gateway.core.errors import NotConnected
from gateway.core.events.event import Event
from gateway.core.log_throttle import LogThrottle
from gateway.core.ports.outbox import Deliveries, Delivery
from gateway.core.ports.sink import EndedBy, Ending, Sink
from gateway.core.ports.sink_plugin import DeliveryPolicy
from gateway.core.wait_first import first
from gateway.runtime.in_flight import InFlight
from gateway.runtime.refusals import RefusalReports

log = structlog.get_logger("publisher")

_STABLE_S: Final = 30.0
_MANY_SHORT: Final = 3
_IDLE_S: Final = 0.2


class PublisherState(Enum):
    """Where a publisher stands."""

    IDLE = auto()
    """Not running."""
    WAITING = auto()
    """Backing off before the next attempt."""
    CONNECTING = auto()
    CONNECTED = auto()
    """Connected; the sink does not take messages yet."""
    LIVE = auto()
    """Connected; what is made now is live."""
    DRAINING = auto()
    """Asked to stop: delivering what is live."""


class _Event(Enum):
    """What a wait has ended with, where it is no end of a connection."""

    STOP = auto()
    DONE = auto()


class Publisher:
    """Keeps one sink connected, with full jitter between attempts, and hands it the messages of one reader of the outbox.

    A delivery is acknowledged when the sink says that it has arrived, and on nothing else. `set_live(True)` is called when
    the sink goes live, and `set_live(False)` after a loss, before what was in flight goes back to the outbox; so nothing
    that has missed its connection is ever sent as live.
    """

    def __init__(
        self,
        sink: Sink,
        deliveries: Deliveries,
        clock: Clock,
        policy: DeliveryPolicy,
        *,
        delays: Callable[[], Iterator[float]] = full_jitter,
        report: Callable[[Event], None] = lambda event: None,
        name: str = "",
    ) -> None:
        """Connect nothing yet. delays: of attempts to connect, and of pauses after refusals, seconds.

        report: publishes security events of attempts to connect. name: of the sink in the journal, where there are several.
        """
        self._log = log.bind(sink=name) if name else log
        self._sink = sink
        self._deliveries = deliveries
        self._clock = clock
        self._policy = policy
        self._delays = delays
        self._in_flight = InFlight(sink, deliveries, clock, delays, policy.tries)
        self._held: deque[Delivery] = deque()
        self._log_throttle = LogThrottle(clock)
        self._refusals = RefusalReports(report, clock)
        self._short_in_a_row = 0
        self._has_had_room = False
        """The sink has taken messages, or would have, on this connection."""
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()
        self._deadline = 0.0
        self._stop_reason = ""
        self.state = PublisherState.IDLE
        self.connects = 0
        """Connections accepted."""
        self.on_changed: Callable[[], None] = lambda: None
        """Called when a connection begins or has ended."""

    @property
    def is_connected(self) -> bool:
        """Return whether a connection stands."""
        return self.state in (PublisherState.CONNECTED, PublisherState.LIVE, PublisherState.DRAINING)

    @property
    def sent(self) -> int:
        """Return how many messages were handed to the sink, repetitions included."""
        return self._in_flight.sent

    @property
    def acked(self) -> int:
        """Return how many messages have arrived."""
        return self._in_flight.acked

    @property
    def refused(self) -> int:
        """Return how many messages the far end will never take; the outbox has set them aside."""
        return self._in_flight.refused

    @property
    def released(self) -> int:
        """Return how many messages were given back to the outbox, to be sent again."""
        return self._in_flight.released

    async def run(self) -> None:
        """Connect and deliver until `stop` is done; cancel it to stop at once. Errors outside the families pass through."""
        self._ended.clear()
        try:
            await self._wait(self._policy.first_delay_s)
            delays = self._delays()
            while not self._stopping.is_set():
                began = self._clock.monotonic()
                ending = await self._connect_once()
                moves_on = ending is not None and ending.by is EndedBy.MOVE
                if moves_on or self._in_flight.was_explained or self._clock.monotonic() - began > _STABLE_S:
                    delays = self._delays()
                await self._wait(next(delays))
        finally:
            self.state = PublisherState.IDLE
            self._ended.set()

    async def stop(self, deadline_s: float, reason: str) -> None:
        """Deliver while live messages wait, within `deadline_s`; then let the sink publish `reason`, and disconnect.

        Returns when `run` has ended, at most half a second and the sink's `close` after the deadline. Without a
        connection that is at once: the outbox keeps the messages.
        """
        self._deadline = self._clock.monotonic() + deadline_s
        self._stop_reason = reason
        self._stopping.set()
        await self._ended.wait()

    async def _wait(self, delay_s: float) -> None:
        self.state = PublisherState.WAITING
        await first(self._nap(delay_s), self._stop_requested())

    async def _connect_once(self) -> Ending | None:
        """Make one connection and use it until it ends.

        Returns how it ended, None where there was none or the publisher was stopped.
        """
        abort = True
        try:
            ending = await self._serve() if await self._is_opened() else None
            abort = False
        finally:  # cancelled, or a bug: the far end is to see the connection break
            await self._sink.close(abort=abort)
        return ending

    async def _is_opened(self) -> bool:
        self.state = PublisherState.CONNECTING
        try:
            if await first(self._open(), self._stop_requested()) is _Event.STOP:
                return False
        except NotConnected as error:
            if self._log_throttle.is_due(str(error), "failure"):
                self._log.warning("sink not connected", reason=str(error), **self._log_throttle.repeats)
            self._refusals.record(error, "broker")
            return False
        self._log_throttle.forget("failure")
        self._refusals.forget()
        self.state = PublisherState.CONNECTED
        self.connects += 1
        self.on_changed()
        self._log.info("sink connected", connects=self.connects)
        return True

    async def _serve(self) -> Ending | None:
        """From acceptance to loss or stop. Returns how it ended, None for a stop."""
        began = self._clock.monotonic()
        self._has_had_room = False
        serving = asyncio.create_task(self._sink.serve(self._on_live), name="sink")
        ending: Ending | None = None
        try:
            ending = await self._deliver(serving)
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            self._end_live(ending)
        up_s = round(self._clock.monotonic() - began, 1)
        if ending is None:
            self._log.info("sink disconnected", up_s=up_s, acked=self.acked)
        elif ending.by is EndedBy.MOVE:
            if self._log_throttle.is_due(ending.reason, "move"):
                self._log.warning("going on to the next address of the sink", reason=ending.reason)
        else:
            self._log.warning("sink connection lost", reason=ending.reason, up_s=up_s, released=self.released)
            self._hint(is_short=ending.by is EndedBy.FAR_END and up_s < _STABLE_S)
        return ending

    def _on_live(self) -> None:
        self.state = PublisherState.LIVE
        self._deliveries.set_live(True)

    async def _deliver(self, serving: "asyncio.Task[Ending]") -> Ending | None:
        ended = await first(self._end_of(serving), self._feed(), self._in_flight.retry(), self._stop_requested())
        if isinstance(ended, Ending):
            return ended
        left_s = self._deadline - self._clock.monotonic()
        if self.state is PublisherState.LIVE and self._has_had_room:  # else it still waits for what goes first
            self.state = PublisherState.DRAINING
            await first(self._drain(), self._end_of(serving), self._nap(left_s))
            left_s = self._deadline - self._clock.monotonic()
        serving.cancel()
        await self._sink.close(stop_reason=self._stop_reason, within_s=left_s)
        return None

    def _end_live(self, ending: Ending | None) -> None:
        if self.state in (PublisherState.LIVE, PublisherState.DRAINING):
            self._deliveries.set_live(False)
        self.state = PublisherState.WAITING
        self.on_changed()
        held, self._held = list(self._held), deque()
        self._in_flight.release_all(ending)
        self._in_flight.release(held)

    def _hint(self, *, is_short: bool) -> None:
        self._short_in_a_row = self._short_in_a_row + 1 if is_short else 0
        if self._short_in_a_row >= _MANY_SHORT and self._policy.hint and self._log_throttle.is_due("short", "hint"):
            self._log.warning("sink connections do not last", in_a_row=self._short_in_a_row, hint=self._policy.hint)

    async def _feed(self) -> NoReturn:
        while True:
            room = await self._in_flight.room()
            self._has_had_room = True
            self._held.extend(await self._deliveries.fetch(room))
            await self._send_held()

    async def _send_held(self) -> None:
        while self._held:
            await self._in_flight.room()  # a pause may have begun, or one message have filled the sink with its packets
            await self._in_flight.send(self._held.popleft())

    async def _drain(self) -> _Event:
        """Deliver until no live message waits: the outbox hands them out before any backlog."""
        await self._send_held()
        while True:
            self._held.extend(await self._fetch_briefly(await self._in_flight.room()))
            if not any(delivery.live for delivery in self._held):
                break
            await self._send_held()
        await self._in_flight.emptied()
        return _Event.DONE

    async def _fetch_briefly(self, limit: int) -> list[Delivery]:
        """Return what waits now, or nothing."""
        fetch = asyncio.ensure_future(self._deliveries.fetch(limit))
        nap = asyncio.ensure_future(self._clock.sleep(_IDLE_S))
        taken: list[Delivery] = []
        try:
            await asyncio.wait({fetch, nap}, return_when=asyncio.FIRST_COMPLETED)
            if fetch.done():
                taken = fetch.result()
        finally:
            fetch.cancel()
            nap.cancel()
            late, _ = await asyncio.gather(fetch, nap, return_exceptions=True)
            if not taken and isinstance(late, list):
                self._in_flight.release(late)
        return taken

    @staticmethod
    async def _end_of(serving: "asyncio.Task[Ending]") -> Ending:
        return await asyncio.shield(serving)

    async def _open(self) -> _Event:
        with spans.timed("connect", to="sink"):
            await self._sink.open()
        return _Event.DONE

    async def _nap(self, delay_s: float) -> _Event:
        await self._clock.sleep(delay_s)
        return _Event.DONE

    async def _stop_requested(self) -> _Event:
        await self._stopping.wait()
        return _Event.STOP
