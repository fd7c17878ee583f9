"""What the outbox's figures are measured on, each in a process of its own: `python -m tests.bench.outbox_work WORK FOLDER`.

Each prints one JSON object. The messages are real ones: windows of one second of 10,000 tags in 100 devices, every tag sent.
"""

import asyncio
import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import uvloop

from gateway.core.messages import Lane, Message
from tests.bench.outbox_backlog import start
from tests.bench.pipeline import Plant
from tests.support.outbox_parts import NOW_NS, Rig

DEVICES = 100
HOUR_S = 3600
OFFLINE_S = 60


def windows(now_ns: int = NOW_NS) -> Iterator[list[Message]]:
    """The messages of one second after the other, numbered and stamped; contents repeat after four."""
    plant = Plant(DEVICES * 100)
    contents = []
    for window, blocks in enumerate(plant.blocks(4, 1)):
        for block in blocks:
            plant.chain.push(block, window * 10**9 + 10**9 - 1)
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
                for delivery in await rig.outbox.fetch(4 * DEVICES):
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


WORKS = {work.__name__: work for work in (online, offline, plain, start)}

if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the gateway does
        print(json.dumps(runner.run(WORKS[sys.argv[1]](Path(sys.argv[2])))))
