"""Requests over MQTT: what is taken, where answers go, and what nobody can make the gateway do."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.core.errors import Permanent
from gateway.sinks.mqtt.request_config import MqttRequests
from gateway.sinks.mqtt.request_desk import RequestDesk
from gateway.sinks.mqtt.request_properties import read_properties
from gateway.sinks.mqtt.types import ReceivedMessage
from tests.support.clock import ManualClock, settle
from tests.support.mqtt_client import FakeMqttClient, Published

TOPIC, ANSWERS = "plant/v1/gw/raw/request", "plant/v1/gw/raw/answer"


class FakePast:
    """Answers with `count` parts, whatever is asked."""

    topic, answer_topic = TOPIC, ANSWERS

    def __init__(self, count: int = 3) -> None:
        self.count = count
        self.asked: list[bytes] = []
        self.closed = 0

    async def answer(self, document: bytes, most_bytes: int) -> AsyncIterator[bytes]:
        self.asked.append(document)
        try:
            for number in range(self.count):
                yield b'{"number":%d}' % number
        finally:
            self.closed += 1

    def refusal(self, document: bytes, error: str, expected: str = "") -> bytes:
        return json.dumps({"error": error, "expected": expected}).encode()


class Bench:
    def __init__(self, past: FakePast | None = None, **config: Any) -> None:
        self.clock, self.client, self.past = ManualClock(), FakeMqttClient(), past or FakePast()
        self.desk = RequestDesk(self.client, self.past, MqttRequests(**config), self.clock)  # type: ignore[arg-type]
        self._serving: asyncio.Task[Any] | None = None

    async def serve(self) -> None:
        await self.client.open()
        self._serving = asyncio.ensure_future(self.desk.serve(listens=False))
        await settle()

    async def ask(self, document: Any = None, properties: bytes = b"", *, kept: bool = False) -> None:
        payload = document if isinstance(document, bytes) else json.dumps(document or {}).encode()
        assert self.desk.take(ReceivedMessage(TOPIC, payload, 1, kept, False, properties))
        await settle()

    async def run(self, for_s: float = 60.0) -> list[Published]:
        for _ in range(int(for_s * 10)):
            await self.clock.advance(0.1)
        return self.client.published

    async def close(self) -> None:
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.wait([self._serving])


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    await bench.serve()
    yield bench
    await bench.close()


def text(kind: int, value: bytes) -> bytes:
    return bytes((kind,)) + len(value).to_bytes(2) + value


def test_properties_of_a_request() -> None:
    user = b"\x26" + text(0, b"a")[1:] + text(0, b"b")[1:]
    found = read_properties(
        b"\x01\x01" + user + text(8, b"r/t") + text(9, b"\x00\xff") + b"\x02\x00\x00\x00\x1e\x0b\x80\x01"
    )
    assert (found.response_topic, found.correlation, found.expiry_s) == ("r/t", b"\x00\xff", 30)
    assert read_properties(b"").response_topic is None
    for broken in (b"\x08\x00", b"\x08\x00\x05ab", b"\x99", b"\x02\x00", b"\x08\x00\x01\xff", b"\x0b\x80"):
        with pytest.raises(ValueError, match=r"propert|topic"):
            read_properties(broken)


async def test_the_answer_goes_where_it_is_wanted_with_its_correlation(bench: Bench) -> None:
    await bench.ask({}, text(8, f"{ANSWERS}/me".encode()) + text(9, b"\x00\x01") + b"\x02\x00\x00\x00\x1e")
    found = await bench.run(5)
    assert [one.topic for one in found] == [f"{ANSWERS}/me"] * 3
    assert {one.properties.correlation for one in found} == {b"\x00\x01"}
    assert found[0].expiry_s == 30
    assert not found[0].retain
    assert bench.desk.counters["requests_answered"] == 1
    assert bench.past.closed == 1


async def test_without_properties_the_document_says_where(bench: Bench) -> None:
    await bench.ask({"response_topic": f"{ANSWERS}/you"})
    await bench.ask({})
    assert [one.topic for one in await bench.run(5)] == [f"{ANSWERS}/you"] * 3 + [ANSWERS] * 3


@pytest.mark.parametrize(
    "topic",
    ["", "x", TOPIC, "plant/v1/gw/press/window", "plant/v1/gw/status", f"{ANSWERS}x", f"{ANSWERS}/#", f"{ANSWERS}/+/a",
     f"{ANSWERS}/\x07", f"{ANSWERS}/{'x' * 2000}", "$SYS/x"],
)  # fmt: skip
async def test_no_answer_leaves_the_gateways_own_topic(bench: Bench, topic: str) -> None:
    await bench.ask({}, text(8, topic.encode()))
    await bench.ask({"response_topic": topic})
    found = await bench.run(5)
    assert [one.topic for one in found] == [ANSWERS] * 2
    assert all("not the gateway's own" in json.loads(one.payload)["error"] for one in found)
    assert not bench.past.asked


async def test_one_part_at_a_time_and_rest_after_a_slow_one(bench: Bench) -> None:
    bench.client.auto_ack = False
    await bench.ask()
    await bench.run(2)
    assert len(bench.client.published) == 1, "the next part waits for the acknowledgement"
    bench.client.ack()
    await bench.run(5)
    assert len(bench.client.published) == 1, "a part that took two seconds is followed by six of rest"
    await bench.run(2)
    assert len(bench.client.published) == 2


async def test_thousands_at_once_are_refused_and_counted(bench: Bench) -> None:
    bench.client.auto_ack = False
    for number in range(5_000):
        bench.desk.take(ReceivedMessage(TOPIC, json.dumps({"correlation": str(number)}).encode(), 1, False, False))
    bench.client.auto_ack = True
    found = await bench.run(60)
    counters = bench.desk.counters
    assert counters["requests_received"] == 5_000
    assert counters["requests_answered"] + counters["requests_refused"] == 5_000
    assert counters["requests_answered"] == len(bench.past.asked) == 20
    assert len(found) <= 60 + 20, "not every refusal is published"
    assert any("20 requests wait already" in one.payload.decode() for one in found)


async def test_whoever_is_refused_again_and_again_does_not_keep_others_from_their_answers(bench: Bench) -> None:
    for _ in range(40):
        bench.desk.take(ReceivedMessage(TOPIC, b"{}", 1, False, False))
    for _ in range(600):
        await bench.clock.advance(0.1)
        bench.desk.take(ReceivedMessage(TOPIC, b"{}", 1, False, False, text(8, b"elsewhere")))
    assert bench.desk.counters["requests_answered"] == 20


async def test_a_request_is_answered_for_as_long_as_it_is_wanted(bench: Bench) -> None:
    bench.past.count = 1_000
    await bench.ask({"expiry_s": 2})
    await bench.ask({"expiry_s": 1})
    await bench.run(10)
    assert bench.desk.counters["requests_expired"] == 2
    assert len(bench.past.asked) == 1
    assert bench.past.closed == 1
    assert bench.desk.counters["requests_parts"] < 30


async def test_kept_requests_are_not_asked_again_at_each_connection(bench: Bench) -> None:
    await bench.ask(kept=True)
    assert await bench.run(1) == []
    assert bench.desk.counters["requests_ignored"] == 1


@pytest.mark.parametrize("document", [b"", b"\xff", b"[" * 60_000, b"x" * 200_000, b"null"])
async def test_nonsense_is_handed_on_or_refused(bench: Bench, document: bytes) -> None:
    await bench.ask(document)
    await bench.ask(document, b"\x99broken")
    assert await bench.run(2)


async def test_a_refused_part_ends_its_answer(bench: Bench) -> None:
    bench.client.answers.append(Permanent("not allowed"))
    await bench.ask()
    await bench.ask()
    assert len(await bench.run(3)) == 1 + 3
    assert bench.desk.counters["requests_refused"] == 1


async def test_a_lost_connection_ends_the_answer_and_what_waits_goes_on() -> None:
    bench = Bench()
    await bench.serve()
    bench.client.auto_ack = False
    await bench.ask()
    await bench.ask()
    bench.client.lose("gone")
    await settle()
    await bench.close()
    assert bench.desk.counters["requests_aborted"] == 1
    bench.client.auto_ack = True
    await bench.serve()
    await bench.run(2)
    assert bench.desk.counters["requests_answered"] == 1
    await bench.close()


@pytest.mark.parametrize("kind", ["refused", "deadly"])
async def test_a_broker_that_allows_no_subscription_costs_only_the_requests(kind: str) -> None:
    bench = Bench()
    (bench.client.refused_filters if kind == "refused" else bench.client.deadly_filters).add(TOPIC)
    for _ in range(3):
        await bench.serve()
        await bench.close()
    assert bench.client.is_open, "the third connection is not ended by it"
