"""Messages at QoS 0, which have no acknowledgement: delivered is what a PINGREQ was sent after and answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.core.errors import NotConnected, Permanent
from gateway.core.ports.layout import Properties
from gateway.sinks.mqtt.client import MqttClient
from gateway.sinks.mqtt.config import MqttConfig
from gateway.sinks.mqtt.types import Will
from tests.support.bad_broker import CONNECT, PINGREQ, PINGRESP, PUBLISH, BadBroker, accept, body_of
from tests.support.network import free_port, until


@asynccontextmanager
async def connected(broker: BadBroker, **settings: object) -> AsyncIterator[MqttClient]:
    async with broker:
        client = MqttClient(MqttConfig(url=broker.url, **settings))
        try:
            await client.open()
            yield client
        finally:
            await client.close()


def silent_on_pings() -> BadBroker:
    broker = BadBroker()
    broker.answer = lambda kind, packet: None if kind == PINGREQ else broker.usual(kind, packet)
    return broker


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_a_message_counts_when_the_question_after_it_is_answered(version: str) -> None:
    broker = silent_on_pings()
    broker.connack = broker.connack if version == "5" else bytes([0x20, 2, 0, 0])
    async with connected(broker, version=version) as client:
        probe = client.publish("a/b", b"", qos=0)
        await until(lambda: broker.count(PINGREQ) == 1, 5, "the first message has a question of its own")
        broker.say(PINGRESP)
        await asyncio.wait_for(probe, 5)
        first = [client.publish("a/b", b"%d" % n, qos=0) for n in range(3)]
        await until(lambda: broker.count(PINGREQ) > 1, 5, "a question")
        questions = broker.count(PINGREQ)
        assert [packet[0] for packet in broker.published()] == [0x30] * 4, "QoS 0, not retained"
        assert not any(future.done() for future in first)
        second = client.publish("a/b", b"3", qos=0)
        await until(lambda: broker.count(PINGREQ) == questions + 1, 5, "another question")
        for _ in range(questions - 1):
            broker.say(PINGRESP)
        await asyncio.wait_for(asyncio.gather(*first), 5)
        assert not second.done(), "the first answer says nothing about what came after the first question"
        broker.say(PINGRESP)
        await asyncio.wait_for(second, 5)


async def test_answers_that_nobody_asked_for_prove_nothing() -> None:
    broker = silent_on_pings()
    async with connected(broker) as client:
        broker.say(PINGRESP * 3)
        await client.publish("a", b"x")
        future = client.publish("a", b"y", qos=0)
        await until(lambda: broker.count(PINGREQ) == 1, 5, "the question")
        await client.publish("a", b"z")
        assert not future.done()
        broker.say(PINGRESP)
        await asyncio.wait_for(future, 5)


async def test_the_keep_alive_s_questions_count_in_their_place() -> None:
    broker = silent_on_pings()
    async with connected(broker, keepalive="1s") as client:
        await until(lambda: broker.count(PINGREQ) == 1, 5, "keep alive")
        future = client.publish("a", b"x", qos=0)
        await until(lambda: broker.count(PINGREQ) == 2, 5, "the question")
        broker.say(PINGRESP)
        await client.publish("a", b"y")
        assert not future.done(), "that answer was to the keep alive, sent before the message"
        broker.say(PINGRESP)
        await asyncio.wait_for(future, 5)


async def test_the_question_never_goes_before_the_message() -> None:
    """On the stream, too: whatever is queued together, the last thing is a PINGREQ."""
    broker = BadBroker()
    async with connected(broker) as client:
        for size in (1, 100_000, 5):
            await asyncio.wait_for(asyncio.gather(*(client.publish("a", bytes(size), qos=0) for _ in range(7))), 10)
        kinds = [kind for kind, _ in broker.heard if kind in (PUBLISH, PINGREQ)]
        assert kinds.count(PUBLISH) == 21
        assert kinds[-1] == PINGREQ


@pytest.mark.parametrize("answered", [False, True])
async def test_a_connection_that_ends_before_the_answer_delivers_nothing(answered: bool) -> None:
    broker = silent_on_pings()
    async with connected(broker) as client:
        future = client.publish("a", b"x", qos=0)
        await until(lambda: broker.count(PINGREQ) == 1, 5, "the question")
        if answered:
            broker.say(PINGRESP[:1])  # half of an answer is none
        broker.hang_up()
        with pytest.raises(NotConnected):
            await asyncio.wait_for(future, 5)


async def test_the_receive_maximum_does_not_hold_up_qos_0() -> None:
    broker = BadBroker(accept(bytes([0x21, 0, 1])))
    held = []
    broker.answer = lambda kind, packet: (
        held.append(packet) if kind == PUBLISH and packet[0] & 6 else broker.usual(kind, packet)  # type: ignore[func-returns-value]
    )
    async with connected(broker) as client:
        waiting = [client.publish("a", b"x") for _ in range(3)]
        await asyncio.wait_for(asyncio.gather(*(client.publish("a", b"y", qos=0) for _ in range(50))), 5)
        assert len(held) == 1
        assert not any(future.done() for future in waiting)


async def test_topics_that_cannot_be_and_packets_too_large_are_refused_at_once() -> None:
    async with connected(BadBroker(accept(bytes([0x27, 0, 0, 0, 100])))) as client:
        for topic, payload in (("a/#", b"x"), ("", b"x"), ("a\0", b"x"), ("a", bytes(100))):
            with pytest.raises(Permanent):
                await client.publish(topic, payload, qos=0)
        await asyncio.wait_for(client.publish("a", b"x", qos=0), 5)


async def test_properties_go_along_and_topics_are_never_aliased() -> None:
    broker = BadBroker(accept(bytes([0x22, 0, 10])))
    async with connected(broker) as client:
        for _ in range(4):
            await client.publish("topic/name", b"x", qos=0, properties=Properties("text/plain"))
        assert all(b"topic/name" in body_of(packet) and b"text/plain" in packet for packet in broker.published())


async def test_a_new_will_is_asked_for_with_each_connect_and_not_before() -> None:
    """Sparkplug's bdSeq counts CONNECT packets: an attempt that does not come so far must not count."""
    asked: list[int] = []

    def will() -> Will:
        asked.append(len(asked))
        return Will("gw/death", b"%d" % asked[-1])

    broker = BadBroker()
    away = MqttClient(MqttConfig(url=f"mqtt://127.0.0.1:{free_port()}"), will=will)
    with pytest.raises(NotConnected):
        await away.open()
    assert asked == []
    async with broker:
        client = MqttClient(MqttConfig(url=broker.url), will=will)
        for _ in range(2):
            await client.open()
        await client.close()
    assert asked == [0, 1]
    assert [packet.count(b"gw/death") for kind, packet in broker.heard if kind == CONNECT] == [1, 1]


@pytest.mark.parametrize("keep_alive_s", [0, 1])
async def test_the_server_s_keep_alive_holds_and_0_does_not_end_the_connection(keep_alive_s: int) -> None:
    """MQTT 5.0, 3.2.2.3.14. With 0 the broker needs no sign of life, and an answer that takes its time is not overdue."""
    broker = silent_on_pings()
    broker.connack = accept(bytes([0x13, 0, keep_alive_s]))
    async with connected(broker, keepalive="30s") as client:
        lost = asyncio.ensure_future(client.lost())
        if keep_alive_s:
            assert "no sign of life" in await asyncio.wait_for(lost, 10), "asked in the broker's time, not in ours"
            return
        future = client.publish("a", b"x", qos=0)
        await until(lambda: broker.count(PINGREQ) == 1, 5, "the question")
        await asyncio.wait({lost}, timeout=1.5)  # the keep alive looks once a second at least
        assert not lost.done()
        broker.say(PINGRESP)
        await asyncio.wait_for(future, 5)
        lost.cancel()
