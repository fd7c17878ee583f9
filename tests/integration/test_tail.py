"""`gateway tail` as a user runs it, against a real mosquitto."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import orjson
import pytest

from gateway.sinks.mqtt.client import MqttClient
from gateway.sinks.mqtt.config import MqttConfig
from tests.support.mosquitto import Mosquitto, password_lines
from tests.support.network import free_port

TOPIC = "plant/v1/gw/press/window"


@pytest.fixture
async def broker(mosquitto: str, tmp_path: Path) -> AsyncIterator[Mosquitto]:
    broker = Mosquitto(mosquitto, tmp_path)
    await broker.start()
    yield broker
    broker.stop()


class Tail:
    """A running `gateway tail`."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.text = ""

    @classmethod
    async def start(cls, *options: str, **environ: str) -> "Tail":
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "tail", *options, stdout=PIPE, stderr=PIPE, env=os.environ | environ
        )
        return cls(process)

    async def says(self, words: str) -> None:
        """Wait until standard output has held these words."""
        async with asyncio.timeout(20):
            while words not in self.text:
                line = (await self._process.stdout.readline()).decode()
                assert line, f"ended without saying {words!r}: {self.text}"
                self.text += line

    async def end(self, number: signal.Signals | None = None) -> int:
        """Send the signal, if one is given, and return the exit code."""
        if number is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)
        async with asyncio.timeout(20):
            out, self.errors = await self._process.communicate()
        self.text += out.decode()
        assert b"Traceback" not in self.errors
        return self._process.returncode


async def publish(broker: Mosquitto, *numbers: int) -> None:
    client = MqttClient(MqttConfig(url=broker.url))
    await client.open()
    for seq in numbers:
        body = {"boot": "boot1", "seq": seq, "ts": seq * 1000, "dur": 1000, "tags": {"t": {"last": seq, "q": "good"}}}
        await client.publish(TOPIC, orjson.dumps(body))
    await client.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_with_the_proof(broker, number):
    tail = await Tail.start("--broker", broker.url)
    await tail.says("Connected to")
    await publish(broker, 1, 2, 3)
    await tail.says("t 3")
    assert await tail.end(number) == 0
    assert "Complete: 3 messages" in tail.text
    assert "\x1b" not in tail.text


async def test_a_gap_ends_with_1(broker):
    tail = await Tail.start("--broker", broker.url)
    await tail.says("Connected to")
    await publish(broker, 1, 4)
    await tail.says("t 4")
    assert await tail.end(signal.SIGTERM) == 1
    assert "2 sequence numbers missing" in tail.text


async def test_it_comes_back_after_the_broker_and_says_what_it_missed(broker):
    tail = await Tail.start("--broker", broker.url)
    await tail.says("Connected to")
    await publish(broker, 1)
    await tail.says("t 1")
    broker.kill()
    await tail.says("Connection lost")
    await broker.start()
    await tail.says("Connected again")
    await publish(broker, 3)
    await tail.says("t 3")
    assert await tail.end(signal.SIGTERM) == 1
    assert "This subscriber itself was disconnected once" in tail.text


async def test_json_is_one_object_per_line_and_the_proof_on_standard_error(broker):
    tail = await Tail.start("--broker", broker.url, "--json", "--topic", "#")
    while True:  # there is no word of greeting in JSON, so publish until something comes
        await publish(broker, 1)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await tail.says("seq")
                break
    await tail.end(signal.SIGTERM)
    objects = [orjson.loads(line) for line in tail.text.splitlines()]
    assert {o["topic"] for o in objects} == {TOPIC}
    assert b"Received: " in tail.errors


async def test_it_ends_by_itself_and_nothing_received_proves_nothing(broker):
    tail = await Tail.start("--broker", broker.url, "--seconds", "0.5")
    assert await tail.end() == 1
    assert "Nothing to prove" in tail.text


async def test_the_password_comes_from_the_environment(broker, mosquitto, tmp_path):
    broker.stop()
    await broker.start(*password_lines(mosquitto, tmp_path, "reader", "s3cret"))
    options = ("--broker", broker.url, "--username", "reader")
    tail = await Tail.start(*options, GATEWAY_MQTT_PASSWORD="s3cret")
    await tail.says("Connected to")
    await tail.end(signal.SIGTERM)
    tail = await Tail.start(*options, GATEWAY_MQTT_PASSWORD="wrong")
    assert await tail.end() == 2
    assert b"refuses" in tail.errors


async def test_no_broker_is_2_and_a_sentence():
    tail = await Tail.start("--broker", f"mqtt://127.0.0.1:{free_port()}")
    assert await tail.end() == 2
    assert len(tail.errors.splitlines()) == 1


@pytest.mark.parametrize("options", [("--broker", "ftp://x"), ("--root", "a//b"), ("--mqtt", "4"), ("--seconds", "-1")])
async def test_a_wrong_option_is_2(options):
    tail = await Tail.start(*options)
    assert await tail.end() == 2


async def test_a_wrong_filter_is_2(broker):
    tail = await Tail.start("--broker", broker.url, "--topic", "a/#/b")
    assert await tail.end() == 2
    assert b"topic filter" in tail.errors


async def test_a_full_disk_behind_it_is_said_plainly(broker):
    """`gateway tail > file` on a full disk: one sentence and code 1."""
    with Path("/dev/full").open("wb") as full:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "tail", "--broker", broker.url, stdout=full, stderr=PIPE
        )
        async with asyncio.timeout(20):
            _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.decode().startswith("Cannot write the output: No space left")
    assert len(errors.splitlines()) == 1
