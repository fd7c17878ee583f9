"""Raw on demand with the whole gateway and a real broker: MQTT and API give the same answer, and nobody is kept from it."""

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any

import aiohttp
import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.support.line import EVERY_WINDOW, Line, running_line
from tests.support.network import free_port, until

TOPIC, ANSWERS = "plant/v1/test/raw/request", "plant/v1/test/raw/answer"


class Asker:
    """A foreign client (paho's own threads) that asks and keeps what is answered."""

    def __init__(self, port: int, version: str) -> None:
        self.v5 = version == "5"
        self.answers: list[tuple[dict[str, Any], paho.MQTTMessage]] = []
        ready = threading.Event()
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, "asker", protocol=paho.MQTTv5 if self.v5 else paho.MQTTv311
        )
        self._client.max_queued_messages_set(0)
        self._client.on_connect = lambda client, *_: client.subscribe(f"{ANSWERS}/#", qos=1)
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_message = lambda _c, _u, one: self.answers.append((json.loads(one.payload), one))
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert ready.wait(60)

    def send(self, payload: bytes, **properties: Any) -> None:
        found = Properties(PacketTypes.PUBLISH)
        for name, value in properties.items():
            setattr(found, name, value)
        self._client.publish(TOPIC, payload, 1, properties=found if self.v5 else None)

    def ask(self, name: str, **fields: Any) -> None:
        """Ask for an answer on a topic of its own."""
        topic = f"{ANSWERS}/{name}"
        if self.v5:
            self.send(
                json.dumps(fields).encode(), ResponseTopic=topic, CorrelationData=name.encode(), MessageExpiryInterval=60
            )
        else:
            self.send(json.dumps({**fields, "response_topic": topic, "correlation": name, "expiry_s": 60}).encode())

    def parts(self, name: str) -> list[tuple[dict[str, Any], paho.MQTTMessage]]:
        return [(body, one) for body, one in self.answers if one.topic == f"{ANSWERS}/{name}"]

    async def answer(self, name: str) -> list[tuple[dict[str, Any], paho.MQTTMessage]]:
        await until(lambda: any("last" in body for body, _ in self.parts(name)), 60, f"the answer {name}")
        return self.parts(name)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def _rows(parts: list[dict[str, Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for part in parts:
        for name, columns in part.get("tags", {}).items():
            found.setdefault(name, []).extend(zip(columns["ts"], columns["value"], columns["q"], strict=True))
    return found


def _is_unbroken(line: Line) -> bool:
    """Whether each window of the one device has come."""
    numbers = [one.payload["seq"] for one in line.windows()]
    return numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_the_past_is_answered_over_mqtt_as_by_the_api(tmp_path: Path, mosquitto: str, version: str) -> None:
    port = free_port()
    root = f"{EVERY_WINDOW}web:\n  listen: 127.0.0.1:{port}\n"
    environ = {"GATEWAY__MQTT__REQUESTS__ENABLED": "true", "GATEWAY__MQTT__REQUESTS__PER_SECOND": "100"}
    environ |= {"GATEWAY__MQTT__VERSION": version, "GATEWAY__MQTT__REQUESTS__WAITING": "5"}
    async with running_line(tmp_path, mosquitto, root=root, **environ) as line, aiohttp.ClientSession() as http:
        await line.more_windows(4)
        asker = await asyncio.to_thread(Asker, line.broker.port, version)
        try:
            now_ms = int(time.time() * 1000)
            span = {"from": now_ms - 60_000, "to": now_ms - 1_500}
            asker.ask("one", tags=["press/t[01]", "press/t3", "nobody/*"], **span)
            found = await asker.answer("one")
            query = [("tags", "press/t[01]"), ("tags", "press/t3"), ("tags", "nobody/*"), *span.items()]
            async with http.get(f"http://127.0.0.1:{port}/api/v1/raw", params=query) as response:
                assert response.status == 200
                by_api = [json.loads(part) for part in (await response.text()).splitlines()]
            bodies = [body for body, _ in found]
            assert _rows(bodies) == _rows(by_api)
            assert set(_rows(bodies)) == {"press/t0", "press/t1", "press/t3"}
            assert bodies[-1]["unknown"] == ["nobody/*"]
            assert bodies[-1]["missing"] == by_api[-1]["missing"] != []
            assert bodies[-1]["all_rows"] == sum(map(len, _rows(bodies).values())) > 5
            if version == "5":
                assert {one.properties.CorrelationData for _, one in found} == {b"one"}
            else:
                assert {body["correlation"] for body in bodies} == {"one"}
            # what is wrong is said; nothing is published elsewhere
            asker.ask("bad", tags="press/*")
            ((bad, _),) = await asker.answer("bad")
            assert bad["error"] == "from is missing"
            asker.send(
                json.dumps({"tags": "press/*", "from": "-1min", "response_topic": "plant/v1/test/press/window"}).encode()
            )
            await until(lambda: any("not the gateway's own" in body.get("error", "") for body, _ in asker.answers), 60)
            async with http.get(f"http://127.0.0.1:{port}/api/v1/raw?from=-1min") as response:
                assert response.status == 400
            # a flood, large and small: windows go on, the connection stays, and afterwards questions are answered again
            for number in range(1_000):
                asker.send(b"[" * 1000 if number % 7 else json.dumps({"tags": "press/*", "from": "-1h"}).encode())
            asker.send(b"x" * 3_000_000)
            await line.more_windows(3)
            asked_s = 0.0

            def is_answered() -> bool:
                nonlocal asked_s
                if time.monotonic() - asked_s > 1:  # too many may wait still, and not every refusal is published
                    asker.ask("late", tags="press/t0", **{"from": "-10s"})
                    asked_s = time.monotonic()
                return any(body.get("all_rows") for body, _ in asker.parts("late"))

            await until(is_answered, 120, "an answer after the flood")
            assert "the broker sends" not in line.gateway.log(), "a large request has ended the connection"
            assert _is_unbroken(line)
            assert not line.subscriber.faults
        finally:
            asker.close()
