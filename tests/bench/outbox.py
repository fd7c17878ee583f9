"""The outbox and the way to the broker: bytes written, how fast a backlog drains, how it starts with a large one."""

import asyncio
import multiprocessing
import os
import shutil
import sqlite3
import tempfile
import time
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import orjson
import psutil
import uvloop

from gateway.core.clock import SystemClock
from gateway.core.messages import Lane, Message
from gateway.encoding.encoder import mark_hist
from gateway.outbox.outbox import Outbox
from gateway.outbox.schema import SIGN, steps
from gateway.runtime.publisher import Publisher
from gateway.sinks.mqtt.client import MqttClient, Will
from gateway.sinks.mqtt.config import MqttConfig
from tests.bench.figures import Bench, Figure
from tests.support.mosquitto import Mosquitto
from tests.support.outbox_parts import Rig, until

DEVICES, TAGS = 100, 100
ONLINE_S, OFFLINE_S, BACKLOG_S = 8, 8, 100
ROWS = 2_000_000
HOUR_S = 3600
T = TypeVar("T")
_ON = f"{DEVICES * TAGS:,} tags in {DEVICES} devices, one window a second each"


def _window(device: int, seq: int, tags: int = TAGS) -> Message:
    """A window of float32 tags that all had something to say, each with numbers of its own."""
    ts, rows = 1_764_000_000_000 + seq * 1000, {}
    for tag in range(tags):
        base = 50 + zlib.crc32(b"%d %d %d" % (device, tag, seq)) % 1_000_000 / 1e5
        rows[f"tag_{tag}"] = {
            "n": 10, "good": 10, "min": base, "max": base + 1.98765, "mean": base + 0.912345, "std": 0.5123456,
            "first": base + 0.43211, "last": base + 1.23456, "q": "good",
        }  # fmt: skip
    body = {"boot": "bench", "seq": seq, "ts": ts, "dur": 1000, "hist": False, "tags": rows}
    return Message(f"plant/v1/bench/d{device}/window", "bench", seq, Lane.WINDOW, ts, ts + 1000, orjson.dumps(body))


def _second(seq: int) -> list[Message]:
    return [_window(device, seq) for device in range(DEVICES)]


def _written() -> int:
    return int(psutil.Process().io_counters().write_bytes)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """On the event loop that the gateway uses."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


class _Status:
    def current(self) -> tuple[str, bytes]:
        return "plant/v1/bench/status", b"{}"

    def changed(self) -> Awaitable[None]:
        return asyncio.get_running_loop().create_future()


def _publisher(url: str, outbox: Outbox) -> Publisher:
    config = MqttConfig.model_validate({"url": url})
    sink = MqttClient(config, client_id="bench", will=Will("plant/v1/bench/status", b"{}"))
    return Publisher(
        sink, outbox, SystemClock(), in_flight=config.in_flight, ack_timeout_s=config.timeout / 1e9, mark_hist=mark_hist,
        status=_Status(), set_live=outbox.set_live,
    )  # fmt: skip


async def _with_broker(folder: Path, work: Callable[[Rig, Mosquitto], Awaitable[Any]]) -> Any:
    """Run `work` with an outbox of default settings and a mosquitto, which is told of but not started."""
    binary = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    assert binary, "mosquitto is needed: make servers"
    (folder / "broker").mkdir()
    broker = Mosquitto(binary, folder / "broker")
    try:
        async with Rig(folder / "o.db", "bench", SystemClock(), compress=True) as rig:
            return await work(rig, broker)
    finally:
        broker.stop()


async def _online(rig: Rig, broker: Mosquitto) -> int:
    """Bytes written while windows are published as they come."""
    await broker.start("max_queued_messages 0")
    publisher = _publisher(broker.url, rig.outbox)
    run = asyncio.create_task(publisher.run())
    await until(lambda: publisher.connected_since_ns, "connected")
    batches = [_second(seq) for seq in range(1, ONLINE_S + 1)]
    await asyncio.sleep(1.5)
    before = _written()
    for number, batch in enumerate(batches, 1):
        for m in batch:
            rig.outbox.put(m)
        await asyncio.sleep(1)
        assert publisher.acked == number * DEVICES
    written = _written() - before
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    return written


async def _offline(folder: Path, compress: bool) -> int:
    async with Rig(folder / f"{compress}.db", "bench", SystemClock(), compress=compress) as rig:
        await rig.stop()
        before = _written()
        for seq in range(1, OFFLINE_S + 1):
            for m in _second(seq):
                rig.outbox.put(m)
            while rig.outbox._memory.unwritten[0]:
                await rig.outbox._writer.commit()
        return _written() - before


def _inserted_and_deleted(folder: Path) -> int:
    """Bytes written by the usual way: every message is a row, committed before it is sent and deleted when acknowledged."""
    with closing(sqlite3.connect(folder / "usual.db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE message (id INTEGER PRIMARY KEY, topic TEXT, payload BLOB)")
        before = _written()
        for seq in range(1, ONLINE_S + 1):
            db.execute("BEGIN")
            db.executemany(
                "INSERT INTO message (topic, payload) VALUES (?, ?)", [(m.topic, m.payload) for m in _second(seq)]
            )
            db.execute("COMMIT")
            db.execute("DELETE FROM message")
        return _written() - before


def _writes() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        usual = _inserted_and_deleted(folder) / ONLINE_S
        online = _run(_with_broker(folder, _online)) / ONLINE_S
        packed, plain = (_run(_offline(folder, compress)) / OFFLINE_S for compress in (True, False))
    mb = 1e6 / HOUR_S
    yield Figure(
        "outbox_write_reduction", usual / max(online, 1), "times less",
        f"{_ON}, acknowledged by mosquitto: {online / mb:.2f} MB/h written; inserted and deleted: {usual / mb:,.0f} MB/h "
        f"(nothing written counts as 1 B/s)", ">= 50",
    )  # fmt: skip
    yield Figure("outbox_written_online", online / mb, "MB/h", f"{_ON}, broker there")
    yield Figure("outbox_written_offline", packed / mb, "MB/h", f"{_ON}, broker away; not compressed {plain / mb:,.0f}")


async def _drained(rig: Rig, broker: Mosquitto) -> tuple[float, float, int]:
    """Seconds and CPU seconds of this process that the backlog takes, and its messages."""
    for seq in range(1, BACKLOG_S + 1):
        for m in _second(seq):
            rig.outbox.put(m)
        while rig.outbox._memory.unwritten[0]:
            await rig.outbox._writer.commit()
    count = rig.outbox.stats.messages
    await broker.start("max_queued_messages 0")
    publisher = _publisher(broker.url, rig.outbox)
    began, cpu = time.perf_counter(), time.process_time()
    run = asyncio.create_task(publisher.run())
    await until(lambda: publisher.acked >= count, "drained", 30)
    took = time.perf_counter() - began, time.process_time() - cpu, count
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    return took


def _drain() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name:
        took, cpu, count = _run(_with_broker(Path(name), _drained))
    size = len(_window(0, 1).payload)
    on = f"{_ON} of {size / 1e3:.1f} kB: {BACKLOG_S} s of backlog on disk, compressed, to mosquitto; CPU {cpu / took:.0%}"
    yield Figure("outbox_drain_ratio", BACKLOG_S / took, "times faster", on, ">= 100")
    yield Figure("outbox_drain_messages_per_s", count / took, "messages/s", on)


def _large_file(path: Path) -> None:
    """A backlog of `ROWS` small windows, written as fast as SQLite can."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(SIGN)
        for transaction in steps(0):
            for statement in transaction:
                db.execute(statement)
        for statement in ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "BEGIN"):
            db.execute(statement)
        db.execute("INSERT INTO boot VALUES (1, 'b0', 1000, 1)")
        db.execute("INSERT INTO topic VALUES (1, 'plant/v1/bench/d/window')")
        payload, now_ms = _window(0, 1, tags=1).payload, time.time_ns() // 10**6
        db.executemany("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", _rows(payload, now_ms))
        db.execute("UPDATE total SET messages = ?, bytes = ? WHERE lane = 2", (ROWS, ROWS * len(payload)))
        db.execute("COMMIT")
    os.sync()


def _rows(payload: bytes, now_ms: int) -> Iterator[tuple[object, ...]]:
    for id in range(1, ROWS + 1):
        numbers = (id, 2, 1, 1, id, now_ms, now_ms)
        yield *numbers, zlib.crc32(payload, zlib.crc32(repr(numbers).encode())), payload, 0


def _in_a_new_process(path: Path) -> tuple[float, int, int, int]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_start_and_drain, path).result()


def _start_and_drain(path: Path) -> tuple[float, int, int, int]:
    return _run(_started(path))


async def _started(path: Path) -> tuple[float, int, int, int]:
    """Seconds to open, bytes of memory then and after 20,000 messages more than before, bytes of the file."""
    process = psutil.Process()
    rig = Rig(path, "bench", SystemClock(), max_bytes="16GiB")
    before, began = process.memory_info().rss, time.perf_counter()
    async with rig:
        took = time.perf_counter() - began
        opened = process.memory_info().rss - before
        rig.outbox.set_live(True)
        for _ in range(200):
            for delivery in await rig.outbox.take(100):
                rig.outbox.ack(delivery)
        used = process.memory_info().rss - before
        return took, opened, used, path.stat().st_size


def _start() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name:
        _large_file(Path(name) / "o.db")
        took, opened, used, size = _in_a_new_process(Path(name) / "o.db")
    on = f"a backlog of {ROWS:,} messages, {size / 2**20:,.0f} MiB"
    yield Figure("outbox_start_s", took, "s", on, "< 2 (10 million)")
    yield Figure("outbox_start_memory_mb", opened / 2**20, "MiB more", on)
    yield Figure("outbox_drain_memory_mb", used / 2**20, "MiB more", f"{on}, while 20,000 of it were delivered")


BENCHES = (
    Bench(("outbox_write_reduction", "outbox_written_online", "outbox_written_offline"), _writes),
    Bench(("outbox_drain_ratio", "outbox_drain_messages_per_s"), _drain),
    Bench(("outbox_start_s", "outbox_start_memory_mb", "outbox_drain_memory_mb"), _start),
)
