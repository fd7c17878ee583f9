"""What leaves when: receive maximum, sizes, aliases, retain, QoS 0. No broker: packets are looked at as they leave."""

import asyncio
import itertools

import pytest

from gateway.core.errors import NotConnected, Permanent, Retryable
from gateway.core.ports.layout import Properties
from gateway.sinks.mqtt import send_window as module
from gateway.sinks.mqtt.packets import publish
from gateway.sinks.mqtt.properties import pack
from gateway.sinks.mqtt.send_window import SendWindow
from gateway.sinks.mqtt.types import Outgoing, QoS

EMPTY = pack(Properties())
ASK = b"ask"


class Wire:
    """Packets that left, `ASK` where a PINGREQ was sent."""

    def __init__(self, window: int = 3, most_bytes: int = 1000, aliases: int = 0, *, retain: bool = True) -> None:
        self.out: list[bytes] = []
        self.sending = SendWindow(itertools.count(1).__next__, self.out.append, self._ask)
        self.sending.allow(window, most_bytes, aliases, retain=retain)

    def _ask(self) -> None:
        self.out.append(ASK)
        self.sending.qos0.ping_sent(0.0)

    def publish(
        self, topic: str = "a", payload: bytes = b"x", *, qos: QoS = 1, retain: bool = False
    ) -> asyncio.Future[None]:
        outgoing = Outgoing(topic, payload, retain, EMPTY, asyncio.get_running_loop().create_future(), qos=qos)
        self.sending.publish(outgoing)
        return outgoing.future


async def test_no_more_are_under_way_than_the_receive_maximum_allows() -> None:
    stream = Wire(window=2)
    futures = [stream.publish(payload=bytes([k])) for k in range(4)]
    assert stream.out == [publish("a", bytes([k]), k + 1, False, EMPTY) for k in range(2)]
    assert stream.sending.waits
    stream.sending.acknowledged(1, 0)
    stream.sending.send_waiting()
    assert stream.out[2:] == [publish("a", b"\2", 3, False, EMPTY)]
    assert [future.done() for future in futures] == [True, False, False, False]


async def test_the_order_is_kept_when_there_is_room_again_before_what_waits_was_sent() -> None:
    stream = Wire(window=1)
    stream.publish(payload=b"1")
    stream.publish(payload=b"2")
    stream.sending.acknowledged(1, 0)
    stream.publish(payload=b"3")
    stream.sending.send_waiting()
    assert stream.out == [publish("a", b"1", 1, False, EMPTY), publish("a", b"2", 2, False, EMPTY)]


async def test_who_no_longer_waits_costs_no_packet() -> None:
    stream = Wire(window=1)
    stream.publish()
    stream.publish(payload=b"given up").cancel()
    stream.sending.acknowledged(1, 0)
    stream.sending.send_waiting()
    assert len(stream.out) == 1


async def test_a_packet_id_in_use_is_passed_over() -> None:
    stream = Wire()
    stream.sending._next_packet_id = iter([7, 7, 7, 8]).__next__
    stream.publish()
    stream.publish()
    assert stream.out == [publish("a", b"x", 7, False, EMPTY), publish("a", b"x", 8, False, EMPTY)]


@pytest.mark.parametrize("qos", [0, 1])
async def test_what_is_larger_than_the_broker_takes_is_not_sent(qos: QoS) -> None:
    stream = Wire(most_bytes=100)
    assert len(publish("a", bytes(82), 1, False, EMPTY)) <= 100
    taken, refused = stream.publish(payload=bytes(82), qos=qos), stream.publish(payload=bytes(100), qos=qos)
    assert not taken.done()
    assert isinstance(refused.exception(), Permanent)
    assert all(len(packet) <= 100 for packet in stream.out)


async def test_refusals_end_their_own_message_and_strange_acknowledgements_none() -> None:
    stream = Wire()
    first, second, third = (stream.publish() for _ in range(3))
    stream.sending.acknowledged(2, 0x97)
    stream.sending.acknowledged(4711, 0)
    stream.sending.acknowledged(3, 0x10)
    assert not first.done()
    assert isinstance(second.exception(), Retryable | Permanent)
    assert third.result() is None


async def test_an_alias_stands_alone_only_once_it_was_acknowledged() -> None:
    stream = Wire(window=10, aliases=1)
    for _ in range(3):
        stream.publish("topic")
    assert all(b"topic" in packet for packet in stream.out)
    stream.sending.acknowledged(2, 0x97)
    stream.publish("topic")
    assert b"topic" in stream.out[-1], "refused: the broker may not know it"
    stream.sending.acknowledged(3, 0)
    stream.publish("topic")
    assert b"topic" not in stream.out[-1]


async def test_nothing_is_retained_at_a_broker_that_cannot() -> None:
    able, unable = Wire(), Wire(retain=False)
    for stream in (able, unable):
        stream.publish(retain=True)
    assert [stream.out[0][0] & 1 for stream in (able, unable)] == [1, 0]


async def test_qos_0_counts_for_no_receive_maximum_and_is_asked_for() -> None:
    stream = Wire(window=0)
    future = stream.publish(qos=0)
    assert stream.out == [publish("a", b"x", 0, False, EMPTY), ASK]
    stream.sending.qos0.answered(0.0)
    assert future.result() is None
    stream.publish(qos=0)
    assert stream.out[-1] != ASK, "answers come quickly: one question for all that is sent together"


async def test_the_queue_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_WAITING", 2)
    stream = Wire(window=0)
    futures = [stream.publish(qos=qos) for qos in (1, 0) for _ in range(3)]
    assert [isinstance(f.exception(), Retryable) if f.done() else None for f in futures] == [None, None, True] * 2


async def test_with_the_connection_all_of_it_ends() -> None:
    stream = Wire(window=1)
    futures = [stream.publish(), stream.publish(), stream.publish(qos=0)]
    stream.sending.fail(NotConnected("gone"))
    assert all(isinstance(future.exception(), NotConnected) for future in futures)
    assert not stream.sending.waits


async def test_a_topic_that_cannot_be_published_to_costs_only_itself() -> None:
    stream = Wire(window=1)
    assert isinstance(stream.publish("a/#").exception(), Permanent)
    assert isinstance(stream.publish("a/#", qos=0).exception(), Permanent)
    assert not stream.publish().done()
    assert stream.out == [publish("a", b"x", 2, False, EMPTY)]
