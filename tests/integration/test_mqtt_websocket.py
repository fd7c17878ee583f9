"""MQTT over WebSocket: against aedes on npm's ws, and through a relay to mosquitto that frames as it likes."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from websockets.asyncio.server import ServerConnection, serve

from gateway.core.errors import NotConnected
from gateway.sinks.mqtt.client import MqttClient
from gateway.sinks.mqtt.config import MqttConfig
from gateway.sinks.mqtt.types import ReceivedMessage, Will
from tests.conftest import NODE
from tests.support.absent import NODE_PACKAGES, absent
from tests.support.mosquitto import Authority, Mosquitto
from tests.support.network import free_port, until
from tests.support.proxy import Proxy

VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])


class AedesBroker:
    """A running tests/node/mqtt_broker.mjs."""

    def __init__(self, folder: Path, *files: Path) -> None:
        self.port = free_port()
        self.log_path = folder / "aedes.log"
        with self.log_path.open("wb") as log:
            command = ["node", NODE / "mqtt_broker.mjs", str(self.port), *map(str, files)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    @property
    def lines(self) -> list[str]:
        return self.log_path.read_text().splitlines()

    async def ready(self) -> "AedesBroker":
        await until(lambda: "listening" in self.lines or self.process.poll() is not None, 20, "aedes listens")
        assert self.process.poll() is None, self.lines
        return self


@pytest.fixture(scope="session")
def aedes_installed() -> None:
    """Absent: skipped at home, an error in CI."""
    found = (
        shutil.which("node")
        and not subprocess.run(
            ["node", "--input-type=module", "-e", "import 'aedes'; import 'ws'"], cwd=NODE, capture_output=True, check=False
        ).returncode
    )
    if not found:
        absent(NODE_PACKAGES)


@pytest.fixture
def aedes(aedes_installed: None, tmp_path: Path) -> Iterator[Callable[..., AedesBroker]]:
    started: list[AedesBroker] = []

    def start(*files: Path) -> AedesBroker:
        started.append(AedesBroker(tmp_path, *files))
        return started[-1]

    yield start
    for broker in started:
        broker.process.kill()
        broker.process.wait()


async def opened(url: str, **settings: Any) -> MqttClient:
    client = MqttClient(MqttConfig(url=url, **settings), client_id="gw")
    await client.open()
    return client


async def next_of(client: MqttClient) -> ReceivedMessage:
    return await asyncio.wait_for(client.receive(), 5)


async def refusal(url: str, **settings: Any) -> str:
    with pytest.raises(NotConnected) as caught:
        await opened(url, **settings)
    return str(caught.value)


async def test_large_messages_go_both_ways_while_the_broker_pings(aedes: Callable[..., AedesBroker]) -> None:
    """ws hangs up at an answer without mask, and at one that lands inside another frame."""
    broker = await aedes().ready()
    client = await opened(f"ws://127.0.0.1:{broker.port}", version="3.1.1")
    await client.subscribe("a")
    payload = os.urandom(1_000_000)
    for _ in range(5):
        await asyncio.wait_for(asyncio.gather(*(client.publish("a", payload) for _ in range(4))), 20)
        assert [(await next_of(client)).payload == payload for _ in range(4)] == [True] * 4
    await until(lambda: broker.lines.count("pong") >= 3, what="answers to pings")
    await asyncio.wait_for(client.publish("a", b"still here"), 5)
    assert (await next_of(client)).payload == b"still here"
    assert not any(line.startswith("closed") for line in broker.lines), "one connection all the time"
    await client.close()
    await until(lambda: any(line.startswith("closed") for line in broker.lines), what="the end")


async def test_websocket_with_tls(aedes: Callable[..., AedesBroker], tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    broker = await aedes(*authority.issue("127.0.0.1")).ready()
    url = f"wss://127.0.0.1:{broker.port}/mqtt"
    client = await opened(url, version="3.1.1", tls={"ca": authority.certificate})
    await client.subscribe("a")
    payload = os.urandom(200_000)
    await asyncio.wait_for(asyncio.gather(*(client.publish("a", payload) for _ in range(30))), 20)
    assert all([(await next_of(client)).payload == payload for _ in range(30)])
    await client.close()
    assert "not trusted: set mqtt.tls.ca" in await refusal(url)


async def test_a_wrong_path_or_port_says_so(aedes: Callable[..., AedesBroker], mosquitto: str, tmp_path: Path) -> None:
    broker = await aedes().ready()
    assert "HTTP 400 instead of a WebSocket: is the path right?" in await refusal(f"ws://127.0.0.1:{broker.port}/other")
    plain = Mosquitto(mosquitto, tmp_path)
    await plain.start()
    try:
        assert "port" in await refusal(f"ws://127.0.0.1:{plain.port}")
    finally:
        plain.stop()


Framing = Callable[[ServerConnection, asyncio.StreamReader], Awaitable[None]]


async def as_it_comes(client: ServerConnection, broker: asyncio.StreamReader) -> None:
    while data := await broker.read(65_536):
        await client.send(data)


async def byte_by_byte(client: ServerConnection, broker: asyncio.StreamReader) -> None:
    while data := await broker.read(65_536):
        for at in range(len(data)):
            await client.send(data[at : at + 1])


async def in_fragments(client: ServerConnection, broker: asyncio.StreamReader) -> None:
    """One message of many frames, with a few pings between them."""
    while data := await broker.read(65_536):

        async def parts(data: bytes = data) -> AsyncIterator[bytes]:
            for at in range(0, len(data), 3):
                if at % 150 == 0:
                    await client.ping()
                yield data[at : at + 3]

        await client.send(parts())


async def many_packets_in_one_frame(client: ServerConnection, broker: asyncio.StreamReader) -> None:
    while data := await broker.read(65_536):
        await asyncio.sleep(0.05)
        more = await broker.read(65_536) if broker._buffer else b""  # type: ignore[attr-defined]  # what came meanwhile
        await client.send(data + more)


@asynccontextmanager
async def relay(port: int, framing: Framing) -> AsyncIterator[str]:
    """A WebSocket server in front of a broker."""

    async def handle(client: ServerConnection) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        back = asyncio.create_task(framing(client, reader))
        try:
            async for message in client:
                assert isinstance(message, bytes)
                writer.write(message)
        finally:
            back.cancel()
            writer.close()

    async with serve(handle, "127.0.0.1", 0, subprotocols=["mqtt"], max_size=None, ping_interval=0.2) as server:  # type: ignore[list-item]
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/mqtt"


@pytest.fixture
async def broker(mosquitto: str, tmp_path: Path) -> AsyncIterator[Mosquitto]:
    broker = Mosquitto(mosquitto, tmp_path)
    await broker.start()
    yield broker
    broker.stop()


@VERSIONS
@pytest.mark.parametrize("framing", [as_it_comes, byte_by_byte, in_fragments, many_packets_in_one_frame])
async def test_frames_have_nothing_to_do_with_packets(broker: Mosquitto, framing: Framing, version: str) -> None:
    """Acknowledgements that share a frame all count at once: nothing else comes that would wake the reader."""
    async with relay(broker.port, framing) as url:
        client = await opened(url, version=version, keepalive="60s")
        await client.subscribe("a")
        payloads = [os.urandom(500) for _ in range(100)]
        await asyncio.wait_for(asyncio.gather(*(client.publish("a", payload) for payload in payloads)), 10)
        assert [(await next_of(client)).payload for _ in payloads] == payloads
        await client.close()


async def test_the_end_of_a_websocket_is_a_loss_and_the_will_is_sent(broker: Mosquitto) -> None:
    async with relay(broker.port, as_it_comes) as url:
        watcher = await opened(f"mqtt://127.0.0.1:{broker.port}")
        await watcher.subscribe("w")
        async with Proxy(int(url.rsplit(":", 1)[1].split("/")[0])) as proxy:
            client = MqttClient(MqttConfig(url=f"ws://127.0.0.1:{proxy.port}"), client_id="x", will=Will("w", b"offline"))
            await client.open()
            proxy.cut()
            assert await asyncio.wait_for(client.lost(), 5)
            assert (await next_of(watcher)).payload == b"offline"
            await client.open()
            await client.close(abort=True)
            assert (await next_of(watcher)).payload == b"offline"
        polite = MqttClient(MqttConfig(url=url), client_id="polite", will=Will("w", b"offline"))
        await polite.open()
        await polite.close()
        await until(lambda: "Received DISCONNECT from polite" in broker.log(), what="its DISCONNECT")
        await watcher.publish("w", b"nothing came before this")
        assert (await next_of(watcher)).payload == b"nothing came before this"
        await watcher.close()


async def test_a_text_frame_ends_the_connection(broker: Mosquitto) -> None:
    async def text(client: ServerConnection, reader: asyncio.StreamReader) -> None:
        await client.send(await reader.read(100))
        await client.send("hello")

    async with relay(broker.port, text) as url:
        client = await opened(url)
        assert "text frames" in await asyncio.wait_for(client.lost(), 5)


NO_WEBSOCKET = "what came is not WebSocket"
"""The reason; what the library found is in the log."""


@pytest.mark.parametrize(
    ("junk", "words"),
    [
        (b"\x83\x00", NO_WEBSOCKET),
        (b"\xf2\x00", NO_WEBSOCKET),
        (b"\x82\x81abcdx", NO_WEBSOCKET),
        (b"\x09\x00", NO_WEBSOCKET),
        (b"\x88\x02\x03\xe8", "closed the"),
    ],
)
async def test_what_is_no_websocket_ends_the_connection_and_nothing_else(junk: bytes, words: str) -> None:
    """Also with a message to send in the same moment: no error reaches the event loop."""

    async def handle(client: ServerConnection) -> None:
        await client.recv()
        await client.send(bytes([0x20, 3, 0, 0, 0]))
        client.transport.write(junk)
        await client.wait_closed()

    errors: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: errors.append(context))
    async with serve(handle, "127.0.0.1", 0, subprotocols=["mqtt"]) as server:  # type: ignore[list-item]
        client = await opened(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/mqtt")
        futures = [client.publish("a", b"x") for _ in range(3)]
        assert words in await asyncio.wait_for(client.lost(), 5)
        assert all(isinstance(future.exception(), NotConnected) for future in futures)
        await client.close()
    assert not errors


async def test_a_half_open_websocket_is_noticed(broker: Mosquitto) -> None:
    async with relay(broker.port, as_it_comes) as url, Proxy(int(url.rsplit(":", 1)[1].split("/")[0])) as proxy:
        client = await opened(f"ws://127.0.0.1:{proxy.port}", keepalive="1s")
        await client.publish("a", b"x")
        proxy.stall()
        for _ in range(50):
            client.publish("a", bytes(100_000))
        assert "no sign of life" in await asyncio.wait_for(client.lost(), 5)
        await client.close()


def test_it_runs_on_uvloop(mosquitto: str, tmp_path: Path) -> None:
    async def main() -> None:
        broker = Mosquitto(mosquitto, tmp_path)
        await broker.start()
        try:
            async with relay(broker.port, as_it_comes) as url:
                client = await opened(url)
                await client.subscribe("a")
                await asyncio.wait_for(asyncio.gather(*(client.publish("a", bytes(100_000)) for _ in range(50))), 10)
                for _ in range(50):
                    await next_of(client)
                await client.close()
        finally:
            broker.stop()

    uvloop.run(main())
