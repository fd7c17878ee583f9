"""The MQTT client against a broker that breaks every rule: what was sent has an answer or is lost with a reason."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import pytest

from gateway.core.errors import GatewayError, NotConnected, Permanent, Retryable
from gateway.core.ports.layout import Properties
from gateway.sinks.mqtt import read_pace
from gateway.sinks.mqtt.client import MqttClient
from gateway.sinks.mqtt.config import MqttConfig
from gateway.sinks.mqtt.types import Will
from tests.support.bad_broker import ACCEPT, CONNECT, PINGREQ, PUBLISH, BadBroker, accept, body_of, packet_id
from tests.support.network import until

MOST = 1_000_000
SHORT = {"timeout": "500ms"}
ACCEPT_3 = bytes([0x20, 2, 0, 0])


@pytest.fixture(autouse=True)
async def no_bug() -> AsyncIterator[None]:
    """Nothing that a broker says may end in an exception that nobody has caught."""
    caught: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: caught.append(context))
    yield
    await asyncio.sleep(0)
    assert not caught, caught


@asynccontextmanager
async def connected(broker: BadBroker, **settings: Any) -> AsyncIterator[MqttClient]:
    async with broker:
        client = MqttClient(MqttConfig(url=broker.url, **SHORT | settings), client_id="gw", most_received=MOST)
        try:
            await client.open()
            yield client
        finally:
            await client.close()


async def works(client: MqttClient) -> None:
    await asyncio.wait_for(client.publish("a", b"x"), 5)
    await asyncio.wait_for(client.publish("a", b"x", qos=0), 5)


# -- CONNACK -----------------------------------------------------------------------------------------------------------


def garbage(count: int, seed: int) -> Iterator[bytes]:
    """Random bytes; random bodies of packets that look right; good packets with one byte changed or cut off."""
    random = Random(seed)
    good = [ACCEPT, accept(bytes([0x21, 0, 1, 0x12, 0, 1, 65])), b"\x40\x02\x00\x01", b"\xd0\x00", b"\xe0\x01\x8b",
            b"\x30\x07\x00\x01a\x00xyz", b"\x90\x04\x00\x01\x00\x01", b"\x32\x09\x00\x01a\x00\x07\x00xyz"]  # fmt: skip
    for number in range(count):
        body = random.randbytes(random.randrange(1, 30))
        match number % 4:
            case 0:
                yield body
            case 1:
                yield bytes([random.randrange(1, 16) << 4 | random.choice([0, 0, 2]), len(body)]) + body
            case 2:
                packet = bytearray(random.choice(good))
                packet[random.randrange(len(packet))] = random.randrange(256)
                yield bytes(packet)
            case _:
                packet = bytearray(random.choice(good))
                yield bytes(packet[: random.randrange(1, len(packet))])


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_no_answer_to_a_connect_is_garbage_enough_to_hang_or_break_the_client(version: str) -> None:
    """It is connected, or NotConnected within the timeout."""
    async with BadBroker() as broker:
        for junk in garbage(120, 1):
            broker.answer = lambda kind, packet, junk=junk: junk if kind == CONNECT else broker.usual(kind, packet)
            client = MqttClient(MqttConfig(url=broker.url, version=version, timeout="100ms"))
            with suppress(NotConnected):
                await asyncio.wait_for(client.open(), 5)
            await asyncio.wait_for(client.close(), 5)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_no_garbage_after_it_breaks_more_than_the_connection(version: str) -> None:
    """What was in flight has an answer, or NotConnected with the end; the next connection works."""
    connack = ACCEPT if version == "5" else ACCEPT_3
    async with BadBroker(connack, v5=version == "5") as broker:
        client = MqttClient(MqttConfig(url=broker.url, version=version, timeout="1s"))
        for junk in garbage(200, 2):
            await client.open()
            flying = [client.publish("a", b"x"), client.publish("a", b"y", qos=0)]
            broker.say(junk)
            broker.hang_up()
            assert await asyncio.wait_for(client.lost(), 5)
            for future in flying:
                assert future.done()
                assert future.exception() is None or isinstance(future.exception(), GatewayError)
        await client.open()
        broker.answer = broker.usual
        await works(client)
        await client.close()


async def test_a_broker_that_accepts_tcp_and_never_speaks_ends_in_the_timeout() -> None:
    async with BadBroker(None) as broker:
        client = MqttClient(MqttConfig(url=broker.url, **SHORT))
        with pytest.raises(NotConnected, match="does not answer in MQTT"):
            await asyncio.wait_for(client.open(), 3)


@pytest.mark.parametrize("early", [b"\x40\x02\x00\x01", b"\xd0\x00", b"\x90\x04\x00\x01\x00\x01", b"\x30\x04\x00\x01a\x00"])
async def test_what_comes_before_the_connack_is_no_acceptance(early: bytes) -> None:
    async with BadBroker(early) as broker:
        client = MqttClient(MqttConfig(url=broker.url, **SHORT))
        with pytest.raises(NotConnected):
            await asyncio.wait_for(client.open(), 3)


async def test_a_second_connack_ends_the_connection() -> None:
    """A protocol error (3.2)."""
    broker = BadBroker()
    async with connected(broker) as client:
        broker.say(accept(bytes([0x21, 0, 1])))
        assert "accepts again" in await asyncio.wait_for(client.lost(), 5)


@pytest.mark.parametrize("nothing", [b"\xd0\x00", b"\x40\x02\x12\x34", b"\x90\x04\x12\x34\x00\x01"])
async def test_a_flood_of_answers_to_no_question_ends_the_connection_with_the_reason(nothing: bytes) -> None:
    broker = BadBroker()
    async with connected(broker) as client:
        broker.say(nothing * 900)
        await works(client)
        broker.say(nothing * 900)
        assert "the broker sends what carries nothing" in await asyncio.wait_for(client.lost(), 5)


async def test_a_flood_of_retained_messages_at_the_connect_is_read_whole() -> None:
    """Also by a paced client, and no answer waits behind it for long."""
    broker = BadBroker()
    async with broker:
        client = MqttClient(MqttConfig(url=broker.url), is_paced=True)
        await client.open()
        await client.subscribe("a")
        broker.say(b"\x31\x07\x00\x01a\x00abc" * 10_000)
        for _ in range(10_000):
            await asyncio.wait_for(client.receive(), 5)
        await works(client)
        await client.close()


async def test_a_paced_client_reads_a_flood_of_messages_slowly_and_then_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_pace, "_MOST", 100)
    monkeypatch.setattr(read_pace, "_PER_S", 2_000)
    async with BadBroker() as broker:
        client = MqttClient(MqttConfig(url=broker.url), is_paced=True)
        await client.open()
        await client.subscribe("a")
        began_s = asyncio.get_running_loop().time()
        broker.say(b"\x31\x07\x00\x01a\x00abc" * 1_000)
        for _ in range(1_000):
            await asyncio.wait_for(client.receive(), 5)
        assert asyncio.get_running_loop().time() - began_s >= 0.4, "900 of them at 2,000 a second"
        await works(client)
        await client.close()


async def test_every_limit_of_a_connack_together() -> None:
    """Receive maximum 1, no aliases, no retain, 100 bytes a packet, an assigned id, wildcards and shared unavailable, server
    keep alive, a reason, a user property."""
    properties = (
        b"\x21\x00\x01\x22\x00\x00\x25\x00\x27\x00\x00\x00\x64\x12\x00\x03abc\x28\x00\x2a\x00\x29\x00"
        b"\x13\x00\x01\x1f\x00\x02hi\x26\x00\x01k\x00\x01v"
    )
    broker = BadBroker(accept(properties))
    async with connected(broker) as client:
        futures = [client.publish("topic", b"%d" % n, retain=True) for n in range(30)]
        await asyncio.wait_for(asyncio.gather(*futures), 5)
        assert all(packet[0] == 0x32 for packet in broker.published()), "no retain, no repetition"
        assert all(b"topic" in packet for packet in broker.published()), "no alias"
        assert client.most_bytes == 50
        with pytest.raises(Permanent, match="at most 100"):
            await client.publish("topic", bytes(100))
        long = Properties(user=(("key", "v" * 90),))
        with pytest.raises(Permanent, match="at most 100"):
            await client.publish("topic", b"", properties=long)
        assert all(len(packet) <= 100 for packet in broker.published())
        await until(lambda: broker.count(PINGREQ) >= 2, 10, "the server's keep alive")


@pytest.mark.parametrize("properties", [b"\x21\x00\x00", b"\x27\x00\x00\x00\x00"])
async def test_limits_that_the_standard_forbids_do_not_hang_the_client(properties: bytes) -> None:
    """Receive maximum 0 and maximum packet size 0 are protocol errors (3.2.2.3.3, 3.2.2.3.6)."""
    async with BadBroker(accept(properties)) as broker:
        client = MqttClient(MqttConfig(url=broker.url, **SHORT))
        with pytest.raises(NotConnected, match=r"not MQTT|protocol"):
            await asyncio.wait_for(client.open(), 3)


async def test_without_qos_1_nothing_is_sent_that_could_not_be_acknowledged() -> None:
    async with BadBroker(accept(bytes([0x24, 0]))) as broker:
        client = MqttClient(MqttConfig(url=broker.url, **SHORT), will=Will("w", b"x"))
        with pytest.raises(NotConnected, match="QoS 1"):
            await client.open()
        assert broker.published() == []


# -- PUBACK ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [b"", b"\x00", b"\x06\x1f\x00\x03why"])
async def test_any_code_of_a_puback_is_an_answer_and_the_connection_stays(extra: bytes) -> None:
    """All up to the standard's last, 0xA2, also those that it does not list for a PUBACK: below 0x80 success, else refused.
    Beyond it the packet is malformed, and the connection ends (4.13)."""
    broker = BadBroker()
    code = 0
    broker.answer = lambda kind, packet: (
        bytes([0x40, 3 + len(extra)]) + packet_id(packet) + bytes([code]) + extra
        if kind == PUBLISH
        else broker.usual(kind, packet)
    )
    async with connected(broker) as client:
        for code in range(0xA3):
            future = client.publish("a", b"x")
            await asyncio.wait({future}, timeout=5)
            if code < 0x80:
                assert future.result() is None
            else:
                assert isinstance(future.exception(), Permanent | Retryable), hex(code)
                assert f"0x{code:02x}" in str(future.exception())
        assert broker.connections == 1
        code = 0xA3
        with pytest.raises(NotConnected):
            await asyncio.wait_for(client.publish("a", b"x"), 5)


async def test_pubacks_for_what_was_never_sent_acknowledge_nothing() -> None:
    broker = BadBroker()
    broker.answer = lambda kind, packet: None if kind == PUBLISH else broker.usual(kind, packet)
    async with connected(broker) as client:
        futures = [client.publish("a", b"x") for _ in range(3)]
        await until(lambda: broker.count(PUBLISH) == 3, 5, "published")
        own = [packet_id(packet) for packet in broker.published()]
        strange = [n.to_bytes(2) for n in (0, 7, 4711, 65_535)]
        broker.say(b"".join(b"\x40\x02" + other for other in strange if other not in own))
        broker.say(b"\x50\x02" + own[0] + b"\x70\x02" + own[1])  # PUBREC and PUBCOMP belong to QoS 2
        await asyncio.wait_for(client.lost(), 5)
        for future in futures:
            with pytest.raises(NotConnected):
                await asyncio.wait_for(future, 5)


# -- DISCONNECT --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "words"),
    [(0x8B, "shutting down"), (0x8E, "another client uses"), (0x93, "receive maximum"), (0x95, "packet"), (0x97, "quota"),
     (0x98, "administrative"), (0x9C, "use another server"), (0x9D, "server moved"), (0x8D, "keep"), (0x00, "")],
)  # fmt: skip
async def test_a_disconnect_says_why(code: int, words: str) -> None:
    broker = BadBroker()
    async with connected(broker) as client:
        future = client.publish("a", b"x", qos=0)
        broker.say(bytes([0xE0, 1, code]))
        reason = await asyncio.wait_for(client.lost(), 5)
        assert words in reason.lower()
        assert future.done()


async def test_any_code_of_a_disconnect_ends_the_connection_with_a_reason() -> None:
    async with BadBroker() as broker:
        client = MqttClient(MqttConfig(url=broker.url))
        for code in range(256):
            await client.open()
            broker.say(bytes([0xE0, 2, code, 0]))
            assert await asyncio.wait_for(client.lost(), 5), hex(code)
        await client.close()


@pytest.mark.parametrize("code", [0x9C, 0x9D])
async def test_the_server_that_a_broker_refers_to_is_told_and_not_followed(code: int) -> None:
    """Where to send is the configuration's matter: a reference would lead credentials to anywhere."""
    reference = b"\x1c\x00\x0bother:18830"
    broker = BadBroker()
    async with connected(broker) as client:
        broker.say(bytes([0xE0, 2 + len(reference), code, len(reference)]) + reference)
        assert "other:18830" in await asyncio.wait_for(client.lost(), 5)
    refusing = BadBroker(bytes([0x20, 3 + len(reference), 0, code, len(reference)]) + reference)
    with pytest.raises(NotConnected, match="other:18830"):
        async with connected(refusing):
            pass


# -- bytes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_bytes_that_dribble_in_one_by_one_are_packets_all_the_same(version: str) -> None:
    broker = BadBroker(accept(bytes([0x21, 0, 9])) if version == "5" else ACCEPT_3, v5=version == "5")
    broker.piece = 1
    async with connected(broker, version=version, timeout="5s") as client:
        await client.subscribe("b")
        for _ in range(3):
            await works(client)


@pytest.mark.parametrize(
    "head", [b"\x30\xff\xff\xff\x7f", b"\x40\xff\xff\xff\x7f", b"\x30\x80\x80\x80\x80\x01", b"\xd0\xff\xff\xff\x7f"]
)
async def test_a_packet_that_claims_to_be_huge_is_not_waited_for(head: bytes) -> None:
    """A quarter of a gigabyte would fill the memory; five bytes of length are none (2.1.4). What we hear is small."""
    broker = BadBroker()
    async with connected(broker) as client:
        future = client.publish("a", b"x", qos=0)
        await asyncio.wait_for(future, 5)
        broker.say(head + bytes(1000))
        assert await asyncio.wait_for(client.lost(), 5)


async def test_a_broker_that_trickles_and_never_acknowledges_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes come, answers do not: that is no sign of life."""
    broker = BadBroker()
    broker.answer = lambda kind, packet: broker.usual(kind, packet) if kind == CONNECT else None
    async with connected(broker, keepalive="1s") as client:
        lost = asyncio.ensure_future(client.lost())
        broker.say(b"\x30\x7f")
        for _ in range(100):
            if lost.done():
                break
            broker.say(b"\0")
            await asyncio.sleep(0.05)
        assert "no sign of life" in await asyncio.wait_for(lost, 5)


async def test_a_message_that_nobody_asked_for_is_ignored() -> None:
    broker = BadBroker()
    async with connected(broker) as client:
        broker.say(b"\x30\x07\x00\x01z\x00xyz" * 100 + b"\x32\x09\x00\x01z\x00\x07\x00xyz")
        await works(client)


async def test_the_connect_asks_for_no_more_than_it_can_hold() -> None:
    """MQTT 5: the largest packet that the gateway takes is declared (3.1.2.11.4)."""
    broker = BadBroker()
    async with connected(broker):
        pass
    (connect,) = [packet for kind, packet in broker.heard if kind == CONNECT]
    assert b"\x27" + MOST.to_bytes(4) in body_of(connect)
