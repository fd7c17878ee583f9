"""A backlog of a million messages or ten (OUTBOX_ROWS): opening it, draining some of it, living with it at the ceiling."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from math import inf
from pathlib import Path

from gateway.core.clock import SystemClock
from gateway.core.messages import Lane, Message
from gateway.outbox.database.message_rows import checksum
from gateway.outbox.database.schema import PAGE_BYTES, VERSION
from gateway.outbox.database.topic_counts import TopicCount
from gateway.outbox.database.topic_counts import checksum as extent_checksum
from tests.support.outbox_parts import Rig

DEVICES = 100
ROWS = 1_000_000
DRAINED = 200_000
CEILING_S = 20

TAG = b'"tag_%d":{"n":10,"good":10,"min":%d.25,"max":%d.75,"mean":%d.5,"std":0.1,"first":%d.25,"last":%d.75,"q":"good"}'


def memory_mb() -> float:
    """Resident memory of this process, MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def payload(boot: bytes, seq: int, ts: int) -> bytes:
    """A window of three tags, some 400 bytes: as much as eight take when they are compressed."""
    v = seq % 100
    tags = b",".join(TAG % (i, v, v, v, v, v) for i in range(3))
    return b'{"boot":"%b","seq":%d,"ts":%d,"dur":1000,"hist":false,"tags":{%b}}' % (boot, seq, ts, tags)


def build(path: Path, rows: int, end_ms: int) -> None:
    """One-second windows of a hundred devices up to `end_ms`, as the outbox would have written them."""
    seconds = rows // DEVICES
    begin_ms = end_ms - seconds * 1000
    size = 0

    def columns() -> Iterator[tuple[object, ...]]:
        nonlocal size
        for id in range(1, rows + 1):
            device, seq = id % DEVICES, (id - 1) // DEVICES + 1
            ts = begin_ms + (seq - 1) * 1000
            content = payload(b"b0", seq, ts)
            size += len(content)
            numbers = (id, int(Lane.WINDOW), device + 1, 1, seq, ts, ts + 1000)
            yield *numbers, checksum(numbers, content, 0), content, 0, 1, 0

    topic_counts = [(topic, 1, TopicCount(seconds, 1, seconds, begin_ms, end_ms)) for topic in range(1, DEVICES + 1)]
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN")
        db.executemany("INSERT INTO topic (id, name) VALUES (?, ?)", [(i + 1, f"g/d{i}/window") for i in range(DEVICES)])
        db.executemany("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", columns())
        db.execute("UPDATE total SET messages = ?, bytes = ? WHERE lane = ?", (rows, size, int(Lane.WINDOW)))
        counts = [(topic, boot, *extent, extent_checksum(topic, boot, extent)) for topic, boot, extent in topic_counts]
        db.executemany("INSERT INTO extent VALUES (?, ?, ?, ?, ?, ?, ?, ?)", counts)
        db.execute("COMMIT")
    with path.open("rb") as file:
        os.fsync(file.fileno())  # or the first start would wait for what the outbox has not written


async def start(folder: Path) -> dict[str, float]:
    """Open a large backlog that an unclean stop left, take a part of it, then work a while at its ceiling."""
    path = folder / "o.db"
    rig = Rig(path, "b0", SystemClock(), max_bytes="1TiB")
    await rig.outbox.open()
    await rig.crash()
    rows = int(os.environ.get("OUTBOX_ROWS") or ROWS)
    began = time.perf_counter()
    build(path, rows, time.time_ns() // 10**6)
    said = {"rows": float(rows), "building_s": time.perf_counter() - began, "file_mb": path.stat().st_size / 2**20}
    for order in ("oldest-first", "newest-first"):
        said |= {f"{name}, {order}": value for name, value in (await _drained(path, rows, order)).items()}
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "gateway", "outbox", "stats", path], check=True, stdout=subprocess.DEVNULL)
    said["stats_s"] = time.perf_counter() - began
    return said | await _at_ceiling(path)


async def _drained(path: Path, rows: int, order: str) -> dict[str, float]:
    """Open, and take a bounded part, the disk's answers included."""
    empty_mb, began = memory_mb(), time.perf_counter()
    rig = Rig(path, f"b-{order}", SystemClock(), max_bytes="1TiB", backlog_order=order)
    await rig.outbox.open()
    opening, opened_mb = time.perf_counter() - began, memory_mb()
    assert rig.outbox.stats.messages > rows - DRAINED - 10_000, rig.events
    assert rig.outbox.unclean
    rig._run = asyncio.create_task(rig.outbox.run())
    rig.outbox.set_live(True)
    left, half_mb, most_mb = min(rows // 5, DRAINED), 0.0, 0.0
    half = left // 2
    began = time.perf_counter()
    while left > 0:
        for delivery in await rig.outbox.fetch(100):
            rig.outbox.ack(delivery)
            left -= 1
        most_mb = max(most_mb, memory_mb())
        half_mb = half_mb if left < half else most_mb
    draining = time.perf_counter() - began
    await rig.crash()
    return {
        "open_s": opening,
        "opened_mb": opened_mb - empty_mb,
        "draining_mb": most_mb - empty_mb,
        "growth_mb": most_mb - half_mb,
        "drained_per_s": min(rows // 5, DRAINED) / draining,
    }


async def _at_ceiling(path: Path) -> dict[str, float]:
    """The file is larger than it may be. A hundred windows come every second and leave at once, but the broker's answers
    take two seconds: so all of them are written, and backlog never leaves."""
    with closing(sqlite3.connect(path)) as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0] - db.execute("PRAGMA freelist_count").fetchone()[0]
    size = pages * PAGE_BYTES
    rig = Rig(path, "b2", SystemClock(), max_bytes=f"{max(16, size * 9 // 10 // 2**20)}MiB", backlog_messages=100)
    await rig.outbox.open()
    commits: list[float] = []
    delays: list[float] = []
    writer = rig.outbox._writer
    commit = writer._commit

    async def timed(put_by: float = inf) -> bool:
        began = time.perf_counter()
        done = await commit(put_by)
        commits.append(time.perf_counter() - began)
        return done

    writer._commit = timed  # type: ignore[method-assign]
    rig._run = asyncio.create_task(rig.outbox.run())
    rig.outbox.set_live(True)
    put_at: dict[tuple[str, int], float] = {}

    async def deliver() -> None:
        while True:
            for delivery in await rig.outbox.fetch(100):
                if (at := put_at.pop((delivery.message.topic, delivery.message.seq), None)) is not None:
                    delays.append(time.perf_counter() - at)
                    asyncio.get_running_loop().call_later(2.0, rig.outbox.ack, delivery)

    delivering = asyncio.create_task(deliver())
    empty_mb, most_mb = memory_mb(), 0.0
    for second in range(1, CEILING_S + 1):
        now_ms = time.time_ns() // 10**6
        for device in range(DEVICES):
            m = Message(
                f"g/d{device}/window", "b2", second, Lane.WINDOW, now_ms - 1000, now_ms, payload(b"b2", second, now_ms)
            )
            put_at[m.topic, m.seq] = time.perf_counter()
            rig.outbox.put(m)
        await asyncio.sleep(1)
        most_mb = max(most_mb, memory_mb())
    stats = rig.outbox.stats
    delivering.cancel()
    await asyncio.gather(delivering, return_exceptions=True)
    await rig.crash()
    return {
        "ceiling_commit_ms": max(commits) * 1e3,
        "ceiling_commits": float(len(commits)),
        "ceiling_live_delay_ms": max(delays) * 1e3,
        "ceiling_mb": most_mb - empty_mb,
        "thinned": float(stats.thinned),
        "lost": float(stats.lost),
    }
