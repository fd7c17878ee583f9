"""The sink `mqtt`: messages as packets, the gateway's status or a layout's births beside them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.core.clock import Clock
from gateway.core.errors import NotConnected, Permanent
from gateway.core.ports.layout import Layout, Session
from gateway.core.ports.outbox import Delivery
from gateway.core.ports.sink import EndedBy, Ending, StatusFeed
from gateway.core.wait_first import first
from gateway.sinks.access.certificates import Certificate
from gateway.sinks.mqtt.birth_publisher import Answers, BirthPublisher
from gateway.sinks.mqtt.host_session import HostSession, SubscribingClient
from gateway.sinks.mqtt.message_expiry import NO_EXPIRY, MessageExpiry
from gateway.sinks.mqtt.packet_sender import PacketSender, PublishingClient
from gateway.sinks.mqtt.request_desk import RequestDesk
from gateway.sinks.mqtt.retained_refresh import RetainedRefresh
from gateway.sinks.mqtt.types import end

_FINAL_S: Final = 0.5


class Client(PublishingClient, SubscribingClient, Protocol):
    """What the sink needs of the MQTT client (`client.MqttClient`)."""

    async def open(self) -> None:
        """Connect and be accepted. Raises NotConnected."""
        ...

    async def lost(self) -> str:
        """Return the reason once the connection is gone."""
        ...

    async def close(self, *, abort: bool = False) -> None:
        """Disconnect; with `abort` the broker sends the last will. Never raises."""
        ...

    @property
    def certificates(self) -> Sequence[Certificate]:
        """Return those in use."""
        ...


@dataclass(frozen=True, slots=True)
class SendLimits:
    """How the sink sends."""

    in_flight: int
    """Packets on their way without acknowledgement."""
    ack_timeout_s: float
    """With packets in flight and no PUBACK at all for so long, the connection counts as lost."""
    tries: int = 5
    """Connections that a birth may end before it is left out."""
    expiry: MessageExpiry = NO_EXPIRY


class MqttSink:
    """A `core.ports.sink.Sink` over an MQTT client.

    The status goes out first on every connection and at each change, only the newest. Where the layout has a session of its
    own, that takes the place of the status: it listens, waits until it may send, and is born before any message.
    """

    def __init__(
        self,
        client: Client,
        layout: Layout,
        status: StatusFeed,
        clock: Clock,
        limits: SendLimits,
        desk: RequestDesk | None = None,
    ) -> None:
        """Connect nothing yet. desk: answers requests, None where they are off."""
        session = layout if isinstance(layout, Session) else None
        self._client = client
        self._clock = clock
        self._ack_timeout_s = limits.ack_timeout_s
        self._sender = PacketSender(client, layout, clock, limit=limits.in_flight, expiry=limits.expiry, session=session)
        self._births = BirthPublisher(self._sender, client, status, session, clock, limits.tries)
        self._host = HostSession(client, session, clock, desk.take if desk else None) if session else None
        self._desk = desk
        self._retained = RetainedRefresh(self._sender, layout, clock, limits.in_flight)
        self._is_open = self._is_live = False

    @property
    def certificates(self) -> Sequence[Certificate]:
        """Return the broker's certificate and the gateway's own. Reads a file; may be called on a thread."""
        return self._client.certificates

    @property
    def request_counters(self) -> Mapping[str, int]:
        """Return what was counted of requests since the start."""
        return self._desk.counters if self._desk else {}

    async def open(self) -> None:
        """Connect to the first broker that accepts. Raises NotConnected."""
        self._is_open = True
        await self._client.open()

    async def serve(self, on_live: Callable[[], None]) -> Ending:
        """Wait until messages may be sent, go live, publish what goes beside them; return how the connection ended."""
        ending = await first(self._lost(), self._host.admission()) if self._host else None
        if ending is None:
            on_live()
            self._is_live = True
            try:
                ending = await self._serve_live()
            except Permanent as error:  # of the session as a whole: nothing can be published at this broker
                ending = Ending(str(error), EndedBy.SINK)
            self._end(ending)
        return ending

    async def room(self) -> int:
        """Wait until births have arrived and a packet has room; return for about how many messages."""
        if not self._births.ready.is_set():
            await self._births.ready.wait()
        return await self._sender.room()

    def send(self, delivery: Delivery) -> "asyncio.Future[None]":
        """Send the packets of a message; it has arrived when the broker has acknowledged all of them."""
        if self._is_live:
            return self._sender.send(delivery)
        outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        end(outcome, NotConnected("not connected"))
        return outcome

    async def close(self, *, abort: bool = False, stop_reason: str = "", within_s: float = 0.0) -> None:
        """Publish the final status or the session's death, where there is a reason to stop; then DISCONNECT, or hang up."""
        if not self._is_open:
            return
        self._is_open = False
        is_cancelled = True
        try:
            if stop_reason and self._is_live:
                answers = self._births.publish_final(stop_reason)
                await self._answered(answers, max(within_s, _FINAL_S))
            is_cancelled = False
        finally:  # cancelled: nobody would close it later
            self._end(Ending("closed", EndedBy.SINK))
            await self._client.close(abort=abort or is_cancelled)

    async def _serve_live(self) -> Ending:
        self._retained.start()
        answers = self._births.start()
        beside = [self._host.listen(), self._until_host_offline()] if self._host else []
        beside += [self._desk.serve(listens=self._host is None)] if self._desk else []
        ending = await first(self._lost(), self._overdue(), self._births.run(answers), self._retained.run(), *beside)
        if ending is None and self._host is not None:
            self._is_live = False  # nothing may follow the death, so nothing is taken for it (`room`)
            self._births.ready.clear()
            await self._answered(self._births.publish_changes(), _FINAL_S)
            return self._host.leave()
        return ending or Ending("closed", EndedBy.SINK)

    async def _lost(self) -> Ending:
        reason = await self._client.lost()
        return Ending(reason, EndedBy.FAR_END, self._sender.has_announcements)

    async def _overdue(self) -> Ending:
        return Ending(await self._sender.overdue(self._ack_timeout_s), EndedBy.SINK)

    async def _until_host_offline(self) -> None:
        if self._host is not None:
            await self._host.until_host_offline()

    async def _answered(self, answers: Answers, within_s: float) -> None:
        """Wait until these packets have been answered, the connection has gone, or the time is over."""
        if answers:
            await first(_all_done(answers), self._client.lost(), self._clock.sleep(within_s))

    def _end(self, ending: Ending) -> None:
        self._is_live = False
        self._retained.disconnected(by_broker=ending.by is EndedBy.FAR_END)
        self._births.disconnected(ending.reason, by_broker=ending.by is EndedBy.FAR_END)
        self._sender.reset(ending.reason, by_broker=ending.by is EndedBy.FAR_END)


async def _all_done(answers: Answers) -> None:
    await asyncio.wait(answers)
