"""What somebody with write access to an outbox's file can do to it: rows as the gateway writes them, but without its key."""

import os
import resource
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import zstandard

from gateway.outbox.database import compression
from gateway.outbox.database.message_rows import checked, checksum

_RUN = 128 * 1024
GATEWAY = (sys.executable, "-m", "gateway")


def compressed(payload: bytes) -> bytes:
    """A payload as a row keeps it where it is compressed."""
    words = zstandard.ZstdCompressionDict(compression._WORDS, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return b"\1" + zstandard.ZstdCompressor(level=1, dict_data=words).compress(payload)


def bomb(size: int) -> bytes:
    """A row that becomes a payload of `size` bytes and takes a thirty thousandth of it (RFC 8878, 3.1.1): runs of spaces."""
    sizes = [_RUN] * (size // _RUN) + [size % _RUN]
    heads = [length << 3 | 1 << 1 | (at == len(sizes) - 1) for at, length in enumerate(sizes)]
    runs = [head.to_bytes(3, "little") + b" " for head in heads]
    window_of_128_kib, size_of_4_bytes = b"\x38", b"\x80"
    return b"\1\x28\xb5\x2f\xfd" + size_of_4_bytes + window_of_128_kib + size.to_bytes(4, "little") + b"".join(runs)


def insert(path: Path, topic: str, kept: bytes, *, coded: int = 1, lane: int = 0, seq: int = 1, boot: str = "") -> int:
    """Put a row with a right checksum into a file, and count it everywhere. boot: the newest by default. Returns its id."""
    with closing(sqlite3.connect(path)) as db, db:
        id = db.execute("SELECT coalesce(max(id), 0) + 1 FROM message").fetchone()[0]
        db.execute("INSERT OR IGNORE INTO topic (name) VALUES (?)", (topic,))
        topic_id = db.execute("SELECT id FROM topic WHERE name = ?", (topic,)).fetchone()[0]
        boot = boot or db.execute("SELECT name FROM boot ORDER BY id DESC").fetchone()[0]
        boot_id = db.execute("SELECT id FROM boot WHERE name = ?", (boot,)).fetchone()[0]
        numbers = (id, lane, topic_id, boot_id, seq, 1_764_000_000_000, 1_764_000_001_000)
        row: tuple[Any, ...] = (*numbers, checksum(checked(numbers, 1, 0), kept, coded), kept, coded)
        names = "id, lane, topic, boot, seq, start_ms, end_ms, checksum, payload, coded"
        db.execute(f"INSERT INTO message ({names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        db.execute("UPDATE total SET messages = messages + 1, bytes = bytes + ? WHERE lane = ?", (len(kept), lane))
        count(db, topic_id, boot_id, seq)
    return int(id)


def count(db: sqlite3.Connection, topic: int, boot: int, seq: int) -> None:
    """Count one more row in the table that says how many there are of each topic and boot."""
    from gateway.outbox.database.topic_counts import TopicCount, plus_one
    from gateway.outbox.database.topic_counts import checksum as count_checksum

    query = "SELECT messages, first_seq, last_seq, start_ms, end_ms FROM extent WHERE topic = ? AND boot = ?"
    found = db.execute(query, (topic, boot)).fetchone()
    new = plus_one(TopicCount(*found) if found else None, seq, seq, 1_764_000_000_000, 1_764_000_001_000)
    values = (topic, boot, *new, count_checksum(topic, boot, new))
    db.execute("INSERT OR REPLACE INTO extent VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)


def command(*words: object, memory_bytes: int = 0) -> "subprocess.CompletedProcess[str]":
    """`gateway outbox WORDS` as a process of its own, with as much address space as is given."""

    def limit() -> None:
        if memory_bytes:
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))

    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        [*GATEWAY, "outbox", *map(str, words)],
        capture_output=True,
        text=True,
        preexec_fn=limit,
        timeout=120,
        env=environment,
    )


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
