"""Sinks that are no MQTT: processor time per message, with a real server beside it."""

import asyncio
import gc
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import uvloop

from gateway.core.ports.outbox import Delivery
from gateway.core.ports.sink import Sink
from tests.bench.figures import Bench, Figure
from tests.support.kafka import Kafka
from tests.support.postgres import PASSWORD, Postgres, binaries
from tests.support.sink_stand import build, delivery, served

_MESSAGES, _WINDOWS = 40_000, 10_000
_ROW = {"n": 5, "good": 5, "min": 161.52689, "max": 162.52612, "mean": 161.96756, "std": 0.33596283,
        "first": 161.90903, "last": 162.52612, "q": "good"}  # fmt: skip
TAGS = 5


def window(number: int) -> Delivery:
    """Return a window of five tags."""
    body = {
        "seq": number,
        "ts": 1_796_060_604_000 + 1000 * number,
        "dur": 1000,
        "tags": {f"t{i}": _ROW for i in range(TAGS)},
    }
    return delivery(body, device=f"device{number % 20}", seq=number)


async def cpu_us(sink: Sink, make: Callable[[int], Delivery], count: int) -> float:
    """Return the processor time of this process per message, microseconds."""
    ready = [make(number) for number in range(1, count + 1)]
    gc.collect()
    gc.freeze()  # as the gateway does: what lives long is not walked again and again
    async with served(sink):
        await asyncio.wait_for(sink.send(ready.pop()), 30)
        began = time.process_time()
        last: asyncio.Future[None] | None = None
        for message in ready:
            await sink.room()
            last = sink.send(message)
        while await sink.room() < 1 or (last is not None and not last.done()):
            await asyncio.sleep(0.001)
        return (time.process_time() - began) / len(ready) * 1e6


def _kafka() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        broker = Kafka(Path(folder))
        broker.start_now()
        size = len(json.dumps(json.loads(window(1).message.payload)))
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(broker.create("gateway.window"))
                figure = runner.run(cpu_us(build("kafka", brokers=broker.address), window, _MESSAGES))
        finally:
            broker.kill()
    on = f"{_MESSAGES:,} windows of {TAGS} tags ({size} bytes), acks=all, zstd, Kafka 4.1 on the same machine"
    yield Figure("kafka_us_per_message", figure, "us", on, "<= 20")


def _postgres() -> Iterator[Figure]:
    folder = binaries()
    assert folder, "PostgreSQL is needed: make servers"
    server = Postgres(folder)
    server.start_now()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            sink = build("postgres", url=server.url, password=PASSWORD)
            per_message = runner.run(cpu_us(sink, window, _WINDOWS))
    finally:
        server.kill()
    on = f"{_WINDOWS:,} windows of {TAGS} tags, PostgreSQL on the same machine; without its own processes"
    yield Figure("postgres_us_per_row", per_message / TAGS, "us", on, "<= 3")


BENCHES = (Bench(("kafka_us_per_message",), _kafka), Bench(("postgres_us_per_row",), _postgres))
