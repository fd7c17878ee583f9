"""What the outbox's figures are measured on, each in a process of its own: `python -m tests.bench.outbox_work WORK FOLDER`.

Each prints one JSON object. The messages are real ones: windows of one second of 10,000 tags in 100 devices, every tag sent.
"""

import asyncio
import json
import os
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
from gateway.outbox.coding import checksum
from gateway.outbox.schema import VERSION
from tests.bench.pipeline import Plant
from tests.support.outbox_parts import NOW_NS, Rig

DEVICES = 100
HOUR_S = 3600
OFFLINE_S = 60
ROWS = 1_000_000


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


def memory_mb() -> float:
    """Resident memory of this process, MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


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


def build(path: Path, rows: int) -> None:
    """A backlog of small windows as the outbox would have written it, in one transaction."""
    payload = b'{"boot":"b0","seq":1,"ts":1790000000000,"dur":1000,"hist":false,"tags":{"temp":{"n":10,"mean":23.45}}}'

    def columns() -> Iterator[tuple[object, ...]]:
        for id in range(1, rows + 1):
            end_ms = NOW_NS // 10**6 + id * 10
            numbers = (id, int(Lane.WINDOW), id % DEVICES + 1, 1, id // DEVICES + 1, end_ms - 1000, end_ms)
            yield *numbers, checksum(numbers, payload, 0), payload, 0

    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN")
        db.executemany("INSERT INTO topic (id, name) VALUES (?, ?)", [(i + 1, f"g/d{i}/window") for i in range(DEVICES)])
        db.executemany("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", columns())
        db.execute("UPDATE total SET messages = ?, bytes = ? WHERE lane = ?", (rows, rows * len(payload), int(Lane.WINDOW)))
        db.execute("COMMIT")


async def start(folder: Path) -> dict[str, float]:
    """Open a large backlog that an unclean stop left, and take a hundred batches of it, the disk's answers included."""
    path = folder / "o.db"
    rig = Rig(path, "b0", SystemClock(), max_bytes="1TiB")
    await rig.outbox.open()
    await rig.crash()
    rows = int(os.environ.get("OUTBOX_ROWS", str(ROWS)))
    began = time.perf_counter()
    build(path, rows)
    building, empty_mb = time.perf_counter() - began, memory_mb()
    began = time.perf_counter()
    rig = Rig(path, "b1", SystemClock(), max_bytes="1TiB")
    await rig.outbox.open()
    opening = time.perf_counter() - began
    assert rig.outbox.stats.messages == rows, rig.events
    assert rig.outbox.previous_unclean is not None
    opened_mb = memory_mb()
    rig._run = asyncio.create_task(rig.outbox.run())
    rig.outbox.set_live(True)
    left, most_mb = min(rows, 200_000), 0.0
    while left > 0:
        for delivery in await rig.outbox.take(100):
            rig.outbox.ack(delivery)
            left -= 1
        most_mb = max(most_mb, memory_mb())
    await rig.crash()
    return {
        "rows": rows,
        "building_s": building,
        "file_mb": path.stat().st_size / 2**20,
        "open_s": opening,
        "opened_mb": opened_mb - empty_mb,
        "draining_mb": most_mb - empty_mb,
    }


WORKS = {work.__name__: work for work in (online, offline, plain, start)}

if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the gateway does
        print(json.dumps(runner.run(WORKS[sys.argv[1]](Path(sys.argv[2])))))
