"""Every shipped template against a simulator: the words that the device sends, written out by hand, become its values."""

import asyncio
import struct
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.settings.templates import SHIPPED, shipped_templates
from tests.integration.template_words import EXAMPLES
from tests.support.gateway import GatewayProcess, Subscriber, write_config
from tests.support.modbus_server import Ask, ScriptedServer
from tests.support.mosquitto import Mosquitto
from tests.support.network import free_port, until

TABLES = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
ELSEWHERE = {"plcs/s7-1500.yaml"}
"""Templates with a simulator of another kind: tests/integration/test_device_maps.py."""


class Device:
    """A device with these words and bits in its tables, all others 0. A table without any is not there (exception 1)."""

    def __init__(self, places: dict[str, str]) -> None:
        self._tables: dict[str, dict[int, int]] = {}
        for place, words in places.items():
            table, _, start = place.partition(":")
            content = self._tables.setdefault(table, {})
            content |= {int(start, 0) + at: int(word, 16) for at, word in enumerate(words.split())}

    async def __call__(self, ask: Ask, writer: asyncio.StreamWriter) -> None:
        table = self._tables.get(TABLES[ask.function])
        if table is None:
            writer.write(ask.exception(1))
            return
        found = [table.get(at, 0) for at in range(ask.start, ask.start + ask.count)]
        if ask.function in (1, 2):
            payload = sum(bit << at for at, bit in enumerate(found)).to_bytes((ask.count + 7) // 8, "little")
        else:
            payload = struct.pack(f">{ask.count}H", *found)
        writer.write(ask.frame(bytes((ask.function, len(payload))) + payload))


def device_name(template: str) -> str:
    return Path(template).stem


def test_every_template_has_an_example_and_a_source() -> None:
    assert {name for name, _ in shipped_templates()} == EXAMPLES.keys() | ELSEWHERE
    assert len(EXAMPLES) >= 20
    for name, about in shipped_templates():
        text = (SHIPPED / name).read_text()
        assert about.endswith(")") or len(about) > 10, name
        assert f"template: {name}" in text, name
        assert "# Source: " in text, name


async def test_the_words_of_every_device_become_its_values(mosquitto: str, tmp_path: Path) -> None:
    """One gateway with a device for each template; what is published of it is compared with what the words mean."""
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(mosquitto, tmp_path / "broker")
    await broker.start("max_queued_messages 100000")
    rows: dict[str, dict[str, Any]] = {device_name(template): {} for template in EXAMPLES}
    seen: dict[str, int] = {}
    async with AsyncExitStack() as stack:
        files = {}
        for template, (keys, places, _) in EXAMPLES.items():
            port = free_port()
            await stack.enter_async_context(ScriptedServer(port, Device(places)))
            text = f"template: {template}\nurl: tcp://127.0.0.1:{port}\ninterval: 1s\n{keys}"
            files[f"{device_name(template)}.yaml"] = text
        config = write_config(tmp_path, broker.url, [], root="publish:\n  windows: all\n", files=files)
        with Subscriber(broker.port) as subscriber, GatewayProcess(config) as gateway:

            def is_there(row: dict[str, Any] | None) -> bool:
                return row is not None and row["q"] == "good"

            def complete() -> bool:
                for kind in ("window", "value"):
                    messages = subscriber.of(f"/{kind}")
                    for message in messages[seen.get(kind, 0) :]:
                        device = rows[message.topic.split("/")[-2]]
                        for tag, row in message.payload["tags"].items():
                            device[tag] = device.get(tag, {}) | row  # a number with a label comes in both kinds
                    seen[kind] = len(messages)
                return all(is_there(rows[device_name(t)].get(tag)) for t, one in EXAMPLES.items() for tag in one[2])

            with suppress(AssertionError):  # what is missing is compared below
                await until(complete, 60, "good values of every template")
            assert await asyncio.to_thread(gateway.terminate) == 0
    broker.stop()
    wrong = []
    for template, (_, _, expected) in EXAMPLES.items():
        for tag, value in expected.items():
            row = rows[device_name(template)].get(tag, {})
            found = row.get("value", row.get("last"))
            if row.get("q") != "good" or found != (pytest.approx(value) if isinstance(value, float) else value):
                wrong.append(f"{template}: {tag} is {row}, expected {value}")
    assert not wrong, "\n".join(wrong)
