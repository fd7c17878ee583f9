"""A file whose rows, index and totals are of different times, as a disk leaves it that lies about syncs.

Rows that the index hides are had from the table; what the totals count and nobody can find is declared lost.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.core.messages import Message
from gateway.outbox.database import counted_rows
from tests.support.outbox_parts import Rig, message

COUNT = 2000
NAMES = {(f"g/d{device}/window", seq) for device in (0, 1) for seq in range(1, COUNT // 2 + 1)}


async def filled(path: Path, size: int = 100) -> None:
    """Rows 1 to COUNT: numbers of two topics in turn."""
    async with Rig(path, "b0") as rig:
        for seq in range(1, COUNT // 2 + 1):
            for device in (0, 1):
                rig.outbox.put(message(seq, topic=f"g/d{device}/window", boot="b0", size=size))


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as db:
        yield db
        db.commit()


def hide(path: Path, ids: str) -> None:
    """The index knows nothing of these rows: they are put back while it is not in the schema."""
    with opened(path) as db:
        rows = db.execute(f"SELECT * FROM message WHERE {ids}").fetchall()
        db.execute(f"DELETE FROM message WHERE {ids}")
        db.execute("PRAGMA writable_schema = ON")
        (index,) = db.execute("SELECT * FROM sqlite_master WHERE name = 'message_by_lane'").fetchall()
        db.execute("DELETE FROM sqlite_master WHERE name = 'message_by_lane'")
    with opened(path) as db:
        db.executemany(f"INSERT INTO message VALUES ({', '.join('?' * 12)})", rows)
        db.execute("PRAGMA writable_schema = ON")
        db.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", index)


def take_out(path: Path, ids: str) -> None:
    """Rows and index are older than totals and topic_counts."""
    with opened(path) as db:
        db.execute(f"DELETE FROM message WHERE {ids}")


def turn_round(path: Path, _: str) -> None:
    """The index has the rows in the wrong order."""
    with opened(path) as db:
        db.execute("DROP INDEX message_by_lane")
        db.execute("CREATE INDEX message_by_lane ON message (lane, 10000 - id)")
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_master SET sql = replace(sql, ', 10000 - id', '') WHERE name = 'message_by_lane'")


Damage = Callable[[Path, str], None]
SOME = "id BETWEEN 501 AND 600"  # 251 to 300 of both topics
ALL = "id > 0"
LAST = "id > 1900"


@pytest.fixture(params=["when it is opened", "in use"])
def moment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Small files are checked whole when they are opened; others are too large for that."""
    if request.param == "in use":
        monkeypatch.setattr(counted_rows, "CHECKED_WHOLE_BYTES", 0)
    return str(request.param)


def names(messages: list[Message]) -> list[tuple[str, int]]:
    return [(m.topic, m.seq) for m in messages if m.topic != "g/event"]


@pytest.mark.parametrize("order", ["oldest-first", "newest-first"])
@pytest.mark.parametrize(("damage", "ids"), [(hide, SOME), (hide, ALL), (hide, LAST), (turn_round, "")])
async def test_rows_that_the_index_hides_are_delivered(
    tmp_path: Path, moment: str, damage: Damage, ids: str, order: str
) -> None:
    path = tmp_path / "o.db"
    await filled(path)
    damage(path, ids)
    async with Rig(path, "b1", backlog_order=order) as rig:
        found = names(await rig.drain())
        assert len(found) == COUNT
        assert set(found) == NAMES
        (event,) = rig.events
        assert (event.state, event.lost, event.unknown) == ("damaged", 0, 0)
        assert event.rescued == COUNT or moment == "in use"
        rig.outbox.set_live(True)
        await rig.commit()
        assert rig.losses.encoded == []
        assert rig.outbox.stats.messages == 0


@pytest.mark.parametrize("order", ["oldest-first", "newest-first"])
@pytest.mark.parametrize(("ids", "first", "last"), [(SOME, 251, 300), (ALL, 1, 1000), (LAST, 951, 1000)])
async def test_what_the_totals_count_and_nobody_can_find_is_declared_lost(
    tmp_path: Path, moment: str, ids: str, first: int, last: int, order: str
) -> None:
    """By topic and boot, within numbers that are as narrow as can be known; `stats` comes to nothing and `take` waits for
    nothing that is not there."""
    path = tmp_path / "o.db"
    await filled(path)
    take_out(path, ids)
    gone = {(topic, seq) for topic, seq in NAMES if first <= seq <= last}
    async with Rig(path, "b1", backlog_order=order) as rig:
        assert set(names(await rig.drain())) == NAMES - gone
        assert rig.states == ["damaged"]
        assert (rig.events[0].lost, rig.events[0].unknown) == (len(gone), 0)
        rig.outbox.put(message(1, topic="g/d0/window", boot="b1"))
        rig.outbox.set_live(True)
        await rig.commit()
        assert ("g/d0/window", 1) in names(await rig.drain())
        assert rig.outbox.stats.messages == 0
        for loss in rig.losses.encoded:
            assert (loss.boot, loss.count, loss.cause) == ("b0", len(gone) // 2, "damaged")
            assert loss.first_seq <= first
            assert loss.last_seq >= last
        assert {loss.topic for loss in rig.losses.encoded} == {"g/d0/window", "g/d1/window"}
    async with Rig(path, "b2") as rig:
        assert (rig.events, rig.outbox.stats.messages) == ([], 0)


async def test_a_ceiling_holds_though_the_index_hides_what_could_be_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is found to make room with, though the file is full: the rows are had from the table, as there is room."""
    monkeypatch.setattr(counted_rows, "CHECKED_WHOLE_BYTES", 0)
    path = tmp_path / "o.db"
    await filled(path, size=9000)
    hide(path, ALL)
    async with Rig(path, "b1", max_bytes="16MiB") as rig:
        for seq in range(1, 11):
            rig.outbox.put(message(seq, boot="b1"))
            await rig.commit()
        assert rig.states == ["damaged"]
        await rig.advance(60)
        assert rig.outbox.stats.refused == ""
        assert rig.outbox.stats.disk_bytes < 16 * 2**20
        rig.outbox.set_live(True)
        found: list[tuple[str, int]] = []
        for _ in range(20):
            await rig.commit()
            found += names(await rig.drain())
        assert set(found) == NAMES | {("g/press/window", seq) for seq in range(1, 11)}
        assert len(found) == COUNT + 10
        assert rig.events[-1].lost == 0


async def test_verify_says_that_the_index_and_the_rows_differ(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    await filled(path)
    assert CliRunner().invoke(app, ["outbox", "verify", str(path)]).exit_code == 0
    hide(path, SOME)
    said = CliRunner().invoke(app, ["outbox", "verify", str(path)])
    assert said.exit_code == 1
    assert "THE FILE IS TORN (row 501 missing from index message_by_lane)" in said.stdout
