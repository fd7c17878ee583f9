"""What is published on a connection beside the messages: the retained status, or what a layout's session announces."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final, NoReturn

import structlog

from gateway.core.clock import Clock
from gateway.core.errors import NotConnected, Permanent, Retryable
from gateway.core.ports.layout import Packet, Properties, SessionAnnouncements
from gateway.core.ports.sink import StatusFeed
from gateway.sinks.mqtt.packet_sender import PacketSender, PublishingClient

log = structlog.get_logger("publisher")

STATUS_TYPE: Final = "application/json"
"""Content type of the status and the last will, whatever format the messages have."""

_RETRY_S: Final = 5.0
_CAREFUL_AFTER: Final = 2
_QUIET_S: Final = 0.5
"""Between births and the first data: hosts need it to take the births in (the Eclipse TCK expects it)."""
_LEAST_SPAN_S: Final = 120.0

Answers = Sequence["asyncio.Future[None]"]


class BirthPublisher:
    """Publishes the status first on every connection and at each change, only the newest.

    With a session its births and changes.

    Of a session nothing else may be sent before its births have arrived (`ready`). When two connections in a row were ended
    by the broker meanwhile, births go one at a time. The one that was alone in flight `tries` times, over two minutes at
    least, while those before it arrived, is what the broker hangs up for: the session goes on without it. What is blamed
    goes last, so that it holds up nothing but the data. One birth at a time, and not halves of them (`core.bisect`): each
    trial costs a connection, and the births that arrive are needed anyway.
    """

    def __init__(
        self,
        sender: PacketSender,
        client: PublishingClient,
        status: StatusFeed,
        session: SessionAnnouncements | None,
        clock: Clock,
        tries: int,
    ) -> None:
        """Publish nothing yet. tries: connections that a birth may end before it is left out."""
        self._sender = sender
        self._client = client
        self._status = status
        self._session = session
        self._clock = clock
        self._tries = tries
        self._cut_short = 0
        self._alone = ""
        self._blamed: Counter[str] = Counter()
        self._since: dict[str, float] = {}
        self.ready = asyncio.Event()

    def start(self) -> Answers:
        """Send what goes first. Raises Permanent when this broker cannot take it."""
        if self._session is None:
            self.ready.set()
            return self._send_status(self._status.current())
        births = self._session.births(self._client.most_bytes)
        return [] if self._cut_short >= _CAREFUL_AFTER else self._sender.announce(births)

    async def run(self, answers: Answers) -> NoReturn:
        """Wait for the answers to what `start` sent, then publish every change; never returns.

        Raises Permanent as `start` does.
        """
        if self._session is not None and self._cut_short >= _CAREFUL_AFTER:
            answers = await self._one_by_one(self._session)
        while True:
            await _all_answered(answers)
            refused = [isinstance(answer.exception(), Retryable | Permanent) for answer in answers]
            if not (refused and refused[0]):  # the first is that without which the others are nothing
                self._cut_short = 0
                if not self.ready.is_set():
                    await self._clock.sleep(_QUIET_S)
                    self.ready.set()
            if any(refused):  # an access list can be mended
                await self._clock.sleep(_RETRY_S)
            else:
                await self._status.changed()
            answers = self.publish_changes()

    def publish_changes(self) -> Answers:
        """Send the status as it is now; of a session what has changed."""
        if self._session is None:
            return self._send_status(self._status.current())
        return self._sender.announce(self._session.changes(self._client.most_bytes))

    def publish_final(self, reason: str) -> Answers:
        """Send what goes last before a proper end: the final status, or the session's death."""
        if self._session is None:
            return self._send_status(self._status.offline(reason))
        return self._sender.announce(self._session.death())

    def disconnected(self, reason: str, *, by_broker: bool) -> None:
        """Record that the connection is over. by_broker: the broker, and not this side, has ended it."""
        if self._session is not None and by_broker and not self.ready.is_set():
            self._cut_short += 1
            if self._alone:
                self._blame(self._session, self._alone, reason)
        self.ready.clear()
        self._alone = ""

    async def _one_by_one(self, session: SessionAnnouncements) -> Answers:
        first, *others = session.births(self._client.most_bytes)
        answers: Answers = []
        for packet in (first, *sorted(others, key=lambda other: self._blamed[other.topic])):
            self._alone = packet.topic
            answers = [*answers, *self._sender.announce([packet])]
            await _all_answered(answers)
            self._blamed.pop(packet.topic, None)
            self._since.pop(packet.topic, None)
        self._alone = ""
        return answers

    def _blame(self, session: SessionAnnouncements, topic: str, broken: str) -> None:
        now = self._clock.monotonic()
        self._blamed[topic] += 1
        since = self._since.setdefault(topic, now)
        count = self._blamed[topic]
        if count >= self._tries and now - since >= _LEAST_SPAN_S:
            reason = f"sending it ended the connection {count} times in {now - since:.0f} s; at last: {broken}"
            if session.refused(topic, reason, until="restart"):
                log.error("set aside", topic=topic, reason=reason)

    def _send_status(self, status: tuple[str, bytes]) -> Answers:
        return self._sender.announce([Packet(*status, is_latest=True, properties=Properties(STATUS_TYPE))])


async def _all_answered(answers: Answers) -> None:
    """Return when all have been answered; with the connection gone never: whoever owns it ends this."""
    if answers:
        await asyncio.wait(answers)
    if any(isinstance(answer.exception(), NotConnected) for answer in answers):
        await asyncio.get_running_loop().create_future()
