"""Somebody can write the file of an encrypted outbox, but has no key: what he can and cannot do unseen."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.core.messages import Lane, Loss
from gateway.core.ports.watermarks import StoredWatermark
from gateway.outbox.database import counted_rows
from gateway.outbox.database.compression import BOUND, Compression, Place
from gateway.outbox.database.encryption import encryption_of
from gateway.outbox.database.message_rows import checked, checksum
from gateway.outbox.database.watermarks import rows as watermark_rows
from tests.support.line import EVERY_WINDOW, running_line
from tests.support.network import until
from tests.support.outbox_forger import command, compressed, insert
from tests.support.outbox_parts import Rig, message, window

TS = 1_764_000_000_000
HONEST = [("g/press/event", n) for n in (1, 2)] + [("g/press/window", n) for n in range(1, 11)]


@pytest.fixture
def key(tmp_path: Path) -> str:
    (tmp_path / "key").write_text("00" * 31 + "01")
    return str(tmp_path / "key")


@pytest.fixture
async def file(tmp_path: Path, key: str) -> Path:
    """Two events, ten windows, a loss that is not announced, a watermark, a boot that crashed."""
    async with Rig(tmp_path / "o.db", "b0", key_file=key) as rig:
        await rig.crash()
    async with Rig(tmp_path / "o.db", "b1", key_file=key) as rig:
        for seq in range(1, 11):
            rig.outbox.put(window(seq, TS + 1000 * seq))
        for seq in (1, 2):
            rig.outbox.put(message(seq, Lane.EVENT))
        rig.outbox.watermarks.put("press", b"up to here")
        rig.outbox._writer.ledger.add([loss()])
    return tmp_path / "o.db"


def loss() -> Loss:
    return Loss("g/press/window", "b1", 21, 25, 5, TS, TS + 1, "memory", "")


@contextmanager
def changed(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as db:
        db.create_function("summed", -1, lambda kept, coded, *numbers: checksum(checked(numbers, 1, 0), kept, coded))
        yield db
        db.commit()


def verified(path: Path, key: str) -> str:
    return CliRunner().invoke(app, ["outbox", "verify", str(path), "--key-file", key]).stdout


def sql(*statements: str) -> Callable[[Path], None]:
    def attack(path: Path) -> None:
        with changed(path) as db:
            for statement in statements:
                db.execute(statement)

    return attack


def forged(path: Path) -> None:
    """A plain alarm, counted everywhere."""
    insert(path, "g/press/event", compressed(b'{"kind":"alarm","state":"cleared"}' * 5), seq=99)


SUM = "UPDATE message SET checksum = summed(payload, coded, id, lane, topic, boot, seq, start_ms, end_ms)"
EXCHANGED = (
    "CREATE TEMP TABLE a AS SELECT * FROM message WHERE id IN (1, 2)",
    "DELETE FROM message WHERE id IN (1, 2)",
    "INSERT INTO message (id, lane, topic, boot, seq, start_ms, end_ms, checksum, payload, coded) SELECT 3 - id, lane,"
    " topic, boot, seq, start_ms, end_ms, checksum, payload, coded FROM a",
    SUM,
)
FORGED_WATERMARK = watermark_rows({"press": StoredWatermark(b"far ahead", is_certain=True)})[0]


def watermark(path: Path) -> None:
    with changed(path) as db:
        db.execute("INSERT OR REPLACE INTO watermark VALUES (?, ?, ?, ?)", FORGED_WATERMARK)


GONE_WITH_ITS_COUNT = (
    "DELETE FROM message WHERE id = 3",
    "UPDATE total SET messages = messages - 1 WHERE lane = 2",
    "DELETE FROM extent",
    "UPDATE uncounted SET up_to = 1000",
)


@pytest.mark.parametrize(
    ("attack", "left_out"),
    [
        (forged, []),
        (sql("DELETE FROM message WHERE id = 3"), [3]),
        (sql(*GONE_WITH_ITS_COUNT), [3]),
        (sql(*EXCHANGED), [1, 2]),
        (sql("UPDATE message SET start_ms = start_ms + 1 WHERE id = 4", SUM), [4]),
        (sql("UPDATE message SET lane = 1 WHERE id = 4", SUM), [4]),
        (sql("UPDATE topic SET name = 'g/oven/window' WHERE name = 'g/press/window'"), list(range(1, 11))),
        (sql("DELETE FROM loss"), []),
        (sql("UPDATE loss SET count = 1"), []),
        (sql("UPDATE boot SET clean = 0"), []),
        (sql("INSERT INTO turn VALUES (1000, 5)"), []),
        (watermark, []),
        (sql("DELETE FROM seal_state"), []),
        (sql("UPDATE seal_state SET state = x'00'"), []),
    ],
)
async def test_the_next_start_reports_it_and_takes_only_what_is_sealed(
    file: Path, key: str, attack: Callable[[Path], None], left_out: list[int]
) -> None:
    attack(file)
    assert "THE SEAL IS BROKEN" in verified(file, key)
    async with Rig(file, "b2", key_file=key) as rig:
        broken = [e for e in rig.events if getattr(e, "what", "") == "seal_broken"]
        assert [(getattr(e, "source", ""), getattr(e, "result", "")) for e in broken] == [(str(file), "refused")]
        rig.outbox.set_live(True)
        await rig.commit()
        got = sorted((m.topic, m.seq) for m in await rig.drain() if m.topic != "g/event")
        assert got == [m for m in HONEST if m[0] != "g/press/window" or m[1] not in left_out]
        kept = [p for p in file.parent.glob("o.db.damaged-*") if not p.name.endswith(("-wal", "-shm"))]
        assert len(kept) == 1, "the file that was changed stays for people to look at"
    async with Rig(file, "b3", key_file=key) as rig:
        assert [e for e in rig.events if getattr(e, "what", "") == "seal_broken"] == []


async def test_what_was_taken_out_is_declared_where_the_counts_are_those_that_were_sealed(file: Path, key: str) -> None:
    sql("DELETE FROM message WHERE id = 3")(file)
    async with Rig(file, "b2", key_file=key) as rig:
        rig.outbox.set_live(True)
        await rig.commit()
        damaged = [(x.topic, x.first_seq, x.last_seq, x.count) for x in rig.losses.encoded if x.cause == "damaged"]
        assert damaged == [("g/press/window", 3, 3, 1)]


async def test_a_row_of_another_file_with_the_same_key_is_refused(file: Path, key: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    async with Rig(tmp_path / "other" / "o.db", "b1", key_file=key) as rig:
        for seq in range(1, 11):
            rig.outbox.put(window(seq, TS + 1000 * seq, tags=3))
    with closing(sqlite3.connect(tmp_path / "other" / "o.db")) as db:
        row = db.execute("SELECT payload, checksum FROM message WHERE id = 5").fetchone()
    with changed(file) as db:
        db.execute("UPDATE message SET payload = ?, checksum = ? WHERE id = 5", row)
    async with Rig(file, "b2", key_file=key) as rig:
        assert [m.seq for m in await rig.drain() if m.topic == "g/press/window"] == [1, 2, 3, 4, 6, 7, 8, 9, 10]
        assert [e for e in rig.events if getattr(e, "what", "") == "seal_broken"]


async def test_a_delivered_row_that_is_put_back_is_reported(file: Path, key: str) -> None:
    with closing(sqlite3.connect(file)) as db:
        rows = db.execute("SELECT * FROM message").fetchall()
    async with Rig(file, "b2", key_file=key) as rig:
        await rig.drain()
        await rig.commit()
        rig.outbox.put(message(1, boot="b2"))
    with changed(file) as db:
        db.execute(f"INSERT INTO message VALUES ({', '.join('?' * len(rows[0]))})", rows[0])
    assert "1 messages were sealed and 2 are there" in verified(file, key)
    async with Rig(file, "b3", key_file=key) as rig:
        assert [getattr(e, "what", "") for e in rig.events if hasattr(e, "what")] == ["seal_broken"]


async def test_acknowledging_merging_and_dropping_keep_the_seal_whole(tmp_path: Path, key: str) -> None:
    """Rows leave in any order, are merged in place, are given up at a ceiling; each start finds the seal as it should be."""
    for boot in ("b1", "b2", "b3"):
        async with Rig(tmp_path / "o.db", boot, max_bytes="16MiB", key_file=key) as rig:
            assert rig.events == []
            for seq in range(1, 5001):
                rig.outbox.put(window(seq, TS + seq * 1000, boot=boot))
                if seq % 1000 == 0:
                    await rig.commit()
            for delivery in await rig.outbox.fetch(200):
                if delivery.id % 3:
                    rig.outbox.ack(delivery)
                else:
                    rig.outbox.release([delivery])
            await rig.commit()
            state = rig.outbox._writer.store.seal_state
            assert state is not None
            assert state.rows == rig.on_disk
    assert rig.outbox.stats.thinned
    assert "SEAL" not in verified(tmp_path / "o.db", key)


async def test_the_unmerged_window_in_place_of_the_merged_one_is_reported(tmp_path: Path, key: str) -> None:
    async with Rig(tmp_path / "o.db", "b1", max_bytes="16MiB", key_file=key) as rig:
        for seq in range(1, 4001):
            rig.outbox.put(window(seq, TS + seq * 1000))
            if seq % 1000 == 0:
                await rig.commit()
        shutil.copy(tmp_path / "o.db", tmp_path / "before.db")
        shutil.copy(tmp_path / "o.db-wal", tmp_path / "before.db-wal")
        for seq in range(4001, 9001):
            rig.outbox.put(window(seq, TS + seq * 1000))
            if seq % 1000 == 0:
                await rig.commit()
        assert rig.outbox.stats.thinned
    with closing(sqlite3.connect(tmp_path / "o.db")) as db:
        merged = db.execute("SELECT id FROM message WHERE windows > 1 ORDER BY id").fetchone()[0]
    with closing(sqlite3.connect(tmp_path / "before.db")) as db:
        old = db.execute("SELECT * FROM message WHERE id = ?", (merged,)).fetchone()
    with changed(tmp_path / "o.db") as db:
        db.execute(f"INSERT OR REPLACE INTO message VALUES ({', '.join('?' * len(old))})", old)
    async with Rig(tmp_path / "o.db", "b2", max_bytes="16MiB", key_file=key) as rig:
        assert "exchanged" in next(getattr(e, "reason", "") for e in rig.events if hasattr(e, "what"))


async def test_a_large_file_is_gone_through_beside_the_work(file: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counted_rows, "CHECKED_WHOLE_BYTES", 0)
    sql("DELETE FROM message WHERE id = 3")(file)
    async with Rig(file, "b2", key_file=key) as rig:
        assert rig.events == []
        rig.outbox.set_live(True)
        await rig.commit()
        assert [getattr(e, "what", "") for e in rig.events if hasattr(e, "what")] == ["seal_broken"]
        assert len([m for m in await rig.drain() if m.topic == "g/press/window"]) == 9


async def test_rows_from_before_the_file_was_sealed_are_taken_and_cannot_be_changed_afterwards(
    tmp_path: Path, key: str
) -> None:
    path = tmp_path / "o.db"
    async with Rig(path) as rig:
        for seq in range(1, 4):
            rig.outbox.put(message(seq))
    async with Rig(path, "b2", key_file=key, accept_plain=True) as rig:
        assert [(getattr(e, "state", ""), getattr(e, "reason", "")) for e in rig.events] == [
            ("sealed", "3 messages from before are taken as they are")
        ]
    async with Rig(path, "b3", key_file=key) as rig:
        assert rig.events == []
    with changed(path) as db:
        db.execute("UPDATE message SET payload = CAST(replace(payload, 'b1', 'b9') AS BLOB) WHERE id = 2")
        db.execute(SUM)
    async with Rig(path, "b4", key_file=key) as rig:
        assert [getattr(e, "what", "") for e in rig.events if hasattr(e, "what")] == ["seal_broken"]


async def test_a_sealed_file_of_schema_4_opens_with_all_it_has(file: Path, key: str) -> None:
    """Its payloads are bound to their messages only; they are taken, new ones are bound to their rows."""
    encryption = encryption_of(key)
    assert encryption is not None
    old = Compression(encryption=encryption)
    with changed(file) as db:
        rows = db.execute(
            "SELECT m.id, t.name, b.name, m.seq FROM message m JOIN topic t ON t.id = m.topic JOIN boot b ON b.id = m.boot"
        ).fetchall()
        for id, topic, boot, seq in rows:
            lane = Lane.EVENT if topic.endswith("event") else Lane.WINDOW
            payload = message(seq, lane).payload if lane is Lane.EVENT else window(seq, TS + 1000 * seq).payload
            kept, coded = old.encode(Place(topic, boot, seq), payload)
            db.execute("UPDATE message SET payload = ?, coded = ? WHERE id = ?", (kept, coded, id))
        db.execute(SUM)
        db.execute("DROP TABLE seal_state")
        db.execute("ALTER TABLE seal DROP COLUMN file")
        db.execute("ALTER TABLE total DROP COLUMN commits")
        db.execute("PRAGMA user_version = 4")
    async with Rig(file, "b2", key_file=key) as rig:
        assert [getattr(e, "state", "") for e in rig.events] == ["sealed"]
        rig.outbox.put(message(1, boot="b2"))
        await rig.commit()
        (payload,) = (await rig.outbox._writer.store._rows("SELECT payload FROM message WHERE id = 13"))[0]
        assert payload[0] & BOUND
    async with Rig(file, "b3", key_file=key) as rig:
        assert rig.events == []
        got = await rig.drain()
        assert sorted((m.topic, m.seq) for m in got if m.boot == "b1") == HONEST
        assert window(4, TS + 4000).payload in [m.payload for m in got]


@pytest.mark.parametrize("what", ["TRIGGER x AFTER INSERT ON message BEGIN DELETE FROM message; END", "VIEW x AS SELECT 1"])
async def test_what_would_run_inside_the_gateway_is_refused(file: Path, key: str, what: str) -> None:
    sql(f"CREATE {what}")(file)
    async with Rig(file, "b2", key_file=key) as rig:
        assert "which no gateway makes" in next(
            getattr(e, "reason", "") for e in rig.events if getattr(e, "state", "") == "damaged"
        )
        assert sorted((m.topic, m.seq) for m in await rig.drain()) == HONEST


async def test_what_a_file_cannot_show(file: Path, key: str, tmp_path: Path) -> None:
    """An older copy of the whole file fits its own seal: that needs a witness elsewhere."""
    shutil.copy(file, tmp_path / "copy")
    async with Rig(file, "b2", key_file=key) as rig:
        await rig.drain()
    shutil.copy(tmp_path / "copy", file)
    async with Rig(file, "b3", key_file=key) as rig:
        assert not [e for e in rig.events if hasattr(e, "what")]
        assert len(await rig.drain()) == 12


BOTH_GONE = ("DELETE FROM seal", "DELETE FROM seal_state")
OF_SCHEMA_4 = (
    "DROP TABLE seal_state",
    "ALTER TABLE seal DROP COLUMN file",
    "ALTER TABLE total DROP COLUMN commits",
    "PRAGMA user_version = 4",
)


@pytest.mark.parametrize(
    "statements", [BOTH_GONE, OF_SCHEMA_4, (BOTH_GONE[0], *OF_SCHEMA_4), (*BOTH_GONE, "DROP TABLE total")]
)
async def test_a_seal_that_is_removed_whole_lets_no_plain_row_in(
    file: Path, key: str, statements: tuple[str, ...], tmp_path: Path
) -> None:
    """Nor by making the file one of an earlier schema, or damaging it as well. The forged watermark is no certain one."""
    forged(file)
    watermark(file)
    sql(*statements)(file)
    if "user_version" not in statements[-1] and "DROP" not in statements[-1]:
        assert "THE SEAL IS BROKEN" in verified(file, key)
    async with Rig(file, "b2", key_file=key) as rig:
        got: list[int] = []
        for _ in range(10):
            await rig.commit()
            with suppress(TimeoutError):
                for delivery in await asyncio.wait_for(rig.outbox.fetch(100), 0.2):
                    got.append(delivery.message.seq)
                    rig.outbox.ack(delivery)
        assert 99 not in got
        stored = rig.outbox.watermarks.load("press")
        assert stored is not None
        assert not stored.is_certain
        assert {"seal_broken", "damaged"} & {getattr(e, "what", "") or getattr(e, "state", "") for e in rig.events}
        assert [p for p in file.parent.glob("o.db.damaged-*") if not p.name.endswith(("-wal", "-shm"))]
    async with Rig(file, "b3", key_file=key) as rig:
        assert [e for e in rig.events if getattr(e, "what", "") == "seal_broken"] == []


async def test_the_gateway_publishes_no_forged_alarm(tmp_path: Path, mosquitto: str, key: str) -> None:
    """`gateway run`, `peek` and `verify` on a file into which somebody has put an alarm while the gateway was stopped."""
    async with running_line(tmp_path, mosquitto, root=EVERY_WINDOW, GATEWAY__OUTBOX__KEY_FILE=key) as line:
        await line.more_windows(2)
        line.broker.stop()
        asks = len(line.device.asks)
        await until(lambda: len(line.device.asks) > asks + 10, 20, "two seconds of polls")
        assert await asyncio.to_thread(line.gateway.terminate) == 0
        outbox = tmp_path / "outbox.db"
        topic = line.windows()[0].topic.replace("/window", "/event")
        alarm = b'{"boot":"x","seq":999,"ts":1764000000000,"hist":false,"kind":"alarm","tag":"t0","state":"cleared"}'
        id = insert(outbox, topic, alarm, coded=0, seq=999)
        assert (
            f"row {id} is unreadable: not sealed"
            in (await asyncio.to_thread(command, "peek", outbox, "--key-file", key)).stdout
        )
        report = await asyncio.to_thread(command, "verify", outbox, "--key-file", key)
        assert report.returncode == 1
        assert "THE SEAL IS BROKEN" in report.stdout
        await line.broker.start("max_queued_messages 100000")
        line.gateway.start()
        await line.more_windows(4)
        events = [m.payload for m in line.subscriber.of("/event")]
        assert [e["source"] for e in events if e["kind"] == "security" and e["what"] == "seal_broken"] == [str(outbox)]
        assert not [e for e in events if e["seq"] == 999]
        assert await asyncio.to_thread(line.gateway.terminate) == 0
