"""Rows that somebody with write access has made: they cost memory, time or messages of others in no way of reading."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from tests.support.line import running_line
from tests.support.network import until
from tests.support.outbox_forger import bomb, command, compressed, insert, peak_bytes
from tests.support.outbox_parts import Rig, message

MIB = 2**20
CEILING = 16 * MIB


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """An outbox with one honest message, then bombs of 2 GB, of just more than a payload may have, and one honest again."""
    async with Rig(tmp_path / "o.db") as rig:
        rig.outbox.put(message(1))
    insert(tmp_path / "o.db", "g/press/window", bomb(2_000 * MIB), lane=2, seq=2)
    insert(tmp_path / "o.db", "g/press/window", bomb(CEILING + 1), lane=2, seq=3)
    insert(tmp_path / "o.db", "g/press/window", compressed(message(4).payload), lane=2, seq=4)
    return tmp_path / "o.db"


async def test_bombs_are_set_aside_with_a_record_and_cost_nobody_else(file: Path) -> None:
    async with Rig(file, "b2") as rig:
        rig.outbox.set_live(True)
        await rig.commit()
        got = [m for m in await rig.drain() if m.topic == "g/press/window"]
        assert [(m.seq, m.payload) for m in got] == [(1, message(1).payload), (4, message(4).payload)]
        await rig.commit()
        assert [(x.topic, x.first_seq, x.last_seq, x.count, x.cause) for x in rig.losses.encoded] == [
            ("g/press/window", 2, 3, 2, "damaged")
        ]
        assert "larger than 16 MiB" in rig.losses.encoded[0].detail
        await rig.drain()
        await rig.commit()
        assert rig.on_disk == 0
    lines = [json.loads(line) for line in file.with_name("o.db.refused.jsonl").read_text().splitlines()]
    assert [(line["seq"], line["reason"][:18]) for line in lines] == [
        (2, "larger than 16 MiB"),
        (3, "larger than 16 MiB"),
    ]
    assert all(line["kept_base64"] for line in lines)


async def test_a_payload_of_the_largest_size_comes_back_and_one_more_byte_is_a_loss_at_once(tmp_path: Path) -> None:
    async with Rig(tmp_path / "o.db", memory="64MiB", max_bytes="1GiB", compress=True) as rig:
        rig.outbox.put(message(1, size=CEILING))
        rig.outbox.put(message(2, size=CEILING + 1))
    async with Rig(tmp_path / "o.db", "b2", memory="64MiB") as rig:
        assert [(m.seq, len(m.payload)) for m in await rig.drain()] == [(1, CEILING)]
        rig.outbox.set_live(True)
        await rig.commit()
        assert [(x.first_seq, x.count, x.cause) for x in rig.losses.encoded] == [(2, 1, "memory")]


@pytest.mark.parametrize("words", [("peek", "-n", "10"), ("verify",), ("export",), ("stats",)])
def test_commands_refuse_bombs_within_the_memory_of_an_honest_file(
    file: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """400 MiB of address space is little more than the interpreter and its libraries need."""
    target = (str(tmp_path / "out.jsonl"),) if words[0] == "export" else ()
    result = command(words[0], file, *target, *words[1:], memory_bytes=400 * MIB)
    assert "Traceback" not in result.stderr
    assert result.returncode == (1 if words[0] in ("verify", "export") else 0), result.stderr
    if words[0] == "peek":
        assert result.stdout.count("larger than 16 MiB") == 2
        assert "b1 g/press/window 4" in result.stdout
    if words[0] == "export":
        assert [json.loads(line)["seq"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == [1, 4]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE message SET start_ms = 9223372036854775807, end_ms = 9223372036854775807",
        "UPDATE message SET lane = 7",
        "UPDATE message SET seq = 'one'",
        "UPDATE message SET boot = 99",
        "UPDATE message SET payload = 'text'",
        "UPDATE topic SET name = x'ff'",
        "UPDATE boot SET name = 7",
        "UPDATE message SET payload = zeroblob(100000000)",
        "UPDATE topic SET name = CAST(zeroblob(100000000) AS TEXT)",
        "DELETE FROM total",
        "DELETE FROM uncounted",
        "INSERT INTO loss VALUES (1, 2, 3, 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x')",
    ],
)
def test_no_content_of_a_table_is_a_traceback(file: Path, tmp_path: Path, change: str) -> None:
    """Values of the wrong type, size or range, with checksums that are right."""
    with closing(sqlite3.connect(file)) as db, db:
        db.execute(change)
    for words in (("peek",), ("verify",), ("stats",), ("export", str(tmp_path / "out.jsonl"))):
        result = CliRunner().invoke(app, ["outbox", words[0], str(file), *words[1:]])
        assert result.exception is None or isinstance(result.exception, SystemExit), (words, result.exception)
        assert result.exit_code in (0, 1, 2), words


async def test_the_gateway_publishes_what_is_honest_and_grows_little(tmp_path: Path, mosquitto: str) -> None:
    """Fifty bombs in the file of a gateway that starts: windows come as before, and all bombs are declared."""
    async with running_line(tmp_path, mosquitto) as line:
        await line.more_windows(2)
        assert line.gateway.process is not None
        undisturbed = peak_bytes(line.gateway.process.pid)
        assert await asyncio.to_thread(line.gateway.terminate) == 0
        outbox = tmp_path / "outbox.db"
        root = line.windows()[0].topic.removesuffix("/press/window")
        for seq in range(1, 51):
            insert(outbox, f"{root}/press/window", bomb(500 * MIB if seq % 2 else CEILING + seq), lane=2, seq=10_000 + seq)
        line.gateway.start()
        await line.more_windows(5)
        assert line.gateway.process is not None
        assert peak_bytes(line.gateway.process.pid) < undisturbed + 64 * MIB

        def declared() -> int:
            events = [m.payload for m in line.subscriber.of("/event") if m.payload.get("kind") == "loss"]
            return sum(e["count"] for e in events if "larger than 16 MiB" in e["detail"])

        await until(lambda: declared() == 50, 20, "a record of each bomb")
        assert await asyncio.to_thread(line.gateway.terminate) == 0
