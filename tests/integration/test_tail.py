"""`gateway tail` as a user runs it, against a real mosquitto."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

import orjson
import pytest

from gateway.core.messages import Lane, Message
from gateway.encoding.topics import Topics
from gateway.layouts.sparkplug.wire import DataType, new_payload
from gateway.settings import load
from gateway.sinks.mqtt.client import MqttClient
from gateway.sinks.mqtt.config import MqttConfig
from tests.support.layout import layout_for
from tests.support.mosquitto import Mosquitto, password_lines
from tests.support.network import free_port, until
from tests.support.proxy import Proxy
from tests.unit.settings.folders import PRESS, ROOT, write

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

    async def says(self, words: str, *, after: str = "") -> None:
        """Wait until standard output has held these words, behind the first place of others."""
        try:
            async with asyncio.timeout(60):
                while after not in self.text or words not in self.text[self.text.index(after) :]:
                    line = (await self._process.stdout.readline()).decode()
                    assert line, f"ended without saying {words!r}: {self.text}"
                    self.text += line
        except TimeoutError:
            raise AssertionError(f"never said {words!r} behind {after!r}: {self.text[-3000:]}") from None

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
    """A broker that has forgotten the session: what was sent meanwhile is neither called lost nor complete."""
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
    assert await tail.end(signal.SIGTERM) == 3
    assert "Complete except while tail itself was disconnected: 1 sequence number unproven." in tail.text
    assert "What was sent meanwhile is missing here." in tail.text


async def through(proxy: Proxy, broker: Mosquitto, tail: Tail, numbers: Sequence[int]) -> None:
    """Cut the connection of `tail`, publish meanwhile, let it come back."""
    await tail.says("Connected to")
    await publish(broker, 1)
    await tail.says("t 1")
    proxy.refuse = True
    proxy.cut()
    await tail.says("Connection lost")
    await publish(broker, *numbers)
    proxy.refuse = False
    await tail.says("Connected again")
    await publish(broker, numbers[-1] + 1)
    await tail.says(f"t {numbers[-1] + 1}")


async def test_the_broker_keeps_what_comes_while_tail_is_away(broker):
    """The numbers prove it: exit code 0."""
    async with Proxy(broker.port) as proxy:
        tail = await Tail.start("--broker", f"mqtt://127.0.0.1:{proxy.port}")
        await through(proxy, broker, tail, range(2, 40))
        assert await tail.end(signal.SIGTERM) == 0, tail.text
    assert "Complete: 40 messages on 1 topic" in tail.text
    assert "the broker kept what came meanwhile" in tail.text


async def test_what_the_broker_s_queue_could_not_hold_is_unproven(broker):
    broker.stop()
    await broker.start("max_queued_messages 5")
    async with Proxy(broker.port) as proxy:
        tail = await Tail.start("--broker", f"mqtt://127.0.0.1:{proxy.port}")
        await through(proxy, broker, tail, range(2, 40))
        assert await tail.end(signal.SIGTERM) == 3, tail.text
    unproven = int(re.search(r"disconnected: (\d+) sequence numbers unproven", tail.text)[1])
    assert 20 <= unproven <= 36


async def test_mqtt_3_has_no_end_of_sessions_so_none_is_kept(broker):
    async with Proxy(broker.port) as proxy:
        tail = await Tail.start("--broker", f"mqtt://127.0.0.1:{proxy.port}", "--mqtt", "3.1.1")
        await through(proxy, broker, tail, range(2, 5))
        assert await tail.end(signal.SIGTERM) == 3, tail.text
    assert "disconnected: 3 sequence numbers unproven" in tail.text


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_nothing_is_left_behind_at_the_broker(broker, version):
    tail = await Tail.start("--broker", broker.url, "--client-id", "watcher", "--mqtt", version)
    await tail.says("Connected to")
    await tail.end(signal.SIGTERM)
    client = MqttClient(MqttConfig(url=broker.url, client_id="watcher", clean_start=False, version=version))
    await client.open()
    assert not client.resumed
    await client.close()


LAYOUTS = {
    "device": "publish: {format: json+zstd}",
    "tag": "publish: {layout: tag, topic: 'acme/{hall}/{device}/{tag}', topic_fields: {hall: b/h2}, format: cbor}",
    "sparkplug": "publish: {layout: sparkplug}",
}


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_a_configuration_says_where_and_what(broker, tmp_path, layout):
    """Broker, topics, units and first tags come from it; what others publish beside it is no fault."""
    press = PRESS + "tags:\n  - {name: oil_temp, address: 'holding:0', unit: °C}\n"
    files = {"gateway.yaml": f"{ROOT}mqtt: {{url: '{broker.url}', client_id: me}}\n{LAYOUTS[layout]}\n"}
    folder = write(tmp_path / "config", files | {"devices/press.yaml": press.replace("tag_file: press.csv\n", "")})
    settings = load(folder)
    own = MqttClient(settings.root.mqtt)  # the gateway's own connection, with its client id
    await own.open()
    tail = await Tail.start("--config", str(folder))
    await tail.says("Connected to")
    number = settings.table.devices.index("press")
    topics = Topics.of("plant", "press-1", settings.table.devices)
    if layout == "sparkplug":
        node = new_payload(timestamp=1000, seq=0)
        node.metrics.add(name="oil_temp", alias=1, timestamp=1000, datatype=DataType.DOUBLE, double_value=61.5)
        await own.publish("spBv1.0/plant/NBIRTH/press-1", node.SerializeToString())
        node.seq = 1
        await own.publish("spBv1.0/plant/DDATA/press-1/press", node.SerializeToString())
    else:
        row = {
            "n": 1,
            "good": 1,
            "min": 61.5,
            "max": 61.5,
            "mean": 61.5,
            "std": 0.0,
            "first": 61.5,
            "last": 61.5,
            "q": "good",
        }
        body = {"boot": "b", "seq": 1, "ts": 1000, "dur": 1000, "hist": False, "tags": {"oil_temp": row}}
        message = Message(topics.window(number), "b", 1, Lane.WINDOW, 1000, 2000, orjson.dumps(body))
        chosen = layout_for(settings.root.publish, settings.publishing, topics)
        for packet in chosen.packets(message, hist=False, most_bytes=2**28):
            await own.publish(packet.topic, packet.payload)
        await own.publish("acme/b/h2/press/other/deeper/still", b"of somebody else")
    await tail.says("oil_temp 61.5 °C")
    assert await tail.end(signal.SIGTERM) == 0, tail.text
    assert "MALFORMED" not in tail.text
    assert ("1 message of others" in tail.text) is (layout == "tag")
    await own.publish("x", b"it was never thrown out")
    await own.close()


async def test_a_configuration_that_cannot_be_used_is_2(tmp_path):
    tail = await Tail.start("--config", str(write(tmp_path, {"gateway.yaml": "nmae: x\n"})))
    assert await tail.end() == 2
    assert b"nmae: is not a known key; expected name?" in tail.errors


async def test_what_the_broker_forbids_costs_that_alone(broker, tmp_path):
    """An access list that hides Sparkplug's topics does not hide the others."""
    (tmp_path / "acl").write_text("topic readwrite plant/#\n")
    broker.stop()
    await broker.start(f"acl_file {tmp_path / 'acl'}")
    tail = await Tail.start("--broker", broker.url)
    await tail.says("Connected to")
    await publish(broker, 1)
    await tail.says("t 1")
    assert await tail.end(signal.SIGTERM) == 0


async def test_rates_alone_without_a_terminal_print_the_proof(broker):
    tail = await Tail.start("--broker", broker.url, "--rates")
    await tail.says("Connected to")
    await publish(broker, 1, 2)
    await until(lambda: broker.log().count("Received PUBACK from gateway-tail-") == 2, 20, "both have arrived")
    await tail.end(signal.SIGTERM)
    assert "Complete: 2 messages" in tail.text
    assert "t 1" not in tail.text


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
