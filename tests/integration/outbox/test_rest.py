"""Files at rest: of an earlier version, compressed, encrypted; and the wrong key."""

import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import pytest

from gateway.core.errors import ConfigError
from gateway.core.messages import Lane
from gateway.outbox.config import OutboxConfig
from gateway.outbox.database.schema import APPLICATION_ID
from gateway.outbox.unsealed import plain_text
from tests.support.outbox_parts import Rig, message, window

TS = 1_764_000_000_000

VERSION_1 = (
    f"PRAGMA application_id = {APPLICATION_ID}",
    "PRAGMA journal_mode = WAL",
    "CREATE TABLE boot (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, started_ms INTEGER NOT NULL,"
    " clean INTEGER NOT NULL)",
    "CREATE TABLE topic (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    "CREATE TABLE message (id INTEGER PRIMARY KEY, lane INTEGER NOT NULL, topic INTEGER NOT NULL, boot INTEGER NOT NULL,"
    " seq INTEGER NOT NULL, start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL, checksum INTEGER NOT NULL,"
    " payload BLOB NOT NULL)",
    "CREATE INDEX message_by_lane ON message (lane)",
    "CREATE TABLE total (lane INTEGER PRIMARY KEY, messages INTEGER NOT NULL, bytes INTEGER NOT NULL)",
    "INSERT INTO total VALUES (-1, 0, 0), (0, 0, 0), (1, 0, 0), (2, 0, 0)",
    "CREATE TABLE loss (boot TEXT NOT NULL, topic TEXT NOT NULL, cause TEXT NOT NULL, first_seq INTEGER NOT NULL,"
    " last_seq INTEGER NOT NULL, count INTEGER NOT NULL, start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL,"
    " detail TEXT NOT NULL, PRIMARY KEY (boot, topic, cause)) WITHOUT ROWID",
    "PRAGMA user_version = 1",
)


def version_1(path: Path, count: int = 50) -> None:
    """A file as the first version left it: rows, totals, a loss, a boot that crashed."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in VERSION_1:
            db.execute(statement)
        db.execute("BEGIN")
        db.execute("INSERT INTO boot VALUES (1, 'b0', 1000, 0)")
        db.execute("INSERT INTO topic VALUES (1, 'g/press/window')")
        db.execute("INSERT INTO loss VALUES ('b0', 'g/press/window', 'memory', 51, 60, 10, 1, 2, 'full')")
        for seq in range(1, count + 1):
            m = window(seq, TS + seq * 1000, boot="b0")
            numbers = (seq, 2, 1, 1, seq, m.start_ms, m.end_ms)
            check = zlib.crc32(m.payload, zlib.crc32(repr(numbers).encode()))
            db.execute("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*numbers, check, m.payload))
            db.execute("UPDATE total SET messages = messages + 1, bytes = bytes + ? WHERE lane = 2", (len(m.payload),))
        db.execute("COMMIT")


@pytest.fixture
def key(tmp_path: Path) -> str:
    (tmp_path / "key").write_text("00" * 31 + "01")
    return str(tmp_path / "key")


async def test_a_file_of_the_first_version_goes_on_with_all_it_had(tmp_path: Path, key: str) -> None:
    version_1(tmp_path / "o.db")
    async with Rig(tmp_path / "o.db", compress=True, key_file=key, accept_plain=True) as rig:
        assert [(e.state, e.reason) for e in rig.events] == [("sealed", "50 messages from before are taken as they are")]
        assert rig.outbox.unclean
        rig.outbox.put(window(1, TS))
        await rig.commit()
        got = await rig.drain()
        assert got == [*(window(seq, TS + seq * 1000, boot="b0") for seq in range(1, 51)), window(1, TS)]
        rig.outbox.set_live(True)
        await rig.commit()
        assert [(x.boot, x.cause, x.count) for x in rig.losses.encoded] == [("b0", "memory", 10)]
        await rig.drain()
        await rig.commit()
        assert set(rig.outbox._writer.store.totals.size.values()) == {0}


async def test_a_damaged_file_of_the_first_version_is_rescued(tmp_path: Path) -> None:
    version_1(tmp_path / "o.db", 2000)
    with closing(sqlite3.connect(tmp_path / "o.db")) as db:
        db.execute("DROP TABLE total")
        db.commit()
    async with Rig(tmp_path / "o.db") as rig:
        assert [e.state for e in rig.events] == ["damaged"]
        assert rig.events[0].rescued == 2000
        assert [m.payload for m in await rig.drain()] == [
            window(s, TS + s * 1000, boot="b0").payload for s in range(1, 2001)
        ]


@pytest.mark.parametrize("sealed", [False, True])
async def test_compressed_and_encrypted_rows_come_back_after_a_restart(tmp_path: Path, key: str, sealed: bool) -> None:
    changes = {"compress": True, "key_file": key if sealed else ""}
    put = [window(seq, TS + seq * 1000, tags=20) for seq in range(1, 31)] + [message(1, Lane.EVENT, size=300)]
    async with Rig(tmp_path / "o.db", **changes) as rig:
        for m in put:
            rig.outbox.put(m)
    content = b"".join(path.read_bytes() for path in tmp_path.glob("o.db*"))
    assert (b"tag_1" in content) is not sealed
    async with Rig(tmp_path / "o.db", "b2", **changes) as rig:
        assert sorted((m.topic, m.seq, m.payload) for m in await rig.drain()) == sorted(
            (m.topic, m.seq, m.payload) for m in put
        )
        await rig.commit()
        assert set(rig.outbox._writer.store.totals.size.values()) == {0}, "what is kept is what is counted"


async def test_merged_windows_are_encrypted_as_well(tmp_path: Path, key: str) -> None:
    async with Rig(tmp_path / "o.db", max_bytes="16MiB", key_file=key) as rig:
        for seq in range(1, 9001):
            rig.outbox.put(window(seq, TS + seq * 1000))
            if seq % 500 == 0:
                await rig.commit()
        assert rig.outbox.stats.thinned
        await rig.outbox._writer.store._rows("PRAGMA wal_checkpoint(TRUNCATE)")
        rows = await rig.outbox._writer.store._rows("SELECT payload FROM message WHERE end_ms - start_ms > 1000")
        assert rows
        assert not any(b"windows" in payload for (payload,) in rows)
        assert sum(m.payload.count(b'"windows":60') for m in await rig.drain()) > 10


@pytest.mark.parametrize("wrong", ["", "other", "missing"])
async def test_without_the_right_key_nothing_starts_and_nothing_changes(tmp_path: Path, key: str, wrong: str) -> None:
    async with Rig(tmp_path / "o.db", key_file=key) as rig:
        rig.outbox.put(message(1))
    (tmp_path / "other").write_bytes(bytes(32))
    before = (tmp_path / "o.db").read_bytes()
    rig = Rig(tmp_path / "o.db", "b2", key_file=str(tmp_path / wrong) if wrong else "")
    with pytest.raises(ConfigError, match=r"outbox\.key_file: "):
        await rig.outbox.open()
    assert (tmp_path / "o.db").read_bytes() == before
    assert list(tmp_path.glob("*damaged*")) == []
    async with Rig(tmp_path / "o.db", "b2", key_file=key) as rig:
        assert [m.seq for m in await rig.drain()] == [1]


async def test_a_plain_file_may_be_encrypted_from_now_on_and_what_it_holds_stays_readable(tmp_path: Path, key: str) -> None:
    async with Rig(tmp_path / "o.db") as rig:
        rig.outbox.put(message(1))
    async with Rig(tmp_path / "o.db", "b2", key_file=key, accept_plain=True) as rig:
        rig.outbox.put(message(2, boot="b2"))
        await rig.commit()
        assert [m.seq for m in await rig.drain()] == [1, 2]


async def test_a_plain_file_is_set_aside_with_what_to_do_where_nobody_allows_it(tmp_path: Path, key: str) -> None:
    """Its messages are declared lost by topic and number, the file stays; put back and allowed, it is taken."""
    path = tmp_path / "o.db"
    async with Rig(path) as rig:
        for seq in (1, 2, 3):
            rig.outbox.put(message(seq))
        rig.outbox.watermarks.put("press", b"far ahead")
    assert "holds 3 messages in clear" in plain_text(OutboxConfig(path=path, key_file=key))
    async with Rig(path, "b2", key_file=key) as rig:
        broken = next(e for e in rig.events if getattr(e, "what", "") == "seal_broken")
        assert "3 messages, 1 watermark in clear" in broken.reason
        assert "set outbox.accept_plain: true for one start" in broken.reason
        stored = rig.outbox.watermarks.load("press")
        assert stored is not None
        assert not stored.is_certain
        rig.outbox.set_live(True)
        await rig.commit()
        assert [(x.first_seq, x.last_seq, x.count, x.cause) for x in rig.losses.encoded] == [(1, 3, 3, "damaged")]
        await rig.drain()
    kept = next(p for p in tmp_path.glob("o.db.damaged-*") if not p.name.endswith(("-wal", "-shm")))
    kept.replace(path)
    assert "take the line out" in plain_text(OutboxConfig(path=path, key_file=key, accept_plain=True))
    async with Rig(path, "b3", key_file=key, accept_plain=True) as rig:
        assert "sealed" in [getattr(e, "state", "") for e in rig.events]
        assert [m.seq for m in await rig.drain() if m.boot == "b1"] == [1, 2, 3]
    assert plain_text(OutboxConfig(path=path, key_file=key)) == ""
    async with Rig(path, "b4", key_file=key) as rig:
        assert [e for e in rig.events if getattr(e, "what", "")] == []


async def test_an_empty_plain_file_needs_no_allowance(tmp_path: Path, key: str) -> None:
    async with Rig(tmp_path / "o.db") as rig:
        rig.outbox.put(message(1))
        await rig.drain()
    async with Rig(tmp_path / "o.db", "b2", key_file=key) as rig:
        assert rig.events == []


async def test_a_damaged_encrypted_file_is_rescued_with_the_key_alone(tmp_path: Path, key: str) -> None:
    async with Rig(tmp_path / "o.db", compress=True, key_file=key) as rig:
        for seq in range(1, 101):
            rig.outbox.put(message(seq))
    with closing(sqlite3.connect(tmp_path / "o.db")) as db:
        db.executescript("DROP TABLE total; DROP TABLE seal;")
    async with Rig(tmp_path / "o.db", "b2", key_file=key) as rig:
        assert rig.events[0].rescued == 100
        assert [m.payload for m in await rig.drain()] == [message(seq).payload for seq in range(1, 101)]
    with pytest.raises(ConfigError, match="is encrypted"):
        await Rig(tmp_path / "o.db", "b3").outbox.open()
