"""The MQTT sink at the edges of a connection: what is still taken, said and logged when it ends or cannot be used."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
import structlog

from gateway.core.errors import Permanent, Retryable
from gateway.core.messages import Message
from gateway.core.ports.layout import Packet
from tests.support.clock import ManualClock, settle
from tests.support.mqtt_client import FakeMqttClient
from tests.support.mqtt_publisher import mqtt_publisher
from tests.support.outbox_fake import FakeOutbox
from tests.unit.sinks.mqtt.test_host_session import Bench as SessionBench
from tests.unit.sinks.mqtt.test_publishing import MANY, STATUS, FakeLayout, FakeStatus


@pytest.fixture
async def session() -> AsyncIterator[SessionBench]:
    bench = SessionBench()
    await settle()
    yield bench
    bench.task.cancel()
    await asyncio.gather(bench.task, return_exceptions=True)
    assert bench.outbox.in_flight == {}


async def test_once_barred_it_takes_nothing_more_from_the_outbox(session: SessionBench) -> None:
    """The news are waited for; meanwhile nothing may be sent, so nothing is taken but for what was asked for before."""
    await session.say(b"go")
    session.sink.auto_ack = False
    session.sink.say("state", b"stop")
    while session.sent[-1] != b"barred 3":
        await asyncio.sleep(0)
    session.outbox.put_next(1000)
    await settle()
    assert session.sink.closes == 0
    assert len(session.outbox.in_flight) == 4
    await session.clock.advance(1)
    assert (session.sink.closes, session.publisher.released) == (1, 4)


async def test_connections_lost_before_it_may_send_are_no_fault_of_births(session: SessionBench) -> None:
    """So births go together as usual, not one by one."""
    for _ in range(3):
        session.sink.lose("cut")
        await session.clock.advance(1.1)
    session.sink.auto_ack = False
    await session.say(b"go")
    assert session.sent == [b"a 1", b"b 2"]


async def test_a_stop_does_not_wait_for_births_without_an_answer(session: SessionBench) -> None:
    session.sink.auto_ack = False
    await session.say(b"go")
    session.outbox.put_next()
    stop = asyncio.create_task(session.publisher.stop(5.0, "offline"))
    await settle()
    assert session.sent == [b"a 1", b"b 2", b"stop 3"]
    session.sink.ack(3)
    await settle()
    await asyncio.wait_for(stop, 1)


class CountingLayout(FakeLayout):
    def __init__(self) -> None:
        self.made = 0

    def packets(self, message: Message, *, hist: bool, most_bytes: int) -> Sequence[Packet]:
        self.made += 1
        return super().packets(message, hist=hist, most_bytes=most_bytes)


async def test_cancelled_in_the_middle_of_its_final_status_it_hangs_up() -> None:
    sink, outbox, clock = FakeMqttClient(), FakeOutbox(), ManualClock()
    publisher = mqtt_publisher(sink, outbox, clock, layout=FakeLayout(), status=FakeStatus())
    task = asyncio.create_task(publisher.run())
    await settle()
    sink.auto_ack = False
    stop = asyncio.create_task(publisher.stop(5.0, "offline"))
    await clock.advance(0.3)
    assert sink.published[-1].payload == b"offline"
    task.cancel()
    await asyncio.gather(task, stop, return_exceptions=True)
    assert not sink.is_open


@pytest.mark.parametrize("error", [Permanent("not authorised"), Retryable("quota")])
async def test_a_status_that_is_refused_is_logged(error: Permanent | Retryable) -> None:
    sink = FakeMqttClient()
    sink.rule = lambda published: error if published.topic == STATUS else None
    publisher = mqtt_publisher(sink, FakeOutbox(), ManualClock(), layout=FakeLayout(), status=FakeStatus())
    with structlog.testing.capture_logs() as lines:
        task = asyncio.create_task(publisher.run())
        await settle()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert [(line["topic"], line["reason"]) for line in lines if "refused" in line["event"]] == [(STATUS, str(error))]


async def test_messages_of_many_packets_are_laid_out_one_after_the_other() -> None:
    """As many packets as a message has tags: all that were taken at once would be hundreds of megabytes."""
    sink, outbox, clock, layout = FakeMqttClient(), FakeOutbox(), ManualClock(), CountingLayout()
    publisher = mqtt_publisher(sink, outbox, clock, in_flight=4, layout=layout, status=FakeStatus(), ack_timeout_s=60.0)
    task = asyncio.create_task(publisher.run())
    await settle()
    sink.auto_ack = False
    outbox.put_next(4, topic=MANY)
    await settle()
    assert [published.payload for published in sink.published[1:]] == [b"1a", b"1b", b"1c", b"2a"]
    assert layout.made == 2
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert outbox.in_flight == {}


async def test_a_pause_holds_up_messages_that_no_packet_was_sent_of() -> None:
    """But for the one that waited for room when it began."""
    sink, outbox, clock = FakeMqttClient(), FakeOutbox(), ManualClock()
    publisher = mqtt_publisher(
        sink, outbox, clock, in_flight=6, layout=FakeLayout(), status=FakeStatus(), ack_timeout_s=60.0,
        delays=lambda: iter([1.0] * 100),
    )  # fmt: skip
    task = asyncio.create_task(publisher.run())
    await settle()
    sink.auto_ack = False
    outbox.put_next(5, topic=MANY)
    await settle()
    sink.waiting[0].future.set_exception(Retryable("quota"))
    await settle()
    sink.auto_ack = True
    sink.ack(9)
    await clock.advance(0.8)
    assert {published.payload[:1] for published in sink.published[1:]} == {b"1", b"2", b"3"}
    await clock.advance(0.3)
    assert {published.payload[:1] for published in sink.published[1:]} >= {b"1", b"2", b"3", b"4", b"5"}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert outbox.in_flight == {}
