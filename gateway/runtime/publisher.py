"""The one place that connects to the broker, again and again, and carries messages from the outbox to it."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator

import structlog

from gateway.core.backoff import full_jitter
from gateway.core.clock import Clock
from gateway.core.errors import NotConnected, Permanent
from gateway.core.log_throttle import LogThrottle
from gateway.core.ports.layout import Layout, Session
from gateway.core.ports.outbox import Deliveries, Delivery
from gateway.core.ports.sink import Sink, Subscriber
from gateway.runtime.birth_publisher import Announcer, Status, Told
from gateway.runtime.host_session import BARRED, ELSEWHERE, Conversation
from gateway.runtime.in_flight import Flights
from gateway.runtime.poison_messages import Suspects
from gateway.runtime.wait_first import first

log = structlog.get_logger("publisher")

_STABLE_S = 30.0
_MANY_SHORT = 3
_IDLE_S = 0.2
_FAREWELL_S = 0.5
_STOP = "stopped"
_DONE = "done"


class Publisher:
    """Keeps the sink connected, full jitter between attempts, and up to `in_flight` packets on their way.

    A delivery is acknowledged on its PUBACK and on nothing else. While connected, `set_live(True)` holds: it is called
    between the acceptance and the birth, and `set_live(False)` after a loss, before what was in flight goes back to the
    outbox; so nothing that has missed its connection is ever sent as live. The status goes out first on every
    connection and at each change, only the newest, beside the outbox.
    """

    def __init__(
        self,
        sink: Sink,
        deliveries: Deliveries,
        clock: Clock,
        *,
        in_flight: int,
        ack_timeout_s: float,
        layout: Layout,
        status: Status,
        set_live: Callable[[bool], None],
        delays: Callable[[], Iterator[float]] = full_jitter,
        tries: int = 5,
        status_type: str = "",
        first_delay_s: float = 0.0,
        session: Session | None = None,
        subscriber: Subscriber | None = None,
    ) -> None:
        """ack_timeout_s: with messages in flight and no PUBACK at all for so long, the connection counts as lost.
        tries: how often a message may fail while others pass, before it is set aside (`Suspects`). status_type: content type
        of the status. first_delay_s: wait before the first attempt, so that gateways which start together do not come
        together. session: the layout's own part in each connection, which then takes the place of the status; it needs the
        sink as a subscriber."""
        self._sink = sink
        self._deliveries = deliveries
        self._clock = clock
        self._ack_timeout_s = ack_timeout_s
        self._set_live = set_live
        self._delays = delays
        self._first_delay_s = first_delay_s
        self._conversation = Conversation(subscriber, session, clock) if session and subscriber else None
        self._flights = Flights(sink, deliveries, layout, clock, in_flight, delays, Suspects(tries), session)
        self._announcer = Announcer(self._flights, sink, status, status_type, session, clock, tries)
        self._held: deque[Delivery] = deque()
        self._failure_told, self._hint_told, self._walk_told = LogThrottle(clock), LogThrottle(clock), LogThrottle(clock)
        self._short = 0
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()
        self._deadline = 0.0
        self._broken = ""
        self._final: tuple[str, bytes] | None = None
        self.connects = 0
        """Connections accepted."""
        self.connected_since_ns: int | None = None
        """Wall time of the acceptance, UTC; None while not connected."""

    @property
    def sent(self) -> int:
        """Messages handed to the sink, repetitions included, status left out."""
        return self._flights.sent

    @property
    def acked(self) -> int:
        """Messages acknowledged."""
        return self._flights.acked

    @property
    def refused(self) -> int:
        """Messages the broker will never take; the outbox has set them aside."""
        return self._flights.refused

    @property
    def released(self) -> int:
        """Messages given back to the outbox, to be sent again."""
        return self._flights.released

    async def run(self) -> None:
        """Connect and deliver until `stop` is done; cancel it to stop at once. Errors outside the families pass through."""
        self._ended.clear()
        delays = self._delays()
        try:
            await first(self._nap(self._first_delay_s), self._asked_to_stop())
            while not self._stopping.is_set():
                began = self._clock.monotonic()
                goodbye = False
                try:
                    await self._connect_and_serve()
                    goodbye = True
                finally:  # cancelled, or a bug: the last will is the truth
                    await self._sink.close(goodbye=goodbye)
                steps_on = self._conversation is not None and self._conversation.steps_on()
                if steps_on or self._clock.monotonic() - began > _STABLE_S:
                    delays = self._delays()
                await first(self._nap(next(delays)), self._asked_to_stop())
        finally:
            self._ended.set()

    async def stop(self, deadline_s: float, final_status: tuple[str, bytes]) -> None:
        """Deliver while live messages wait, within `deadline_s`; then publish `final_status` retained, disconnect.

        Returns when `run` has ended, at most half a second and the sink's `close` after the deadline. Without a
        connection that is at once: the outbox keeps the messages, and the last will has said offline.
        """
        self._deadline = self._clock.monotonic() + deadline_s
        self._final = final_status
        self._stopping.set()
        await self._ended.wait()

    async def _connect_and_serve(self) -> None:
        try:
            if await first(self._open(), self._asked_to_stop()) == _STOP:
                return
        except NotConnected as error:
            if self._failure_told.is_due(str(error)):
                log.warning("broker not connected", reason=str(error))
            return
        self._failure_told.forget()
        self.connects += 1
        self.connected_since_ns = self._clock.now_ns()
        began = self._clock.monotonic()
        log.info("broker connected", connects=self.connects)
        reason = await self._admission() or await self._session()
        up_s = round(self._clock.monotonic() - began, 1)
        if reason == _STOP:
            log.info("broker disconnected", up_s=up_s, acked=self.acked)
        elif reason == ELSEWHERE:
            if self._walk_told.is_due(reason):
                log.warning("going on to the next broker", reason=reason)
        else:
            log.warning("broker connection lost", reason=reason, up_s=up_s, released=self.released)
            self._hint(short=bool(self._broken) and up_s < _STABLE_S)

    def _hint(self, *, short: bool) -> None:
        self._short = self._short + 1 if short else 0
        if self._short >= _MANY_SHORT and self._hint_told.is_due("short"):
            log.warning(
                "broker connections do not last",
                in_a_row=self._short,
                hint="does another gateway with this name, or another client with this client id, use the broker? "
                "Or is it out of memory, or allowed less? Its log says why",
            )

    async def _admission(self) -> str:
        """Where the layout has a session of its own: wait until it may send. Returns why it never will, or nothing."""
        if self._conversation is None:
            return ""
        return await first(self._sink.lost(), self._conversation.begin(), self._asked_to_stop())

    async def _session(self) -> str:
        """From acceptance to loss or stop; returns why it ended."""
        self._broken = ""
        self._set_live(True)
        try:
            told = self._announcer.begin()
            reason = await first(
                self._broken_off(),
                self._silence(),
                self._feed(),
                self._flights.retry(),
                self._announcer.run(told),
                self._asked_to_stop(),
                *([self._conversation.listen(), self._conversation.barred()] if self._conversation else []),
            )
            if reason == _STOP:
                await self._farewell()
            elif reason == BARRED and self._conversation is not None:
                await self._last_words(self._announcer.news(), _FAREWELL_S)
                self._conversation.move_on()
            return reason
        except Permanent as error:  # of the session as a whole: nothing can be said to this broker
            return str(error)
        finally:
            self._announcer.ended(self._broken)
            self._set_live(False)
            self.connected_since_ns = None
            held, self._held = list(self._held), deque()
            self._flights.take_back(self._broken)
            self._flights.release(held)

    async def _broken_off(self) -> str:
        self._broken = await self._sink.lost()
        return self._broken

    async def _feed(self) -> str:
        await self._announcer.ready.wait()
        while True:
            self._held.extend(await self._deliveries.take(await self._flights.room()))
            await self._send_held()

    async def _send_held(self) -> None:
        while self._held:
            await self._flights.pause_over()  # one may have begun while the outbox had nothing, or there was no room
            await self._flights.send(self._held.popleft())

    async def _farewell(self) -> None:
        left_s = self._deadline - self._clock.monotonic()
        if self._announcer.ready.is_set():
            await first(self._drain(), self._sink.lost(), self._silence(), self._nap(left_s))
        if self._final is not None:
            left_s = self._deadline - self._clock.monotonic()
            await self._last_words(self._announcer.farewell(self._final), max(left_s, _FAREWELL_S))

    async def _last_words(self, told: Told, most_s: float) -> None:
        if told:
            await first(self._landed(told), self._sink.lost(), self._nap(most_s))

    async def _drain(self) -> str:
        """Deliver until no live message waits: the outbox hands them out before any backlog."""
        await self._send_held()
        while True:
            self._held.extend(await self._take_briefly(await self._flights.room()))
            if not any(delivery.live for delivery in self._held):
                break
            await self._send_held()
        await self._flights.emptied()
        return _DONE

    async def _take_briefly(self, limit: int) -> list[Delivery]:
        """What waits now, or nothing."""
        take = asyncio.ensure_future(self._deliveries.take(limit))
        nap = asyncio.ensure_future(self._clock.sleep(_IDLE_S))
        taken: list[Delivery] = []
        try:
            await asyncio.wait({take, nap}, return_when=asyncio.FIRST_COMPLETED)
            if take.done():
                taken = take.result()
        finally:
            take.cancel()
            nap.cancel()
            late, _ = await asyncio.gather(take, nap, return_exceptions=True)
            if not taken and isinstance(late, list):
                self._flights.release(late)
        return taken

    @staticmethod
    async def _landed(told: Told) -> str:
        await asyncio.wait(told)
        return _DONE

    async def _silence(self) -> str:
        return await self._flights.overdue(self._ack_timeout_s)

    async def _open(self) -> str:
        await self._sink.open()
        return _DONE

    async def _nap(self, delay_s: float) -> str:
        await self._clock.sleep(delay_s)
        return _DONE

    async def _asked_to_stop(self) -> str:
        await self._stopping.wait()
        return _STOP
