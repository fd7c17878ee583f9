"""Publish requests in flight: order, acknowledgements and what is asked for again (Part 4, 5.13.5 and 5.13.6)."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from gateway.core.clock import Clock
from gateway.sources.opcua.client.sequence_numbers import SequenceNumbers
from gateway.sources.opcua.codec.columns import ValueColumns
from gateway.sources.opcua.codec.errors import WireError
from gateway.sources.opcua.port.errors import Poisoned, ServiceFault
from gateway.sources.opcua.port.events import EventFields
from gateway.sources.opcua.port.traffic import Traffic
from gateway.sources.opcua.status.explanation import explained

log = structlog.get_logger("opcua")

IN_FLIGHT: Final = 3
_GROW_AFTER: Final = 100
"""Answers in a row after which one more request is tried where the server once wanted fewer."""
_BAD_TIMEOUT: Final = 0x800A0000
_TOO_MANY_PUBLISH_REQUESTS: Final = 0x80780000
_SERVICE_UNSUPPORTED: Final = 0x800B0000


@dataclass(slots=True)
class Notification:
    """One NotificationMessage (Part 4, 7.21). status: a StatusChangeNotification's code, None without one.

    server_clock_ns: the server's wall time when it answered. published_ns: when it made the message. available: numbers
    that it holds for Republish. received_ns, lost, again: set by `PublishLoop`, our wall time at receipt, notifications that
    are missing before this one for good (is_counted: these are known), and whether it had to be asked for again.
    """

    subscription: int
    sequence: int
    is_keepalive: bool
    server_clock_ns: int
    published_ns: int = 0
    available: Sequence[int] = ()
    changes: list[ValueColumns] = field(default_factory=list)
    events: list[EventFields] = field(default_factory=list)
    status: int | None = None
    received_ns: int = 0
    lost: int = 0
    again: bool = False
    is_counted: bool = False


class PublishService(Protocol):
    """Two service calls. Both raise ServiceFault, NotConnected, and WireError for bytes that cannot be decoded."""

    async def publish_once(self, acks: Sequence[tuple[int, int]]) -> Notification:
        """One publish request, as long as it takes, acknowledging (subscription, sequence number)."""
        ...

    async def republish_once(self, subscription: int, sequence: int) -> Notification:
        """One notification once more."""
        ...


class PublishLoop:
    """Keeps publish requests in flight while it is asked for notifications, and hands these on in their order.

    What is missing and still held by the server is asked for again before anything later is handed on. Each notification
    is acknowledged once, with the next request; so is one that cannot be decoded, else the server would keep it for ever.
    """

    def __init__(self, service: PublishService, clock: Clock, name: str, traffic: Traffic) -> None:
        self._service = service
        self._clock = clock
        self._traffic = traffic
        self._name = name
        self._in_flight = IN_FLIGHT
        self._answered = 0
        self._requests: dict[asyncio.Task[None], int] = {}
        self._count = 0
        self._numbering: dict[int, SequenceNumbers] = defaultdict(SequenceNumbers)
        self._acks: list[tuple[int, int]] = []
        self._waiting: deque[Notification] = deque()
        self._ready: deque[Notification] = deque()
        self._failure: BaseException | None = None
        self._can_republish = True

    async def next(self) -> Notification:
        """The next notification, keep-alives too. Raises NotConnected once all that came before it is told. Cancellable."""
        while not self._ready:
            if self._waiting:
                await self._complete(self._waiting[0])
                self._ready.append(self._waiting.popleft())
            elif self._failure is not None:
                raise self._failure
            else:
                await self._wait()
        return self._ready.popleft()

    def resume(self) -> None:
        """The session lives on over another channel: what is numbered, acknowledged and waiting stays; after the failure."""
        self._failure = None

    async def close(self) -> None:
        """Forget the requests in flight."""
        requests, self._requests = self._requests, {}
        for task in requests:
            task.cancel()
        await asyncio.gather(*requests, return_exceptions=True)

    async def _wait(self) -> None:
        while len(self._requests) < self._in_flight:
            self._count += 1
            self._requests[asyncio.create_task(self._request(), name=f"opcua publish {self._name}")] = self._count
        done, _ = await asyncio.wait(self._requests, return_when=asyncio.FIRST_COMPLETED)
        newest = max(self._requests.pop(task) for task in done)
        errors = [error for task in done if (error := task.exception())]
        self._failure = errors[0] if errors else None
        # Servers answer the oldest request first (Part 4, 5.13.5): one that was passed by so many will not be answered.
        for task in [task for task, number in self._requests.items() if number <= newest - IN_FLIGHT]:
            del self._requests[task]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _request(self) -> None:
        acks, self._acks = self._acks, []
        sent_s = self._clock.monotonic()
        is_answered = False
        try:
            notification = await self._service.publish_once(acks)
            is_answered = True
        except ServiceFault as fault:
            if fault.status == _TOO_MANY_PUBLISH_REQUESTS and (self._in_flight > 1 or self._answered):
                self._in_flight, self._answered = max(1, self._in_flight - 1), 0
            elif fault.status != _BAD_TIMEOUT:
                raise Poisoned(f"the subscription is lost: {explained(fault.status)}", fault.status) from None
        except WireError as error:
            is_answered = True
            self._traffic.undecoded += 1
            # The next one shows the gap in the numbers.
            log.warning("%s: a notification cannot be decoded: %s", self._name, error)
        else:
            self._traffic.publish_ms = (self._clock.monotonic() - sent_s) * 1e3
            self._answered += 1
            if self._answered >= _GROW_AFTER and self._in_flight < IN_FLIGHT:
                self._in_flight, self._answered = self._in_flight + 1, 0
            self._receive(notification)
        finally:
            if not is_answered:  # cancelled, too: the next request acknowledges again
                self._acks += acks

    def _receive(self, told: Notification) -> None:
        told.received_ns = self._clock.now_ns()
        self._traffic.compare_clocks(told.server_clock_ns, told.received_ns)
        if not told.is_keepalive:
            self._traffic.delay_ms = (told.received_ns - told.published_ns) / 1e6 if told.published_ns else 0.0
            self._acks.append((told.subscription, told.sequence))
        self._waiting.append(told)

    async def _complete(self, told: Notification) -> None:
        """Ask again for what is missing before a notification; what cannot be had is counted with it.

        Each is ready as soon as it is had: the connection may end in between, and there are servers that say it only once.
        """
        numbering = self._numbering[told.subscription]
        held, missing = numbering.before(told.sequence, told.is_keepalive, told.available)
        if not told.is_counted:
            told.lost, told.is_counted = missing, True
        for number in held:
            again = await self._again(told.subscription, number)
            self._acks.append((told.subscription, number))
            numbering.last = number
            if again is not None:
                self._ready.append(again)
                told.lost -= 1
        if not told.is_keepalive:
            numbering.last = told.sequence

    async def _again(self, subscription: int, number: int) -> Notification | None:
        if not self._can_republish:
            return None
        try:
            again = await self._service.republish_once(subscription, number)
        except ServiceFault as fault:
            self._can_republish = fault.status != _SERVICE_UNSUPPORTED
            log.warning("%s: notification %d cannot be had again: %s", self._name, number, fault)
            return None
        except WireError as error:
            log.warning("%s: notification %d cannot be decoded: %s", self._name, number, error)
            return None
        if again.sequence != number:  # servers that answer with an empty message instead of BadMessageNotAvailable
            return None
        self._traffic.republished += 1
        again.subscription, again.received_ns, again.again = subscription, self._clock.now_ns(), True
        return again
