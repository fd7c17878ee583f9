"""A publisher whose layout has its own part in each connection: it listens, waits, is born and dies."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from random import Random

import pytest

from gateway.core.errors import Permanent, Retryable
from gateway.core.ports.layout import Packet, Subscription, Until
from tests.support.clock import ManualClock, settle
from tests.support.mqtt_client import FakeMqttClient
from tests.support.mqtt_publisher import mqtt_publisher
from tests.support.outbox_fake import FakeOutbox
from tests.unit.sinks.mqtt.test_publishing import FakeLayout, FakeStatus

QUIET_S = 0.5
"""Between births and the first data."""


@dataclass
class FakeSession(FakeLayout):
    """Tells what happens to it; may send once it has heard `go`, until it hears `stop`."""

    subscriptions = (Subscription("commands"), Subscription("state"), Subscription("wanted", is_optional=True))
    told: list[str] = field(default_factory=list)
    refusals: list[tuple[str, str]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    impossible: str = ""
    ready: bool = False
    number: int = 0
    _change: asyncio.Event = field(default_factory=asyncio.Event)

    def will(self) -> Packet:
        return Packet("death", b"will")

    @property
    def is_announced(self) -> bool:
        return self.number > 0

    def births(self, most_bytes: int) -> list[Packet]:
        if self.impossible:
            raise Permanent(self.impossible)
        self.number = 0
        if self.names:
            return [Packet(name, b"") for name in self.names if name not in dict(self.left_out)]
        return [Packet("birth", b"a"), Packet("birth", b"b")]

    def refused(self, topic: str, reason: str, *, until: Until) -> bool:
        self.refusals.append((topic, until))
        self.again += [topic] if until == "later" and topic in self.names else []
        self.left_out += [(topic, reason)] if until == "restart" else []
        return topic != "birth"

    def changes(self, most_bytes: int) -> list[Packet]:
        self.told.append("news")
        if self.again:
            return [Packet(self.again.pop(), b"")]
        if self.refusals and self.refusals.pop()[0] == "birth":
            return self.births(most_bytes)
        return [] if self.ready else [Packet("death", b"barred")]

    def death(self) -> list[Packet]:
        return [Packet("death", b"stop")]

    def numbered(self, packet: Packet) -> Packet:
        self.number += 1
        return Packet(packet.topic, packet.payload + b" %d" % self.number)

    def received(self, topic: str, payload: bytes) -> None:
        self.ready = {b"go": True, b"stop": False}.get(payload, self.ready)
        self._change.set()

    async def may_send(self, wanted: bool) -> None:
        while self.ready != wanted:
            self._change.clear()
            await self._change.wait()


class Status(FakeStatus):
    """As the real one: what made `changed` return is no news any more."""

    async def changed(self) -> None:
        await super().changed()
        self._news.clear()


class Bench:
    def __init__(self) -> None:
        self.sink, self.outbox, self.clock, self.status = FakeMqttClient(), FakeOutbox(), ManualClock(), Status()
        self.session = FakeSession()
        self.publisher = mqtt_publisher(
            self.sink, self.outbox, self.clock, in_flight=4, ack_timeout_s=5.0, layout=self.session, status=self.status,
            delays=lambda: iter([1.0] * 1000),
        )  # fmt: skip
        self.task = asyncio.create_task(self.publisher.run())

    @property
    def sent(self) -> list[bytes]:
        return [published.payload for published in self.sink.published]

    async def say(self, payload: bytes) -> None:
        self.sink.say("state", payload)
        await settle()
        if payload == b"go":
            await self.clock.advance(QUIET_S)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    await settle()
    yield bench
    bench.task.cancel()
    await asyncio.gather(bench.task, return_exceptions=True)
    assert bench.outbox.in_flight == {}, "every delivery ends in an ack, a refusal or a release"


async def test_nothing_is_taken_or_sent_until_it_may_and_births_come_first(bench: Bench) -> None:
    """What waited meanwhile is not live: it was not made for this connection."""
    bench.outbox.put_next()
    await settle()
    assert bench.sink.subscribed == ["commands", "state", "wanted"]
    assert (bench.sent, bench.outbox.journal, bench.outbox.in_flight) == ([], [], {})
    await bench.say(b"go")
    bench.outbox.put_next()
    await settle()
    assert bench.sent == [b"a 1", b"b 2", b"hist 1 3", b"2 4"]
    assert not any(published.retain for published in bench.sink.published)


async def test_news_are_sent_when_the_status_changes(bench: Bench) -> None:
    await bench.say(b"go")
    bench.status.set(b"x")
    await settle()
    assert bench.session.told == ["news"]
    assert bench.sent == [b"a 1", b"b 2"], "no news, no packet; and no status beside it"


async def test_when_it_may_no_longer_send_it_says_so_and_connects_anew(bench: Bench) -> None:
    await bench.say(b"go")
    await bench.say(b"stop")
    bench.outbox.put_next()
    assert bench.sent[-1] == b"barred 3"
    assert (bench.sink.closes, bench.sink.wills) == (1, 0)
    assert bench.outbox.journal[-1] == "not live"
    await bench.clock.advance(1)
    assert bench.sink.opens == 2
    assert len(bench.sent) == 3
    await bench.say(b"go")
    assert bench.sent[3:] == [b"a 1", b"b 2", b"hist 1 3"]


async def test_births_that_are_refused_for_now_are_told_again(bench: Bench) -> None:
    bench.sink.answers = [Retryable("quota"), Retryable("quota")]
    await bench.say(b"go")
    await bench.clock.advance(5.1)
    assert bench.sent == [b"a 1", b"b 2", b"a 1", b"b 2"]


async def test_a_stop_ends_with_its_death(bench: Bench) -> None:
    await bench.say(b"go")
    stop = asyncio.create_task(bench.publisher.stop(5.0, "offline"))
    await bench.clock.advance(1)
    await stop
    assert bench.sent[-1] == b"stop 3"


async def test_a_stop_while_it_waits_ends_at_once(bench: Bench) -> None:
    await bench.publisher.stop(5.0, "offline")
    assert bench.sent == []


async def test_a_connection_that_breaks_while_it_waits_is_made_again(bench: Bench) -> None:
    bench.sink.lose("cut")
    await settle()
    await bench.clock.advance(1)
    assert bench.sink.opens == 2
    await bench.say(b"go")
    assert bench.sent == [b"a 1", b"b 2"]


async def test_a_subscription_that_is_only_wanted_may_be_refused(bench: Bench) -> None:
    bench.sink.refused_filters = {"wanted"}
    bench.sink.lose("cut")
    await bench.clock.advance(1)
    await bench.say(b"go")
    assert bench.sent == [b"a 1", b"b 2"]


async def test_a_subscription_for_which_the_broker_hangs_up_is_left_out(bench: Bench) -> None:
    """Where it is only wanted; two connections find it out."""
    bench.sink.deadly_filters = {"wanted"}
    bench.sink.lose("cut")
    await bench.clock.advance(5)
    await bench.say(b"go")
    assert bench.sent == [b"a 1", b"b 2"]
    assert bench.sink.opens == 4


async def test_refused_subscriptions_are_tried_again_with_the_next_connection(bench: Bench) -> None:
    bench.sink.refuse_subscriptions = True
    bench.sink.lose("cut")
    await settle()
    await bench.clock.advance(1)
    assert bench.sink.closes == 2
    bench.sink.refuse_subscriptions = False
    await bench.clock.advance(1)
    await bench.say(b"go")
    assert bench.sent == [b"a 1", b"b 2"]


async def test_with_several_brokers_it_walks_on_until_the_session_may_send(bench: Bench) -> None:
    """Two seconds at each, twice as long after each round; it backs off no further, and stays where it may send."""
    bench.sink.broker_count = 2
    opens, waits = bench.sink.opens, []
    for _ in range(5):
        moves, at = bench.sink.moves, bench.clock.monotonic()
        while bench.sink.moves == moves:
            await bench.clock.advance(0.1)
        waits.append(round(bench.clock.monotonic() - at))
    assert waits == [2, 3, 5, 5, 9], "two seconds, then a second between connections and 2, 4, 4, 8"
    await bench.clock.advance(1.1)
    assert bench.sink.opens == opens + 5
    assert bench.sent == []
    await bench.say(b"go")
    assert bench.sent == [b"a 1", b"b 2"]
    await bench.clock.advance(100)
    assert bench.sink.moves == 5, "it stays"


async def test_when_it_may_no_longer_send_it_goes_to_the_next_broker(bench: Bench) -> None:
    bench.sink.broker_count = 2
    await bench.say(b"go")
    bench.outbox.put_next(2)
    await settle()
    await bench.say(b"stop")
    assert bench.sent[-1] == b"barred 5"
    assert (bench.sink.moves, bench.sink.closes) == (1, 1)


async def test_brokers_that_are_all_away_are_backed_off_from_although_it_walks(bench: Bench) -> None:
    bench.sink.broker_count = 2
    bench.sink.lose("cut")
    await bench.clock.advance(4)
    assert bench.sink.moves >= 1
    delays = []
    bench.publisher._delays = lambda: iter([delays.append(1) or 1.0] + [50.0] * 100)  # type: ignore[func-returns-value]
    bench.sink.refuse_open = "away"
    await bench.clock.advance(60)
    assert len(delays) <= 1, "a delay that grows, not one that begins anew"


async def test_no_message_is_sent_before_the_births_have_arrived(bench: Bench) -> None:
    bench.sink.auto_ack = False
    bench.outbox.put_next(2)
    await bench.say(b"go")
    assert bench.sent == [b"a 1", b"b 2"]
    bench.sink.ack(1)
    await settle()
    assert len(bench.sent) == 2
    bench.sink.ack(1)
    await settle()
    await bench.clock.advance(QUIET_S - 0.01)
    assert len(bench.sent) == 2, "hosts need a moment to take the births in"
    await bench.clock.advance(0.01)
    assert bench.sent[2:] == [b"hist 1 3", b"hist 2 4"]
    bench.sink.ack(2)
    await settle()


async def test_a_birth_that_is_refused_beside_the_first_does_not_hold_up_the_messages(bench: Bench) -> None:
    """And what the session wants to tell again comes after five seconds, not in a loop."""
    bench.sink.rule = lambda published: Retryable("quota") if published.payload.startswith(b"b ") else None
    await bench.say(b"go")
    bench.outbox.put_next()
    await bench.clock.advance(2)
    assert bench.sent == [b"a 1", b"b 2", b"1 3"]
    await bench.clock.advance(2.8)
    assert len(bench.sent) == 3
    assert bench.session.refusals == [("birth", "later")]


async def test_a_first_birth_that_is_refused_holds_up_the_messages(bench: Bench) -> None:
    bench.sink.answers = [Permanent("not authorised")]
    await bench.say(b"go")
    bench.outbox.put_next()
    await settle()
    assert bench.sent == [b"a 1", b"b 2"]
    await bench.clock.advance(5.1 + QUIET_S)
    assert bench.sent == [b"a 1", b"b 2", b"a 1", b"b 2", b"1 3"]


async def test_a_birth_for_which_the_broker_hangs_up_is_found_and_left_out(bench: Bench) -> None:
    """One at a time after two breaks; blamed when alone, five times, over two minutes at least; nothing else is."""
    bench.session.names = ["node", "poison", "good", "other"]
    bench.sink.rule = lambda published: "cut" if published.topic == "poison" else None
    await bench.say(b"go")
    bench.session.ready = True
    bench.outbox.put_next()
    began = bench.clock.monotonic()
    while not bench.session.left_out and bench.clock.monotonic() < began + 1000:
        await bench.clock.advance(1)
        bench.outbox.put_next()
        if bench.clock.monotonic() == began + 30:
            acked = len(bench.outbox.acked)
    assert len(bench.outbox.acked) - acked > 0.9 * (bench.clock.monotonic() - began - 30), "the others flow meanwhile"
    assert [topic for topic, _ in bench.session.left_out] == ["poison"]
    assert "ended the connection" in bench.session.left_out[0][1]
    assert bench.clock.monotonic() - began > 120
    await bench.clock.advance(10)
    assert bench.outbox.journal[-1].startswith("ack"), "and the messages flow"
    assert not bench.outbox.waiting


@pytest.mark.parametrize("times", [80])
async def test_connections_that_break_at_random_cost_no_birth(bench: Bench, times: int) -> None:
    random = Random(4)
    bench.session.names = ["node", "one", "two", "three"]
    # Six breaks in a row meet the same healthy packet once in 16,000 sequences; at 0.3 it would be one in 1,400.
    bench.sink.rule = lambda published: "cut" if random.random() < 0.2 else None
    bench.session.ready = True
    await bench.say(b"go")
    for _ in range(times):
        await bench.clock.advance(2)
        bench.sink.lose("cut")
    assert bench.sink.opens > times * 3 // 4
    assert len(bench.sink.published) > times * 5 // 2
    assert bench.session.left_out == []


async def test_a_session_that_can_say_nothing_ends_the_connection_and_loses_nothing(bench: Bench) -> None:
    bench.session.impossible = "the birth of the node has 300 bytes"
    bench.outbox.put_next()
    await bench.say(b"go")
    assert (bench.sent, bench.sink.closes) == ([], 1)
    assert not [line for line in bench.outbox.journal if line.startswith("refuse")]
    await bench.clock.advance(1.1)
    assert bench.sink.opens == 2
