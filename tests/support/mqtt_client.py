"""A fake of the MQTT client: a broker in memory that acknowledges, refuses and vanishes at a call of the test."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from gateway.core.errors import GatewayError, NotConnected, Permanent
from gateway.core.ports.layout import Properties
from gateway.sinks.access.certificates import Certificate
from gateway.sinks.mqtt.types import QoS

NO_PROPERTIES = Properties()


@dataclass(slots=True, eq=False)
class Published:
    """One publish call. future: what the publisher waits for."""

    topic: str
    payload: bytes
    retain: bool
    properties: Properties
    future: asyncio.Future[None]
    qos: QoS = 1
    expiry_s: int = 0


@dataclass(frozen=True, slots=True)
class Received:
    """A message of a subscription."""

    topic: str
    payload: bytes


class FakeMqttClient:
    """Keeps the contract of `sinks.mqtt.sink.Client`. Every attribute may be set at any time."""

    certificates: tuple[Certificate, ...] = ()

    def __init__(self) -> None:
        self.auto_ack = True
        self.refuse_open = ""
        """Reason why the next opens fail; empty accepts them."""
        self.never_open = False
        """Open hangs until cancelled."""
        self.answers: list[GatewayError] = []
        """Errors for the next publishes, one each."""
        self.rule: Callable[[Published], GatewayError | str | None] = lambda _: None
        """What a publish is answered with, if not None: an error, or the reason for which the broker hangs up."""
        self.most_bytes = 2**28
        self.retains = True
        self.published: list[Published] = []
        self.opens = 0
        self.closes = 0
        self.wills = 0
        """Connections that ended without `close`."""
        self._gone: asyncio.Future[str] | None = None
        self.subscribed: list[str] = []
        self.refuse_subscriptions = False
        self.refused_filters: set[str] = set()
        self.deadly_filters: set[str] = set()
        """Subscriptions for which the broker hangs up."""
        self._received: list[Received] = []
        self._news = asyncio.Event()
        self.broker_count = 1
        self.moves = 0

    @property
    def is_open(self) -> bool:
        """Whether a connection stands."""
        return self._gone is not None and not self._gone.done()

    @property
    def waiting(self) -> list[Published]:
        """What has no answer yet, oldest first."""
        return [published for published in self.published if not published.future.done()]

    async def open(self) -> None:
        if self.never_open:
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(0)
        if self.refuse_open:
            raise NotConnected(self.refuse_open)
        self.opens += 1
        self._gone = asyncio.get_running_loop().create_future()

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        properties: Properties = NO_PROPERTIES,
        expiry_s: int = 0,
        qos: QoS = 1,
    ) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        published = Published(topic, payload, retain, properties, future, qos, expiry_s)
        if not self.is_open:
            self._fail(published, NotConnected("not open"))
        elif "#" in topic or "+" in topic:
            self._fail(published, Permanent("wildcard in topic"))
        else:
            self.published.append(published)
            rule = self.rule(published)
            if isinstance(rule, str):
                asyncio.get_running_loop().call_soon(self.lose, rule)
            elif rule is not None:
                self._fail(published, rule)
            elif self.answers:
                self._fail(published, self.answers.pop(0))
            elif self.auto_ack:
                future.set_result(None)
            if topic in self.subscribed:
                self.say(topic, payload)
        return future

    async def subscribe(self, topic_filter: str) -> None:
        if topic_filter in self.deadly_filters:
            self.lose("for a subscription")
            raise NotConnected("for a subscription")
        if self.refuse_subscriptions or topic_filter in self.refused_filters:
            raise Permanent("the broker refuses the subscription")
        self.subscribed.append(topic_filter)

    async def receive(self) -> Received:
        while not self._received:
            self._news.clear()
            if not self.is_open:
                raise NotConnected("gone")
            await self._news.wait()
        return self._received.pop(0)

    def say(self, topic: str, payload: bytes) -> None:
        """Something comes from the broker."""
        self._received.append(Received(topic, payload))
        self._news.set()

    def move_on(self) -> None:
        self.moves += 1

    async def lost(self) -> str:
        return "not opened" if self._gone is None else await asyncio.shield(self._gone)

    async def close(self, *, abort: bool = False) -> None:
        self.closes += 1
        self._end("closed")

    def ack(self, count: int = 1) -> None:
        """Acknowledge the oldest messages without an answer."""
        for published in self.waiting[:count]:
            published.future.set_result(None)

    def lose(self, reason: str) -> None:
        """The connection goes; the broker sends the last will."""
        self.wills += self.is_open
        self._end(reason)

    def _end(self, reason: str) -> None:
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(reason)
            self._news.set()
            for published in self.waiting:
                self._fail(published, NotConnected(reason))

    @staticmethod
    def _fail(published: Published, error: GatewayError) -> None:
        published.future.set_exception(error)
        published.future.exception()
