"""What leaves when: receive maximum, sizes, aliases, retain, QoS 0. No broker: packets are looked at as they leave."""

import asyncio
import itertools

import pytest

from gateway.core.errors import NotConnected, Permanent, Retryable
from gateway.core.ports.layout import Properties
from gateway.sinks.mqtt import send_window as module
from gateway.sinks.mqtt.packets import publish
from gateway.sinks.mqtt.properties import pack
from gateway.sinks.mqtt.send_window import Sending
from gateway.sinks.mqtt.types import Outgoing, QoS

EMPTY = pack(Properties())
ASK = b"ask"


class Wire:
    """Packets that left, `ASK` where a PINGREQ was sent."""

    def __init__(self, window: int = 3, most_bytes: int = 1000, aliases: int = 0, *, retain: bool = True) -> None:
        self.out: list[bytes] = []
        self.sending = Sending(itertools.count(1).__next__, self.out.append, self._ask)
        self.sending.allow(window, most_bytes, aliases, retain=retain)

    def _ask(self) -> None:
        self.out.append(ASK)
        self.sending.unproven.asked(0.0)

    def publish(
        self, topic: str = "a", payload: bytes = b"x", *, qos: QoS = 1, retain: bool = False
    ) -> asyncio.Future[None]:
        outgoing = Outgoing(topic, payload, retain, EMPTY, asyncio.get_running_loop().create_future(), qos=qos)
        self.sending.publish(outgoing)
        return outgoing.future


async def test_no_more_are_under_way_than_the_receive_maximum_allows() -> None:
    wire = Wire(window=2)
    futures = [wire.publish(payload=bytes([k])) for k in range(4)]
    assert wire.out == [publish("a", bytes([k]), k + 1, False, EMPTY) for k in range(2)]
    assert wire.sending.waits
    wire.sending.acknowledged(1, 0)
    wire.sending.send_waiting()
    assert wire.out[2:] == [publish("a", b"\2", 3, False, EMPTY)]
    assert [future.done() for future in futures] == [True, False, False, False]


async def test_the_order_is_kept_when_there_is_room_again_before_what_waits_was_sent() -> None:
    wire = Wire(window=1)
    wire.publish(payload=b"1")
    wire.publish(payload=b"2")
    wire.sending.acknowledged(1, 0)
    wire.publish(payload=b"3")
    wire.sending.send_waiting()
    assert wire.out == [publish("a", b"1", 1, False, EMPTY), publish("a", b"2", 2, False, EMPTY)]


async def test_who_no_longer_waits_costs_no_packet() -> None:
    wire = Wire(window=1)
    wire.publish()
    wire.publish(payload=b"given up").cancel()
    wire.sending.acknowledged(1, 0)
    wire.sending.send_waiting()
    assert len(wire.out) == 1


async def test_a_packet_id_in_use_is_passed_over() -> None:
    wire = Wire()
    wire.sending._next_packet_id = iter([7, 7, 7, 8]).__next__
    wire.publish()
    wire.publish()
    assert wire.out == [publish("a", b"x", 7, False, EMPTY), publish("a", b"x", 8, False, EMPTY)]


@pytest.mark.parametrize("qos", [0, 1])
async def test_what_is_larger_than_the_broker_takes_is_not_sent(qos: QoS) -> None:
    wire = Wire(most_bytes=100)
    assert len(publish("a", bytes(82), 1, False, EMPTY)) <= 100
    taken, refused = wire.publish(payload=bytes(82), qos=qos), wire.publish(payload=bytes(100), qos=qos)
    assert not taken.done()
    assert isinstance(refused.exception(), Permanent)
    assert all(len(packet) <= 100 for packet in wire.out)


async def test_refusals_end_their_own_message_and_strange_acknowledgements_none() -> None:
    wire = Wire()
    first, second, third = (wire.publish() for _ in range(3))
    wire.sending.acknowledged(2, 0x97)
    wire.sending.acknowledged(4711, 0)
    wire.sending.acknowledged(3, 0x10)
    assert not first.done()
    assert isinstance(second.exception(), Retryable | Permanent)
    assert third.result() is None


async def test_an_alias_stands_alone_only_once_it_was_acknowledged() -> None:
    wire = Wire(window=10, aliases=1)
    for _ in range(3):
        wire.publish("topic")
    assert all(b"topic" in packet for packet in wire.out)
    wire.sending.acknowledged(2, 0x97)
    wire.publish("topic")
    assert b"topic" in wire.out[-1], "refused: the broker may not know it"
    wire.sending.acknowledged(3, 0)
    wire.publish("topic")
    assert b"topic" not in wire.out[-1]


async def test_nothing_is_retained_at_a_broker_that_cannot() -> None:
    able, unable = Wire(), Wire(retain=False)
    for wire in (able, unable):
        wire.publish(retain=True)
    assert [wire.out[0][0] & 1 for wire in (able, unable)] == [1, 0]


async def test_qos_0_counts_for_no_receive_maximum_and_is_asked_for() -> None:
    wire = Wire(window=0)
    future = wire.publish(qos=0)
    assert wire.out == [publish("a", b"x", 0, False, EMPTY), ASK]
    wire.sending.unproven.answered(0.0)
    assert future.result() is None
    wire.publish(qos=0)
    assert wire.out[-1] != ASK, "answers come quickly: one question for all that is sent together"


async def test_the_queue_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_WAITING", 2)
    wire = Wire(window=0)
    futures = [wire.publish(qos=qos) for qos in (1, 0) for _ in range(3)]
    assert [isinstance(f.exception(), Retryable) if f.done() else None for f in futures] == [None, None, True] * 2


async def test_with_the_connection_all_of_it_ends() -> None:
    wire = Wire(window=1)
    futures = [wire.publish(), wire.publish(), wire.publish(qos=0)]
    wire.sending.fail(NotConnected("gone"))
    assert all(isinstance(future.exception(), NotConnected) for future in futures)
    assert not wire.sending.waits


async def test_a_topic_that_cannot_be_published_to_costs_only_itself() -> None:
    wire = Wire(window=1)
    assert isinstance(wire.publish("a/#").exception(), Permanent)
    assert isinstance(wire.publish("a/#", qos=0).exception(), Permanent)
    assert not wire.publish().done()
    assert wire.out == [publish("a", b"x", 2, False, EMPTY)]
