"""Power cuts and kills: the outbox opens on what a disk that forgets may keep, and has all that it had promised."""

import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import zlib
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.disk import Platter, Record, preloaded, records
from tests.support.outbox_marked import key
from tests.support.outbox_parts import Rig

CUTS = 100
STEPS = 100


class Promises:
    """What the outbox has said so far, from the marks in the log."""

    def __init__(self) -> None:
        self.put: dict[tuple[str, str, int], int] = {}
        self.stored: set[tuple[str, str, int]] = set()
        self.deleted: set[tuple[str, str, int]] = set()
        self.acked: set[tuple[str, str, int]] = set()

    def hear(self, record: Record) -> None:
        """Take in a mark; other records say nothing."""
        if record.kind != "M":
            return
        kind, what, *more = json.loads(record.body)
        if kind == "put":
            self.put[tuple(what)] = more[0]
        elif kind == "ack":
            self.acked.add(tuple(what))
        else:
            (self.stored if kind == "stored" else self.deleted).update(map(tuple, what))


def recorded(disk: Path, folder: Path, boot: str, synchronous: str) -> list[Record]:
    """Let the outbox in `folder` be worked; what its disk was told."""
    with tempfile.TemporaryDirectory() as aside:
        log = Path(aside) / "log"
        command = [sys.executable, "-m", "tests.support.outbox_marked", folder / "o.db", boot, synchronous, str(STEPS)]
        environment = preloaded(disk, folder, log)
        subprocess.run(command, env=environment, cwd=Path(__file__).parents[2], check=True, timeout=60)
        return list(records(log))


def lay_out(files: dict[str, bytes], folder: Path) -> None:
    folder.mkdir()
    for name, content in files.items():
        (folder / Path(name).name).write_bytes(content)


async def check_opened(folder: Path, said: Promises, forgetful: bool) -> None:
    """Everything promised is there, nothing was invented, nothing deleted has come back."""
    async with Rig(folder / "o.db", "after") as rig:
        assert rig.events == []
        count = rig.outbox.stats.messages
        messages = await rig.drain()
        with closing(sqlite3.connect(folder / "o.db")) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert len(messages) == count
    found = {key(m): zlib.crc32(m.payload) for m in messages}
    assert len(found) == count, "nothing is there twice"
    assert found.items() <= said.put.items(), "nothing is invented"
    if not forgetful:
        assert said.stored - said.acked <= found.keys(), "what was committed is there, or delivered"
        assert not said.deleted & found.keys(), "what was deleted stays deleted"


async def test_kills_at_any_moment_of_a_commit(disk: Path, shared_memory: Path) -> None:
    """SIGKILL between any two calls to the disk, and within one: twice a hundred of them, whatever `synchronous` says."""
    for synchronous in ("full", "normal"):
        chance, said = random.Random(synchronous), Promises()
        folder = shared_memory / synchronous
        folder.mkdir()
        log = recorded(disk, folder, "b0", synchronous)
        platter = Platter({})
        moments = set(chance.sample(range(len(log)), CUTS))
        for moment, record in enumerate(log[: max(moments) + 1]):
            if moment in moments:
                cut = shared_memory / f"{synchronous}-{moment}"
                lay_out(platter.kept(chance), cut)
                await check_opened(cut, said, forgetful=False)
            platter.apply(record)
            said.hear(record)
        assert len(said.stored) > 100


@pytest.mark.parametrize("synchronous", ["full", "extra", "normal"])
async def test_power_cuts_cost_nothing_that_was_committed(disk: Path, shared_memory: Path, synchronous: str) -> None:
    """Cuts at random moments of two boots, the second on what a cut of the first has left."""
    chance = random.Random(synchronous)
    said, files, states = Promises(), {}, 0
    for number, boot in enumerate(("b0", "b1")):
        folder = shared_memory / boot
        lay_out(files, folder)
        log = recorded(disk, folder, boot, synchronous)
        platter = Platter({str(folder / Path(name).name): content for name, content in files.items()})
        moments = set(chance.sample(range(len(log) - len(log) // 4), CUTS))
        for moment, record in enumerate(log[: max(moments) + 1]):
            if moment in moments:
                files = platter.cut(chance, chance.choice([512, 4096]))
                cut = shared_memory / f"cut{number}-{moment}"
                lay_out(files, cut)
                await check_opened(cut, said, synchronous == "normal")
                states += 1
            platter.apply(record)
            said.hear(record)
    assert states == 2 * CUTS
    assert len(said.stored) > 300
    assert len(said.deleted) > 100
