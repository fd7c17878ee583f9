"""After each connect: what the broker has retained is brought up to date, a few packets at a time beside the messages."""

import asyncio
from collections.abc import Iterator
from itertools import islice
from typing import Final, NoReturn

import structlog

from gateway.core.clock import Clock
from gateway.core.ports.layout import LatestStates, Layout, Packet, StandingPackets
from gateway.core.retry_timer import DoublingDelay
from gateway.sinks.mqtt.packet_sender import PacketSender

log = structlog.get_logger("publisher")

_SHARE: Final = 4
_MOST_BROKEN: Final = 2
_FIRST_REST_S, _LONGEST_REST_S = 60.0, 3600.0


class RetainedRefresh:
    """Publishes the newest states that a layout knows, retained, with a quarter of the packets that may be in flight.

    During an outage they were stored, and will come as backlog, which is not retained: until a topic's next value the broker
    would keep an old one. When two connections in a row were ended by the broker meanwhile, it may hang up for one of these
    topics: then there is none for a minute, and up to an hour.
    """

    def __init__(self, sender: PacketSender, layout: Layout, clock: Clock, in_flight: int) -> None:
        """Publish nothing yet. in_flight: packets that may be on their way."""
        self._sender = sender
        self._layout = layout if isinstance(layout, LatestStates) else None
        self._standing = layout if isinstance(layout, StandingPackets) else None
        self._clock = clock
        self._at_once = max(1, in_flight // _SHARE)
        self._states: Iterator[Packet] = iter(())
        self._rests = self._is_under_way = False
        self._broken = 0
        self._rest = DoublingDelay(_FIRST_REST_S, _LONGEST_REST_S)
        self._rests_until = 0.0

    def start(self) -> None:
        """Begin a connection, before anything is sent live on it."""
        self._rests = self._clock.monotonic() < self._rests_until
        states = self._layout.latest_states() if self._layout is not None else iter(())
        self._states = iter(()) if self._rests else states

    async def run(self) -> NoReturn:
        """Publish all of it, and then what stands and changes; never returns."""
        while True:
            await self._publish(self._states)
            if self._standing is None or self._rests or not self._sender.retains:
                await asyncio.get_running_loop().create_future()
            else:
                self._states = await self._standing.standing()

    async def _publish(self, states: Iterator[Packet]) -> None:
        while packets := list(islice(states, self._at_once)):
            self._is_under_way = True
            answers = self._sender.announce(packets)
            await asyncio.wait(answers)
            for packet, answer in zip(packets, answers, strict=True):
                if self._standing is not None and not answer.cancelled() and answer.exception() is None:
                    self._standing.arrived(packet)
        if self._is_under_way:
            self._is_under_way, self._broken = False, 0
            self._rest.reset()

    def disconnected(self, *, by_broker: bool) -> None:
        """Record that the connection is over. by_broker: the broker has ended it."""
        self._broken += self._is_under_way and by_broker
        self._is_under_way = False
        if self._broken >= _MOST_BROKEN:
            self._broken = 0
            self._rests_until = self._clock.monotonic() + self._rest.next_s()
            log.warning("what the broker has retained is not brought up to date: connections end meanwhile")
