"""CountedRows of rows by topic and boot follow every change, and say what is missing when rows cannot be read."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.core.messages import Lane
from gateway.outbox.database import counted_rows
from gateway.outbox.database.compression import Compression
from gateway.outbox.database.schema import APPLICATION_ID, MIGRATIONS, steps
from gateway.outbox.database.sqlite_errors import DamagedError
from gateway.outbox.database.store import Store
from gateway.outbox.database.topic_counts import TopicCount
from gateway.outbox.records import Change, Entry
from tests.support.outbox_parts import Rig, message


def entry(id: int, topic: str, seq: int, boot: str = "b1") -> Entry:
    return Entry(id, message(seq, topic=topic, boot=boot), False, Lane.WINDOW, 0.0)


@pytest.mark.parametrize("version", [1, 2])
async def test_a_file_of_an_older_schema_is_taken_over_whole_and_counted_beside_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    """A few rows with each commit, the youngest first; then what cannot be read can be told by topic and boot."""
    monkeypatch.setattr(counted_rows, "_COUNT_ROWS", 2)
    path = tmp_path / "o.db"
    await of_version(version, path)
    async with Rig(path, "b1") as rig:
        store = rig.outbox._writer.store
        assert (rig.events, store.uncounted_to, store.topic_counts) == ([], 5, {})
        rig.outbox.put(message(1))
        await rig.commit()
        left = store.uncounted_to
        assert left in {3, 1}
        assert store.topic_counts["g/press/window", "b0"] == TopicCount(
            5 - left, left + 1, 5, *store.topic_counts["g/press/window", "b0"][3:]
        )
        assert store.topic_counts["g/press/window", "b1"].messages == 1
        await rig.advance(5)
        assert store.uncounted_to == 0, "with nothing else to write"
    async with Rig(path, "b2") as rig:
        store = rig.outbox._writer.store
        assert (rig.events, store.uncounted_to) == ([], 0)
        assert {of: x.messages for of, x in store.topic_counts.items()} == {
            ("g/press/window", "b0"): 5,
            ("g/press/window", "b1"): 1,
        }
        assert [m.seq for m in await rig.drain()] == [1, 2, 3, 4, 5, 1]


async def test_rows_delivered_before_they_are_counted_are_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counted_rows, "_COUNT_ROWS", 1)
    await of_version(2, tmp_path / "o.db")
    async with Rig(tmp_path / "o.db", "b1") as rig:
        store = rig.outbox._writer.store
        rig.outbox.set_live(True)
        for delivery in (await rig.outbox.fetch(10))[:3]:
            rig.outbox.ack(delivery)
        await rig.advance(10)
        assert (store.uncounted_to, rig.on_disk) == (0, 2)
        assert [(x.messages, x.last_seq) for x in store.topic_counts.values()] == [(2, 5)]
    async with Rig(tmp_path / "o.db", "b2") as rig:
        assert rig.events == []
        assert [m.seq for m in await rig.drain()] == [4, 5]


async def of_version(version: int, path: Path) -> None:
    """A file of an older schema with five rows of a boot b0."""
    tmp_path = path.parent
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        for transaction in steps(0, MIGRATIONS[:version]):
            for statement in transaction:
                db.execute(statement)
    newest = Store(tmp_path / "new.db")
    newest.compression = Compression(compress=False)
    await newest.open("b0", 0)
    await newest.commit(Change([entry(id, "g/press/window", id, "b0") for id in range(1, 6)]))
    await newest.close()
    columns = "id, lane, topic, boot, seq, start_ms, end_ms, checksum, payload" + (", coded" if version > 1 else "")
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("ATTACH ? AS new", (str(tmp_path / "new.db"),))
        db.execute("DELETE FROM total")
        for table in ("boot", "topic"):
            db.execute(f"INSERT INTO {table} SELECT * FROM new.{table}")
        db.execute("INSERT INTO total SELECT lane, messages, bytes FROM new.total")
        db.execute(f"INSERT INTO message ({columns}) SELECT {columns} FROM new.message")


@pytest.mark.parametrize(
    "wrong", ["DELETE FROM message WHERE id = 3", "UPDATE extent SET messages = 4", "DELETE FROM uncounted"]
)
async def test_rows_that_are_not_there_are_noticed_at_the_start(tmp_path: Path, wrong: str) -> None:
    store = Store(tmp_path / "o.db")
    await store.open("b0", 0)
    await store.commit(Change([entry(id, "t", id) for id in range(1, 6)]))
    await store.close()
    with closing(sqlite3.connect(tmp_path / "o.db")) as db:
        db.execute(wrong)
        db.commit()
    with pytest.raises(DamagedError):
        await Store(tmp_path / "o.db").open("b1", 0)
    async with Rig(tmp_path / "o.db", "b1") as rig:
        assert rig.states == ["damaged"]
        assert rig.events[0].rescued == (4 if "message WHERE" in wrong else 5)
        rig.outbox.set_live(True)
        await rig.commit()
        assert [(x.topic, x.boot, x.count, x.cause) for x in rig.losses.encoded] == (
            [("t", "b1", 1, "damaged")] if "message WHERE" in wrong else []
        )
