"""Messages that a real broker will never take: found, set aside, and nothing else is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from gateway.core.messages import Message
from gateway.core.ports.outbox import Delivery
from gateway.layouts.device.layout import DeviceLayout
from gateway.runtime.publisher import Publisher
from gateway.sinks.mqtt.client import MqttClient
from gateway.sinks.mqtt.config import MqttConfig
from tests.integration.test_mqtt_codes import Script
from tests.support.mosquitto import Mosquitto
from tests.support.mqtt_publisher import mqtt_publisher
from tests.support.network import until
from tests.support.outbox_fake import FakeOutbox
from tests.support.status import QuietStatus

FASTER = 200
LARGE = b'{"text":"%s"}' % (b"x" * 5_000)


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


class BusyOutbox(FakeOutbox):
    """Makes a message whenever nothing waits, so that others pass."""

    async def fetch(self, limit: int) -> list[Delivery]:
        if not self.waiting:
            await asyncio.sleep(0.005)
            self.put_next(topic="gw/good", payload=b"{}")
        return await super().fetch(limit)

    @property
    def refusals(self) -> dict[int, str]:
        """Reasons by the numbers of the messages."""
        return {message.seq: reason for message, reason in self.refused}


def numbers(messages: Sequence[Message]) -> set[int]:
    return {message.seq for message in messages}


def publisher(url: str, outbox: BusyOutbox, version: str) -> Publisher:
    client = MqttClient(MqttConfig(url=url, version=version), client_id="gw")
    return mqtt_publisher(
        client,
        outbox,
        FastClock(),
        in_flight=20,
        ack_timeout_s=5.0 * FASTER,
        layout=DeviceLayout(),
        status=QuietStatus(),
        delays=lambda: iter([5.0] * 10_000),
    )


async def set_aside(url: str, outbox: BusyOutbox, version: str, done: Callable[[], bool]) -> None:
    run = asyncio.create_task(publisher(url, outbox, version).run())
    try:
        await until(done, 40, f"set aside; acked {len(outbox.acked)}, refused {outbox.refusals}")
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
    outbox = BusyOutbox()
    for n in range(40):
        outbox.put_next(topic="gw/good", payload=LARGE if n == 15 else b"{}")
    await set_aside(broker.url, outbox, "3.1.1", lambda: bool(outbox.refused))
    assert list(outbox.refusals) == [16]
    assert "sending it ended the connection" in outbox.refusals[16]
    assert numbers(outbox.acked) >= set(range(1, 41)) - {16}


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
    assert list(outbox.refusals) == [3]
    assert f"0x{code:02x}" in outbox.refusals[3]
    assert "while others passed" in outbox.refusals[3]


@pytest.mark.parametrize(("code", "words"), [(0x95, "packet too large"), (0x99, "payload format"), (0x81, "malformed")])
async def test_a_message_for_which_the_broker_disconnects_is_set_aside(code: int, words: str) -> None:
    outbox = await against(Quota(code, disconnect=True))
    assert list(outbox.refusals) == [3]
    assert words in outbox.refusals[3]


async def against(script: Quota) -> BusyOutbox:
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    outbox = BusyOutbox()
    for payload in (b"1", b"2", b"bad", b"4", b"5"):
        outbox.put_next(topic="gw/good", payload=payload)
    try:
        url = f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await set_aside(url, outbox, "5", lambda: bool(outbox.refused))
    finally:
        server.close()
    assert numbers(outbox.acked) >= {1, 2, 4, 5}
    return outbox
