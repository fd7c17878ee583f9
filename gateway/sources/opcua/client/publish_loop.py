"""Publish requests in flight: order, acknowledgements and Republish (Part 4, 5.13.5 and 5.13.6)."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
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
MOST_IN_FLIGHT: Final = 10
"""The same where several devices have subscriptions in one session."""
_GROW_AFTER: Final = 100
"""Answers in a row after which one more request is tried where the server once wanted fewer."""
_BAD_TIMEOUT: Final = 0x800A0000
_TOO_MANY_PUBLISH_REQUESTS: Final = 0x80780000
_SERVICE_UNSUPPORTED: Final = 0x800B0000


@dataclass(slots=True)
class Notification:
    """One NotificationMessage (Part 4, 7.21)."""

    subscription: int
    sequence: int
    """Sequence number."""
    is_keepalive: bool
    server_clock_ns: int
    """The server's wall time when it answered."""
    published_ns: int = 0
    """The server's wall time when it made the message."""
    available: Sequence[int] = ()
    """Sequence numbers that the server holds for Republish."""
    changes: list[ValueColumns] = field(default_factory=list)
    events: list[EventFields] = field(default_factory=list)
    status: int | None = None
    """Code of a StatusChangeNotification, None without one."""
    received_ns: int = 0
    """Our wall time when its bytes were received."""
    late_ns: int = 0
    """At most so long before that it came, where that is not known better."""
    lost: int = 0
    """Notifications missing before this one for good, once `is_counted`; this and the following are set by `PublishLoop`."""
    again: bool = False
    """It was sent again on request."""
    is_counted: bool = False


class PublishService(Protocol):
    """Publish and Republish. Both raise ServiceFault, NotConnected, and WireError for bytes that cannot be decoded."""

    async def publish_once(self, acks: Sequence[tuple[int, int]]) -> Notification:
        """Send one publish request and wait for its response, however long. acks: (subscription, sequence number)."""
        ...

    async def republish_once(self, subscription: int, sequence: int) -> Notification:
        """Request one notification once more."""
        ...


class PublishLoop:
    """Publish requests in flight, and the notifications they bring, in their order.

    What is missing and still held by the server is requested again before anything later is returned. Each notification is
    acknowledged once, with the next request; so is one that cannot be decoded, else the server would keep it for ever.
    """

    def __init__(self, service: PublishService, clock: Clock, name: str, traffic_of: Callable[[int], Traffic]) -> None:
        """Begin without a request. traffic_of: returns where a subscription is counted, 0 where an answer does not say."""
        self._service = service
        self._clock = clock
        self._traffic_of = traffic_of
        self.devices = 1
        """How many devices have subscriptions."""
        self._name = name
        self._fewer = 0
        """By how many requests less than wanted the server takes."""
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
        """Return the next notification, keep-alives too. Raises NotConnected once all before it were returned."""
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
        """Go on after a failure over another channel: sequence numbers, acknowledgements and waiting notifications stay."""
        self._failure = None

    def forget(self, subscription: int) -> None:
        """Forget the sequence numbers of a subscription that is deleted."""
        self._numbering.pop(subscription, None)

    @property
    def _in_flight(self) -> int:
        return max(1, min(MOST_IN_FLIGHT, IN_FLIGHT + max(0, self.devices - 1)) - self._fewer)

    async def close(self) -> None:
        """Cancel the requests in flight."""
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
        for task in [task for task, number in self._requests.items() if number <= newest - max(IN_FLIGHT, self._in_flight)]:
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
                self._fewer, self._answered = self._fewer + (self._in_flight > 1), 0
            elif fault.status != _BAD_TIMEOUT:
                raise Poisoned(f"the subscription is lost: {explained(fault.status)}", fault.status) from None
        except WireError as error:
            is_answered = True
            self._traffic_of(error.subscription).undecoded += 1
            # The next one shows the gap in the numbers.
            log.warning("%s: a notification cannot be decoded: %s", self._name, error)
        else:
            self._answered += 1
            if self._answered >= _GROW_AFTER and self._fewer:
                self._fewer, self._answered = self._fewer - 1, 0
            self._receive(notification, sent_s)
        finally:
            if not is_answered:  # cancelled, too: the next request acknowledges again
                self._acks += acks

    def _receive(self, notification: Notification, sent_s: float) -> None:
        traffic = self._traffic_of(notification.subscription)
        traffic.publish_ms = (self._clock.monotonic() - sent_s) * 1e3
        traffic.compare_clocks(notification.server_clock_ns, notification.received_ns)
        if not notification.is_keepalive:
            traffic.delay_ms = (
                (notification.received_ns - notification.published_ns) / 1e6 if notification.published_ns else 0.0
            )
            self._acks.append((notification.subscription, notification.sequence))
        self._waiting.append(notification)

    async def _complete(self, notification: Notification) -> None:
        """Request what is missing before a notification; count what the server does not have.

        Each is ready as soon as it arrives: the connection may end in between, and some servers send it only once.
        """
        numbers = self._numbering[notification.subscription]
        held, missing = numbers.missing_before(notification.sequence, notification.is_keepalive, notification.available)
        if not notification.is_counted:
            notification.lost, notification.is_counted = missing, True
        for number in held:
            again = await self._again(notification.subscription, number)
            self._acks.append((notification.subscription, number))
            numbers.last = number
            if again is not None:
                self._ready.append(again)
                notification.lost -= 1
        if not notification.is_keepalive:
            numbers.last = notification.sequence

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
        self._traffic_of(subscription).republished += 1
        again.subscription, again.again = subscription, True
        return again
