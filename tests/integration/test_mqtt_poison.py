"""Messages that a real broker will never take: found, set aside, and nothing else is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from gateway.core.messages import Lane, Message
from gateway.core.ports.outbox import Delivery
from gateway.layouts.device.layout import DeviceLayout
from gateway.runtime.publisher import Publisher
from gateway.sinks.mqtt.client import MqttClient
from gateway.sinks.mqtt.config import MqttConfig
from tests.integration.test_mqtt_codes import Script
from tests.support.mosquitto import Mosquitto
from tests.support.mqtt_publisher import mqtt_publisher
from tests.support.network import until

FASTER = 200
LARGE = b"x" * 5_000


class FastClock:
    """Time that runs FASTER times, for the patience that is counted in minutes."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def monotonic(self) -> float:
        return self._loop.time() * FASTER

    def now_ns(self) -> int:
        return int(self.monotonic() * 1e9)

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s / FASTER)


class Outbox:
    """The publisher's side of an outbox; makes a message now and then, so that others pass."""

    def __init__(self) -> None:
        self.queue: list[Delivery] = []
        self.acked: set[int] = set()
        self.refused: dict[int, str] = {}
        self._next = 0

    def put(self, topic: str, payload: bytes = b"{}") -> None:
        self._next += 1
        message = Message(topic, "b", self._next, Lane.WINDOW, 0, 0, payload)
        self.queue.append(Delivery(self._next, message, False))

    async def take(self, limit: int) -> list[Delivery]:
        if not self.queue:
            await asyncio.sleep(0.005)
            self.put("gw/good")
        taken, self.queue = self.queue[:limit], self.queue[limit:]
        return taken

    def set_live(self, live: bool) -> None:
        pass

    def ack(self, delivery: Delivery) -> None:
        self.acked.add(delivery.id)

    def refuse(self, delivery: Delivery, reason: str) -> None:
        self.refused[delivery.id] = reason

    def release(self, deliveries: Sequence[Delivery]) -> None:
        self.queue = sorted([*deliveries, *self.queue], key=lambda delivery: delivery.id)


class Status:
    def current(self) -> tuple[str, bytes]:
        return "gw/status", b"online"

    async def changed(self) -> None:
        await asyncio.get_running_loop().create_future()

    def offline(self, reason: str) -> tuple[str, bytes]:
        return "gw/status", reason.encode()


def publisher(url: str, outbox: Outbox, version: str) -> Publisher:
    client = MqttClient(MqttConfig(url=url, version=version), client_id="gw")
    return mqtt_publisher(
        client,
        outbox,
        FastClock(),
        in_flight=20,
        ack_timeout_s=5.0 * FASTER,
        layout=DeviceLayout(),
        status=Status(),
        delays=lambda: iter([5.0] * 10_000),
    )


async def set_aside(url: str, outbox: Outbox, version: str, done: Callable[[], bool]) -> None:
    run = asyncio.create_task(publisher(url, outbox, version).run())
    try:
        await until(done, 40, f"set aside; acked {len(outbox.acked)}, refused {outbox.refused}")
        passed = len(outbox.acked)
        await until(lambda: len(outbox.acked) > passed + 50, 20, "the others go on")
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)


@pytest.fixture
async def broker(mosquitto: str, tmp_path: Path) -> AsyncIterator[Mosquitto]:
    broker = Mosquitto(mosquitto, tmp_path)
    yield broker
    broker.stop()


async def test_a_packet_for_which_mosquitto_hangs_up_is_set_aside(broker: Mosquitto) -> None:
    """In MQTT 3.1.1 the broker cannot say how much it takes: it closes the connection, again and again."""
    await broker.start("max_packet_size 2000")
    outbox = Outbox()
    for n in range(40):
        outbox.put("gw/good", LARGE if n == 15 else b"{}")
    await set_aside(broker.url, outbox, "3.1.1", lambda: bool(outbox.refused))
    assert list(outbox.refused) == [16]
    assert "sending it ended the connection" in outbox.refused[16]
    assert outbox.acked >= set(range(1, 41)) - {16}


class Quota(Script):
    """Answers with a code, or hangs up, where the payload has the word `bad`."""

    def __init__(self, code: int, *, disconnect: bool) -> None:
        super().__init__()
        self.bad, self.disconnect = code, disconnect

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        try:
            while True:
                kind, length = await reader.readexactly(2)
                body = await reader.readexactly(length)
                if kind == 0x10:
                    writer.write(self.connack)
                elif kind & 0xF0 == 0x30:
                    size = int.from_bytes(body[:2]) + 2
                    bad = b"bad" in body
                    if bad and self.disconnect:
                        writer.write(bytes([0xE0, 1, self.bad]))
                        break
                    self.code = self.bad if bad else None
                    writer.write(self.puback(body[size : size + 2]))
        except (asyncio.IncompleteReadError, OSError):
            pass
        writer.close()


@pytest.mark.parametrize("code", [0x80, 0x83, 0x97])
async def test_a_message_that_gets_the_same_code_again_and_again_is_set_aside(code: int) -> None:
    outbox = await against(Quota(code, disconnect=False))
    assert list(outbox.refused) == [3]
    assert f"0x{code:02x}" in outbox.refused[3]
    assert "while others passed" in outbox.refused[3]


@pytest.mark.parametrize(("code", "words"), [(0x95, "packet too large"), (0x99, "payload format"), (0x81, "malformed")])
async def test_a_message_for_which_the_broker_disconnects_is_set_aside(code: int, words: str) -> None:
    outbox = await against(Quota(code, disconnect=True))
    assert list(outbox.refused) == [3]
    assert words in outbox.refused[3]


async def against(script: Quota) -> Outbox:
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    outbox = Outbox()
    for payload in (b"1", b"2", b"bad", b"4", b"5"):
        outbox.put("gw/good", payload)
    try:
        url = f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await set_aside(url, outbox, "5", lambda: bool(outbox.refused))
    finally:
        server.close()
    assert outbox.acked >= {1, 2, 4, 5}
    return outbox
