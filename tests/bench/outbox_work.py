"""What the outbox's figures are measured on, each in a process of its own: `python -m tests.bench.outbox_work WORK FOLDER`.

Each prints one JSON object. The messages are real ones: windows of one second of 10,000 tags in 100 devices, every tag sent.
"""

import asyncio
import json
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import uvloop

from gateway.core.clock import SystemClock
from gateway.core.messages import Lane, Message
from gateway.core.ports import Delivery
from gateway.encoding.layouts import DeviceLayout
from gateway.runtime.publisher import Publisher
from gateway.sinks.mqtt.client import MqttClient
from gateway.sinks.mqtt.config import MqttConfig
from tests.bench.outbox_backlog import memory_mb, start
from tests.bench.pipeline import Plant
from tests.support.mosquitto import Mosquitto
from tests.support.outbox_parts import NOW_NS, ManualClock, Rig, until

DEVICES = 100
HOUR_S = 3600
OFFLINE_S = 60
GROWTH_S = 120


def windows(now_ns: int = NOW_NS) -> Iterator[list[Message]]:
    """The messages of one second after the other, numbered and stamped; contents repeat after four."""
    plant = Plant(DEVICES * 100)
    contents = []
    for window, blocks in enumerate(plant.blocks(4, 1)):
        for block in blocks:
            plant.chain.feed(block, window * 10**9 + 10**9 - 1)
        contents.append(plant.close(window))
    for seq, messages in enumerate(cycle(contents), 1):
        end_ms = now_ns // 10**6 + seq * 1000
        yield [replace(m, boot="b1", seq=seq, lane=Lane.WINDOW, start_ms=end_ms - 1000, end_ms=end_ms) for m in messages]


def written_bytes() -> int:
    """Bytes this process has caused to be written to storage so far (proc(5), write_bytes)."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("write_bytes")))


async def online(folder: Path) -> dict[str, float]:
    """A whole hour on a clock that is moved. Messages are acknowledged after half a second, but for one gap of three
    seconds in every ten minutes."""
    source = windows()
    async with Rig(folder / "o.db", compress=True) as rig:
        rig.outbox.set_live(True)
        before = written_bytes()
        for second, messages in enumerate(islice(source, HOUR_S)):
            for message in messages:
                rig.outbox.put(message)
            await rig.advance(0.5)
            if second % 600 not in {0, 1, 2}:
                for delivery in await rig.outbox.take(4 * DEVICES):
                    rig.outbox.ack(delivery)
            await rig.advance(0.5)
        return {"bytes": written_bytes() - before, "seconds": HOUR_S, "left": rig.outbox.stats.messages}


async def offline(folder: Path) -> dict[str, float]:
    """The broker is away."""
    async with Rig(folder / "o.db", compress=True) as rig:
        before = written_bytes()
        for messages in islice(windows(), OFFLINE_S):
            for message in messages:
                rig.outbox.put(message)
            await rig.advance(1.0)
        return {"bytes": written_bytes() - before, "seconds": OFFLINE_S, "left": rig.outbox.stats.messages}


async def plain(folder: Path) -> dict[str, float]:
    """Every message is inserted and, once acknowledged, deleted: WAL, FULL, one commit per second for each of the two."""
    with closing(sqlite3.connect(folder / "plain.db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE message (id INTEGER PRIMARY KEY, topic TEXT, payload BLOB)")
        before = written_bytes()
        for messages in islice(windows(), OFFLINE_S):
            db.execute("BEGIN")
            db.executemany("INSERT INTO message (topic, payload) VALUES (?, ?)", [(m.topic, m.payload) for m in messages])
            db.execute("COMMIT")
            db.execute("DELETE FROM message")
        return {"bytes": written_bytes() - before, "seconds": OFFLINE_S}


class _Online:
    """A status that never changes."""

    def current(self) -> tuple[str, bytes]:
        return "bench/status", b"{}"

    async def changed(self) -> None:
        await asyncio.Event().wait()


async def drain(folder: Path) -> dict[str, float]:
    """A backlog from disk through the publisher to mosquitto, while a hundred live messages come every second."""
    source = windows(time.time_ns())
    filling = ManualClock()
    async with Rig(folder / "o.db", compress=True, clock=filling) as rig:
        for messages in islice(source, GROWTH_S):
            for message in messages:
                rig.outbox.put(message)
            await rig.commit()
    binary = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    assert binary, "mosquitto is needed: make servers"
    broker = Mosquitto(binary, folder)
    await broker.start("max_queued_messages 1000000")
    try:
        async with Rig(folder / "o.db", compress=True, boot="b2", clock=SystemClock()) as rig:
            return await _drained(rig, broker.url, source)
    finally:
        broker.kill()


async def _drained(rig: Rig, url: str, source: Iterator[list[Message]]) -> dict[str, float]:
    outbox = rig.outbox
    backlog = outbox.stats.messages
    put_at: dict[tuple[str, int], float] = {}
    delays: list[float] = []
    acked, end = outbox.ack, asyncio.get_running_loop().create_future()
    left = backlog

    def ack(delivery: Delivery) -> None:
        nonlocal left
        message = delivery.message
        if delivery.live:
            delays.append(time.monotonic() - put_at.pop((message.topic, message.seq)))
        else:
            left -= 1
            if not left and not end.done():
                end.set_result(time.monotonic())
        acked(delivery)

    outbox.ack = ack  # type: ignore[method-assign]

    async def live() -> None:
        while True:
            for message in next(source):
                put_at[message.topic, message.seq] = time.monotonic()
                outbox.put(message)
            await asyncio.sleep(1)

    config = MqttConfig(url=url)
    publisher = Publisher(
        MqttClient(config),
        outbox,
        SystemClock(),
        in_flight=config.in_flight,
        ack_timeout_s=config.timeout / 1e9,
        layout=DeviceLayout(),
        status=_Online(),
        set_live=outbox.set_live,
    )
    carrying = asyncio.create_task(publisher.run())
    await until(lambda: publisher.acked, "the first message is through")
    began, cpu = time.monotonic(), time.process_time()
    producing = asyncio.create_task(live())
    ended = await asyncio.wait_for(end, 120)
    cpu = time.process_time() - cpu
    await until(lambda: not put_at, "the live messages are through")
    for task in (producing, carrying):
        task.cancel()
    await asyncio.gather(producing, carrying, return_exceptions=True)
    return {
        "backlog": backlog,
        "seconds": ended - began,
        "cpu": cpu,
        "live": len(delays),
        "live_delay_ms": max(delays) * 1e3,
        "memory_mb": memory_mb(),
    }


WORKS = {work.__name__: work for work in (online, offline, plain, drain, start)}

if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the gateway does
        print(json.dumps(runner.run(WORKS[sys.argv[1]](Path(sys.argv[2])))))
