"""A layout's own part in a connection (Sparkplug): it listens, waits until it may speak, and speaks first and last."""

import asyncio
from typing import Final

import structlog

from gateway.core.clock import Clock
from gateway.core.errors import NotConnected, Permanent
from gateway.core.ports.layout import Session
from gateway.core.ports.sink import Subscriber

log = structlog.get_logger("publisher")

MAY_SEND: Final = ""
BARRED: Final = "the primary host is offline"
ELSEWHERE: Final = "the primary host is not online at this broker"
_PATIENCE_S: Final = 2.0
_LONGEST_PATIENCE_S: Final = 30.0


class Conversation:
    """Drives a `core.ports.Session` over a sink. One per publisher, used again for each connection.

    What is sent is `births`, `news` and `death` of the session; sending them is the publisher's own work. With several
    brokers it walks from one to the next until the session may send (Sparkplug 3.0.0, 5.10): two seconds at each, and twice
    as long, up to half a minute, after each round in vain. With one broker it waits there.
    """

    def __init__(self, subscriber: Subscriber, session: Session, clock: Clock) -> None:
        self._subscriber = subscriber
        self._clock = clock
        self._steps = 0
        self._patience_s = _PATIENCE_S
        self.session = session
        self._moving = False

    async def begin(self) -> str:
        """Subscribe, then wait until messages may be sent. Returns `MAY_SEND`, or why this connection is of no use."""
        try:
            for topic_filter in self.session.subscriptions:
                await self._subscriber.subscribe(topic_filter)
        except (Permanent, NotConnected) as error:
            return str(error)
        listening, waiting = asyncio.ensure_future(self.listen()), asyncio.ensure_future(self.session.may_send(True))
        patience = asyncio.ensure_future(self._clock.sleep(self._patience_s))
        tasks = {listening, waiting, patience}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not listening.done() and not waiting.done():
                if self._subscriber.places > 1:
                    self.move_on()
                    return ELSEWHERE
                log.warning("nothing is sent before the primary host is online", topics=list(self.session.subscriptions))
                await asyncio.wait({listening, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if not waiting.done() or waiting.cancelled():
            return listening.result()
        self._steps, self._patience_s = 0, _PATIENCE_S
        return MAY_SEND

    def move_on(self) -> None:
        """The next connection goes to another broker, where there is one."""
        if self._subscriber.places > 1:
            self._subscriber.move_on()
            self._moving = True
            self._steps += 1
            if self._steps % self._subscriber.places == 0:
                self._patience_s = min(2 * self._patience_s, _LONGEST_PATIENCE_S)

    def steps_on(self) -> bool:
        """Whether the connection that has ended was left for another broker: no need to back off before the next attempt."""
        stepping, self._moving = self._moving, False
        return stepping

    async def listen(self) -> str:
        """Hand on what comes; returns why no more will come."""
        while True:
            try:
                heard = await self._subscriber.receive()
            except NotConnected as error:
                return str(error)
            self.session.heard(heard.topic, heard.payload)

    async def barred(self) -> str:
        """Return once messages may no longer be sent."""
        await self.session.may_send(False)
        return BARRED
