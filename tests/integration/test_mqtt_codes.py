"""The MQTT client against a broker that says what the test wants: reason codes, broken packets, hang-ups."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.core.errors import GatewayError, NotConnected, Permanent, Retryable
from gateway.sinks.mqtt.client import MqttClient
from gateway.sinks.mqtt.config import MqttConfig

ACCEPT = bytes([0x20, 3, 0, 0, 0])


class Script:
    """Answers CONNECT with `connack`, each PUBLISH with `puback(packet id)`; `send` says anything else."""

    def __init__(self, connack: bytes = ACCEPT, code: int | None = None) -> None:
        self.connack = connack
        self.code = code
        self.published = 0
        self._writer: asyncio.StreamWriter | None = None

    def puback(self, packet_id: bytes) -> bytes:
        return bytes([0x40, 2]) + packet_id if self.code is None else bytes([0x40, 3]) + packet_id + bytes([self.code])

    def send(self, data: bytes) -> None:
        assert self._writer is not None
        self._writer.write(data)

    def hang_up(self) -> None:
        assert self._writer is not None
        self._writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        try:
            while True:
                kind, length = await reader.readexactly(2)
                body = await reader.readexactly(length)
                if kind == 0x10:
                    writer.write(self.connack)
                elif kind & 0xF0 == 0x30:
                    self.published += 1
                    size = int.from_bytes(body[:2]) + 2
                    writer.write(self.puback(body[size : size + 2]))
        except (asyncio.IncompleteReadError, OSError):
            writer.close()


@asynccontextmanager
async def connected(script: Script, **settings: Any) -> AsyncIterator[MqttClient]:
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    client = MqttClient(MqttConfig(url=f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}", **settings))
    try:
        await client.open()
        yield client
    finally:
        await client.close()
        server.close()


@pytest.mark.parametrize("code", [None, 0x00, 0x10])
async def test_accepting_codes_are_success(code: int | None) -> None:
    async with connected(Script(code=code)) as client:
        assert await asyncio.wait_for(client.publish("a", b"x"), 2) is None


@pytest.mark.parametrize(
    ("code", "family"),
    [
        (0x80, Retryable),
        (0x83, Retryable),
        (0x97, Retryable),
        (0x91, Retryable),
        (0x96, Retryable),
        (0x87, Permanent),
        (0x90, Permanent),
        (0x95, Permanent),
        (0x99, Permanent),
    ],
)
async def test_refusing_codes_have_their_family_and_the_connection_stays(code: int, family: type[GatewayError]) -> None:
    script = Script(code=code)
    async with connected(script) as client:
        with pytest.raises(family, match=f"0x{code:02x}"):
            await asyncio.wait_for(client.publish("a", b"x"), 2)
        script.code = None
        await asyncio.wait_for(client.publish("a", b"x"), 2)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0x84, "mqtt.version"),
        (0x85, "mqtt.client_id"),
        (0x86, "mqtt.password"),
        (0x87, "not authorised"),
        (0x88, "server unavailable"),
        (0x8A, "banned"),
        (0x97, "quota exceeded"),
        (0x01, "mqtt.version"),
    ],
)
async def test_refused_connections_say_why(code: int, words: str) -> None:
    with pytest.raises(NotConnected, match=words):
        async with connected(Script(bytes([0x20, 3, 0, code, 0]))):
            pass


@pytest.mark.parametrize(
    ("code", "words"), [(1, "mqtt.version"), (2, "mqtt.version"), (4, "mqtt.password"), (5, "authorised")]
)
async def test_refused_connections_of_version_3_say_why(code: int, words: str) -> None:
    with pytest.raises(NotConnected, match=words):
        async with connected(Script(bytes([0x20, 2, 0, code])), version="3.1.1"):
            pass


@pytest.mark.parametrize(
    ("code", "words"), [(0x8E, "another client uses"), (0x8B, "shutting down"), (0x98, "administrative")]
)
async def test_a_disconnect_from_the_broker_says_why(code: int, words: str) -> None:
    script = Script()
    async with connected(script) as client:
        script.send(bytes([0xE0, 1, code]))
        assert words in await asyncio.wait_for(client.lost(), 2)


@pytest.mark.parametrize("junk", [b"\xf0\x00", b"\x40\x01\x00", b"\x40\x03\x00\x01\xff", b"\x32\x02\x00\x09"])
async def test_what_is_not_mqtt_ends_the_connection(junk: bytes) -> None:
    script = Script()
    async with connected(script) as client:
        script.send(junk)
        assert "not MQTT" in await asyncio.wait_for(client.lost(), 2)


async def test_a_cut_inside_a_packet_is_a_loss() -> None:
    script = Script()
    async with connected(script) as client:
        script.send(b"\x40\x02\x00")
        script.hang_up()
        assert await asyncio.wait_for(client.lost(), 2)


async def test_a_second_puback_for_the_same_message_is_ignored() -> None:
    script = Script()
    async with connected(script) as client:
        await client.publish("a", b"x")
        script.send(b"\x40\x02\x00\x01")
        script.send(b"\x40\x02\x12\x34")
        await asyncio.wait_for(client.publish("a", b"y"), 2)


async def test_what_the_connack_limits_is_kept() -> None:
    properties = bytes([0x21, 0, 2, 0x25, 0, 0x27, 0, 0, 0, 60])  # receive maximum 2, retain no, packet size 60
    script = Script(bytes([0x20, 3 + len(properties), 0, 0, len(properties)]) + properties)
    async with connected(script) as client:
        with pytest.raises(Permanent, match="at most 60"):
            await client.publish("a", bytes(60))
        futures = [client.publish("a", b"x", retain=True) for _ in range(7)]
        await asyncio.wait_for(asyncio.gather(*futures), 2)


async def test_a_broker_without_qos_1_is_refused() -> None:
    with pytest.raises(NotConnected, match="QoS 1"):
        async with connected(Script(bytes([0x20, 5, 0, 0, 2, 0x24, 0]))):
            pass
