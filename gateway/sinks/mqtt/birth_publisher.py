"""What is published on a connection beside the messages: the retained status, or what a layout's session announces."""

import asyncio
from collections.abc import Sequence
from typing import Final, NoReturn

import structlog

from gateway.core.clock import Clock
from gateway.core.errors import NotConnected, Permanent, Retryable
from gateway.core.ports.layout import Packet, Properties, SessionAnnouncements
from gateway.core.ports.sink import StatusFeed
from gateway.core.wait_first import first
from gateway.sinks.mqtt.birth_trials import BirthTrials
from gateway.sinks.mqtt.packet_sender import PacketSender, PublishingClient

log = structlog.get_logger("publisher")

STATUS_TYPE: Final = "application/json"
"""Content type of the status and the last will, whatever format the messages have."""

_RETRY_S: Final = 5.0
_CAREFUL_AFTER: Final = 2
_QUIET_S: Final = 0.5
"""Between births and the first data: hosts need it to take the births in (the Eclipse TCK expects it)."""

_STATUS_HINT: Final = "does the broker forbid its topic, or retained messages (mqtt.retain: false)?"

Answers = Sequence["asyncio.Future[None]"]


class BirthPublisher:
    """Publishes the status first on every connection and at each change, only the newest.

    With a session its births and changes.

    Of a session nothing else may be sent before its births have arrived (`ready`). When two connections in a row were ended
    by the broker meanwhile, births go one at a time. The one that was alone in flight is blamed, and from then on it is
    tried last (`BirthTrials`), when everything else flows: alone again, after 5 seconds and up to 5 minutes. The one that
    was alone `tries` times, over two minutes at least, while those before it arrived, is what the broker hangs up for: the
    session goes on without it. One birth at a time, and not halves of them (`core.bisect`): each trial costs a connection,
    and the births that arrive are needed anyway. A status with which two connections in a row ended goes last as well.
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
        self._trials = BirthTrials(tries)
        self._cut_short = 0
        self._alone = ""
        self._answers: Answers = []
        self.ready = asyncio.Event()

    @property
    def _is_careful(self) -> bool:
        return self._cut_short >= _CAREFUL_AFTER

    def start(self) -> Answers:
        """Send what goes first. Raises Permanent when this broker cannot take it."""
        if self._session is None:
            self.ready.set()
            self._answers = [] if self._is_careful else self._send_status(self._status.current())
            return self._answers
        births = self._session.births(self._client.most_bytes)
        return [] if self._is_careful or self._trials.blamed else self._sender.announce(births)

    async def run(self, answers: Answers) -> NoReturn:
        """Wait for the answers to what `start` sent, then publish every change; never returns.

        Raises Permanent as `start` does.
        """
        if self._session is not None and (self._is_careful or self._trials.blamed):
            answers = await self._one_by_one(self._session)
        elif self._session is None and self._is_careful:
            await self._clock.sleep(self._trials.status_delay.next_s())
            answers = self.publish_changes()
        while True:
            await _all_answered(answers)
            refused = [isinstance(answer.exception(), Retryable | Permanent) for answer in answers]
            if not (refused and refused[0]):  # the first is that without which the others are nothing
                self._cut_short = 0
                if self._session is None:
                    self._trials.status_delay.reset()
                elif not self.ready.is_set():
                    await self._clock.sleep(_QUIET_S)
                    self.ready.set()
            if any(refused):  # an access list can be mended
                await self._clock.sleep(_RETRY_S)
            else:
                await self._changed_or_tried()
            answers = self.publish_changes()

    def publish_changes(self) -> Answers:
        """Send the status as it is now; of a session what has changed."""
        if self._session is None:
            self._answers = self._send_status(self._status.current())
            return self._answers
        return self._sender.announce(self._session.changes(self._client.most_bytes))

    def publish_final(self, reason: str) -> Answers:
        """Send what goes last before a proper end: the final status, or the session's death."""
        if self._session is None:
            return self._send_status(self._status.offline(reason))
        return self._sender.announce(self._session.death())

    def disconnected(self, reason: str, *, by_broker: bool) -> None:
        """Record that the connection is over. by_broker: the broker, and not this side, has ended it."""
        if by_broker and self._session is None:
            self._cut_short += any(not one.done() or isinstance(one.exception(), NotConnected) for one in self._answers)
            if self._cut_short == _CAREFUL_AFTER:
                log.warning("connections end with the status: it goes last", reason=reason, hint=_STATUS_HINT)
        elif by_broker and self._session is not None and (self._alone or not self.ready.is_set()):
            self._cut_short += not self._trials.blamed
            if self._alone:
                self._blame(self._session, self._alone, reason)
        self.ready.clear()
        self._alone = ""
        self._answers = []

    async def _one_by_one(self, session: SessionAnnouncements) -> Answers:
        """Send the births one at a time; those that are blamed wait for their trial."""
        answers: Answers = []
        for packet in session.births(self._client.most_bytes):
            if answers and packet.topic in self._trials.blamed:
                session.refused(packet.topic, "connections end with it", until="trial")
                continue
            self._alone = packet.topic
            answers = [*answers, *self._sender.announce([packet])]
            await _all_answered(answers)
            self._trials.passed(packet.topic)
        self._alone = ""
        return answers

    async def _changed(self) -> None:
        await self._status.changed()

    async def _changed_or_tried(self) -> None:
        """Wait for a change; meanwhile try the births that are blamed, each alone and in its time."""
        if self._session is None or not self._trials.blamed:
            await self._status.changed()
            return
        now = self._clock.monotonic()
        topic, due = self._trials.next_trial()
        if due > now:
            await first(self._changed(), self._clock.sleep(due - now))
            return
        self.ready.clear()  # nothing else is to be in flight with it
        await self._sender.idle()
        self._session.refused(topic, "", until="later")
        self._alone = topic
        await _all_answered(self.publish_changes())
        self._alone = ""
        self._trials.passed(topic)
        self.ready.set()

    def _blame(self, session: SessionAnnouncements, topic: str, broken: str) -> None:
        reason = self._trials.broken(topic, self._clock.monotonic(), broken)
        if reason and session.refused(topic, reason, until="restart"):
            self._trials.passed(topic)
            log.error("set aside", topic=topic, reason=reason)

    def _send_status(self, status: tuple[str, bytes]) -> Answers:
        return self._sender.announce([Packet(*status, is_latest=True, properties=Properties(STATUS_TYPE))])


async def _all_answered(answers: Answers) -> None:
    """Return when all have been answered; with the connection gone never: whoever owns it ends this."""
    if answers:
        await asyncio.wait(answers)
    if any(isinstance(answer.exception(), NotConnected) for answer in answers):
        await asyncio.get_running_loop().create_future()
