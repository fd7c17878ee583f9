"""A layout's own part in a connection (Sparkplug): it listens, waits until it may speak, and speaks first and last."""

import asyncio
from typing import Final

import structlog

from gateway.core.errors import NotConnected, Permanent
from gateway.core.ports import Session, Subscriber

log = structlog.get_logger("publisher")

MAY_SEND: Final = ""
BARRED: Final = "the primary host is offline"
_PATIENCE_S: Final = 2.0


class Conversation:
    """Drives a `core.ports.Session` over a sink. One per publisher, used again for each connection.

    What is sent is `births`, `news` and `death` of the session; sending them is the publisher's own work.
    """

    def __init__(self, subscriber: Subscriber, session: Session) -> None:
        self._subscriber = subscriber
        self.session = session

    async def begin(self) -> str:
        """Subscribe, then wait until messages may be sent. Returns `MAY_SEND`, or why this connection is of no use."""
        try:
            for topic_filter in self.session.subscriptions:
                await self._subscriber.subscribe(topic_filter)
        except (Permanent, NotConnected) as error:
            return str(error)
        listening, waiting = asyncio.ensure_future(self.listen()), asyncio.ensure_future(self.session.may_send(True))
        try:
            done, _ = await asyncio.wait({listening, waiting}, timeout=_PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                log.warning("nothing is sent before the primary host is online", topics=list(self.session.subscriptions))
                await asyncio.wait({listening, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (listening, waiting):
                task.cancel()
            await asyncio.gather(listening, waiting, return_exceptions=True)
        return MAY_SEND if waiting.done() and not waiting.cancelled() else listening.result()

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
