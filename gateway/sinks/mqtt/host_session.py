"""A layout's own part in a connection: subscribe, wait until messages may be sent, and move on where they may not."""

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from gateway.core.clock import Clock
from gateway.core.errors import NotConnected, Permanent
from gateway.core.log_throttle import LogThrottle
from gateway.core.ports.layout import SessionInput, Subscription
from gateway.core.ports.sink import EndedBy, Ending
from gateway.core.retry_timer import DoublingDelay
from gateway.sinks.mqtt.types import ReceivedMessage

log = structlog.get_logger("publisher")

_FIRST_STAY_S: Final = 2.0
_LONGEST_STAY_S: Final = 30.0
_MOST_BROKEN: Final = 2
_OFFLINE: Final = "the primary host is offline"
_ELSEWHERE: Final = "the primary host is not online at this broker"


class SubscribingClient(Protocol):
    """What listening needs of the MQTT client."""

    async def subscribe(self, topic_filter: str) -> None:
        """Receive what matches. Raises Permanent when the broker refuses, NotConnected."""
        ...

    async def receive(self) -> ReceivedMessage:
        """Return the next message. Raises NotConnected."""
        ...

    @property
    def broker_count(self) -> int:
        """Return how many brokers there are to go to."""
        ...

    def move_on(self) -> None:
        """Let the next `open` begin with the broker after this one, and stay there."""
        ...


class HostSession:
    """The receiving half of a session over one client, used again for each connection.

    With several brokers it walks from one to the next until the session may send (Sparkplug 3.0.0, 5.10): two seconds at
    each, and twice as long, up to half a minute, after each round without success. With one broker it waits there.
    """

    def __init__(
        self,
        client: SubscribingClient,
        session: SessionInput,
        clock: Clock,
        take: Callable[[ReceivedMessage], bool] | None = None,
    ) -> None:
        """take: has the first look at what comes, and returns whether it was meant."""
        self._take = take
        self._client = client
        self._session = session
        self._clock = clock
        self._steps = 0
        self._broken: Counter[str] = Counter()
        """Connections in a row that ended while an optional subscription had no answer, by topic filter."""
        self._log_throttle = LogThrottle(clock, math.inf)
        self._stay = DoublingDelay(_FIRST_STAY_S, _LONGEST_STAY_S)

    async def admission(self) -> Ending | None:
        """Subscribe, then wait until messages may be sent. Returns None, or why this connection is of no use."""
        try:
            for one in self._session.subscriptions:
                await self._subscribe(one)
        except Permanent as error:
            return Ending(str(error), EndedBy.SINK)
        except NotConnected as error:
            return Ending(str(error))
        listening, waiting = asyncio.ensure_future(self.listen()), asyncio.ensure_future(self._session.may_send(True))
        staying = asyncio.ensure_future(self._clock.sleep(self._stay.current_s))
        tasks = {listening, waiting, staying}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not listening.done() and not waiting.done():
                if self._client.broker_count > 1:
                    return self._move_on(_ELSEWHERE)
                log.warning(
                    "nothing is sent before the primary host is online",
                    topics=[one.topic_filter for one in self._session.subscriptions],
                )
                await asyncio.wait({listening, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if not waiting.done() or waiting.cancelled():
            return listening.result()
        self._steps = 0
        self._stay.reset()
        return None

    async def _subscribe(self, one: Subscription) -> None:
        """Subscribe. Raises NotConnected, and Permanent where the session cannot do without it.

        Some brokers hang up for what an access list forbids: what is optional and was the end of two connections is left
        out.
        """
        topic_filter = one.topic_filter
        if self._broken[topic_filter] >= _MOST_BROKEN:
            return
        try:
            await self._client.subscribe(topic_filter)
        except Permanent as error:
            if not one.is_optional:
                raise
            if self._log_throttle.is_due(str(error), topic_filter):
                log.info("subscription left out", topic=topic_filter, reason=str(error))
        except NotConnected as error:
            self._broken[topic_filter] += one.is_optional
            if self._broken[topic_filter] >= _MOST_BROKEN:
                log.warning("subscription left out: connections end with it", topic=topic_filter, reason=str(error))
            raise
        else:
            self._broken.pop(topic_filter, None)

    async def listen(self) -> Ending:
        """Hand on what comes; return why no more will come."""
        while True:
            try:
                message = await self._client.receive()
            except NotConnected as error:
                return Ending(str(error))
            if self._take is None or not self._take(message):
                self._session.received(message.topic, message.payload)
            await asyncio.sleep(0)  # thousands may be waiting, and `receive` does not wait for any of them

    async def until_host_offline(self) -> None:
        """Return once messages may no longer be sent."""
        await self._session.may_send(False)

    def leave(self) -> Ending:
        """Leave a broker at which messages may no longer be sent, for another one where there is one."""
        return self._move_on(_OFFLINE) if self._client.broker_count > 1 else Ending(_OFFLINE, EndedBy.SINK)

    def _move_on(self, reason: str) -> Ending:
        self._client.move_on()
        self._steps += 1
        if self._steps % self._client.broker_count == 0:
            self._stay.double()
        return Ending(reason, EndedBy.MOVE)
