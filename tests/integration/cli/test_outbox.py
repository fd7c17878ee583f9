"""`gateway outbox` on a running and on a stopped outbox."""

import json
import re
import sqlite3
import time
from contextlib import closing

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.core.messages import Lane, Loss
from tests.support.outbox_parts import Rig, message


def call(*words):
    return CliRunner().invoke(app, ["outbox", *map(str, words)])


@pytest.fixture
async def stopped(tmp_path):
    async with Rig(tmp_path / "o.db") as rig:
        for seq in range(1, 11):
            rig.outbox.put(message(seq))
        rig.outbox.put(message(1, Lane.EVENT))
    return tmp_path / "o.db"


async def test_a_running_outbox_is_read_and_left_alone(tmp_path):
    path = tmp_path / "o.db"
    async with Rig(path) as rig:
        rig.outbox.put(message(1))
        await rig.commit()
        lanes = json.loads(call("stats", path, "--json").stdout)["lanes"]
        assert (lanes["window"]["messages"], lanes["window"]["kept_bytes"]) == (1, 100)
        assert (lanes["event"]["messages"], lanes["event"]["oldest_s"]) == (0, None)
        assert call("verify", path).exit_code == 0
        rig.outbox.put(message(2))
        await rig.commit()
        assert (rig.on_disk, rig.events) == (2, [])


async def test_export_writes_every_message_once_and_never_over_a_file(stopped, tmp_path):
    target = tmp_path / "out.jsonl"
    assert call("export", stopped, target).exit_code == 0
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert [(x["topic"], x["seq"]) for x in lines] == [("g/press/window", n) for n in range(1, 11)] + [("g/press/event", 1)]
    assert lines[0]["payload"].encode() == message(1).payload
    before = target.read_bytes()
    again = call("export", stopped, target)
    assert (again.exit_code, again.stderr) == (2, f"{target} is there already: name a new file\n")
    assert target.read_bytes() == before
    piped = call("export", stopped, "-")
    assert piped.stdout_bytes == before
    assert piped.stderr == "11 messages exported, 0 unreadable\n"


@pytest.fixture
async def sealed(tmp_path):
    (tmp_path / "key").write_bytes(bytes(32))
    (tmp_path / "other").write_bytes(bytes(31) + b"1")
    async with Rig(tmp_path / "o.db", key_file=str(tmp_path / "key"), compress=True) as rig:
        for seq in range(1, 11):
            rig.outbox.put(message(seq))
    return tmp_path / "o.db"


async def test_an_encrypted_outbox_is_exported_with_its_key_only(sealed, tmp_path):
    target = tmp_path / "out.jsonl"
    result = call("export", sealed, target)
    assert (result.exit_code, target.exists()) == (2, False)
    assert "--key-file" in result.stderr
    assert call("export", sealed, target, "--key-file", tmp_path / "other").exit_code == 2
    assert call("export", sealed, target, "--key-file", tmp_path / "key").exit_code == 0
    assert json.loads(target.read_text().splitlines()[0])["payload"].encode() == message(1).payload


async def test_an_encrypted_outbox_is_counted_and_verified_with_and_without_its_key(sealed, tmp_path):
    for key in ((), ("--key-file", tmp_path / "key")):
        assert json.loads(call("stats", sealed, "--json", *key).stdout)["lanes"]["window"]["messages"] == 10
        assert call("verify", sealed, *key).exit_code == 0
    assert call("verify", sealed, "--key-file", tmp_path / "other").exit_code == 2


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE message SET payload = zeroblob(100) WHERE id = 4",
        "UPDATE total SET messages = 99 WHERE lane = 2",
        "DELETE FROM topic",
    ],
)
async def test_verify_finds_what_is_not_whole(stopped, damage):
    assert call("verify", stopped).exit_code == 0
    with closing(sqlite3.connect(stopped)) as db:
        db.execute(damage)
        db.commit()
    assert call("verify", stopped).exit_code == 1


async def test_stats_are_a_table_for_people(tmp_path):
    async with Rig(tmp_path / "o.db") as rig:
        for seq in range(1, 2001):
            rig.outbox.put(message(seq, end_ms=time.time_ns() // 10**6 - 3 * 3600_000))
        await rig.commit()
        rig.outbox._writer.ledger.add([Loss("t", "b1", 1, 5, 5, 0, 1, "memory"), Loss("t", "b1", 6, 9, 4, 0, 1, "thinned")])
    said = call("stats", tmp_path / "o.db").stdout
    row = next(line for line in said.splitlines() if "window" in line)
    assert re.split(" {2,}", row.strip()) == ["window", "2,000", "195.3 KiB", "3 h"]
    assert "not yet told: 5 lost and 4 merged messages in 2 records" in said


async def test_a_configuration_folder_names_file_key_and_ceiling(tmp_path):
    (tmp_path / "key").write_bytes(bytes(32))
    async with Rig(tmp_path / "o.db", key_file=str(tmp_path / "key")) as rig:
        rig.outbox.put(message(1))
    config = tmp_path / "config"
    (config / "devices").mkdir(parents=True)
    (config / "devices" / "d.yaml").write_text(
        "protocol: modbus\nurl: tcp://127.0.0.1:1502\nunit: 1\ntags:\n  - {name: x, address: 'holding:0', type: int16}\n"
    )
    outbox = f"{{path: {tmp_path}/o.db, key_file: ../key, max_bytes: 1GiB}}"
    (config / "gateway.yaml").write_text(f"name: g\nmqtt: {{url: 'mqtt://127.0.0.1'}}\noutbox: {outbox}\n")
    said = call("stats", config)
    assert said.exit_code == 0, said.stderr
    assert "of 1.0 GiB (outbox.max_bytes), payloads encrypted" in said.stdout
    assert "b1 g/press/window 1 " in call("peek", config).stdout
    assert call("verify", config).exit_code == 0
    assert call("export", config, "-").stdout.count("payload") == 1


async def test_peek_shows_the_newest_of_each_topic(stopped):
    lines = call("peek", stopped, "-n", 2).stdout.splitlines()
    heads = [line.split("  ")[:3] for line in lines if not line.startswith(" ")]
    assert heads == [
        ["g/press/event", "boot b1", "seq 1"],
        ["g/press/window", "boot b1", "seq 9"],
        ["g/press/window", "boot b1", "seq 10"],
    ]
    assert lines[-1].strip() == message(10).payload.decode()


async def test_peek_cuts_long_payloads_and_says_when_they_are_encrypted(sealed, tmp_path):
    async with Rig(tmp_path / "long.db") as rig:
        rig.outbox.put(message(1, size=5000))
    assert len(call("peek", tmp_path / "long.db").stdout) < 600
    assert len(call("peek", tmp_path / "long.db", "--whole").stdout) > 5000
    assert "(encrypted)" in call("peek", sealed).stdout
    assert "b1 g/press/window 10" in call("peek", sealed, "--key-file", tmp_path / "key").stdout


async def test_verify_says_what_is_held_declared_and_missing(tmp_path):
    path = tmp_path / "o.db"
    async with Rig(path) as rig:
        for seq in (*range(1, 11), *range(21, 31)):
            rig.outbox.put(message(seq))
        await rig.commit()
        rig.outbox._writer.ledger.add([Loss("g/press/window", "b1", 11, 15, 5, 0, 1, "memory")])
    result = call("verify", path)
    assert result.exit_code == 0
    assert "20 held in 1..30, 5 declared lost or merged, not here and not declared (delivered?): 16..20" in result.stdout


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (Loss("g/press/window", "b1", 3, 12, 10, 0, 1, "memory"), "HELD AND DECLARED LOST: 3..10"),
        (Loss("g/press/window", "b1", 1, 12, 5, 0, 1, "thinned"), "3 MORE DECLARED THAN MISSING"),
    ],
)
@pytest.mark.parametrize("announced", [False, True])
async def test_verify_finds_what_is_both_there_and_declared_lost(tmp_path, loss, said, announced):
    async with Rig(tmp_path / "o.db") as rig:
        for seq in range(1, 11):
            rig.outbox.put(message(seq))
        await rig.commit()
        rig.outbox._writer.ledger.add([loss])
        rig.outbox.set_live(announced)
        await rig.commit()
    assert len(rig.losses.encoded) == announced
    result = call("verify", tmp_path / "o.db")
    assert result.exit_code == 1
    assert said in result.stdout


async def test_what_is_no_outbox_is_said(tmp_path):
    (tmp_path / "text").write_text("no database at all" * 100)
    for path in (tmp_path / "missing", tmp_path / "text"):
        for result in (call("stats", path), call("verify", path), call("peek", path), call("export", path, tmp_path / "x")):
            assert result.exit_code == 2
    assert not (tmp_path / "missing").exists()


def test_a_file_that_may_not_be_looked_at_is_told_in_words(tmp_path, monkeypatch):
    """Without the number that the operating system has for it."""

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied", "/secret/o.db")

    monkeypatch.setattr("gateway.cli.outbox.locations", refused)
    result = call("stats", tmp_path / "o.db")
    assert (result.exit_code, result.stderr) == (2, "/secret/o.db: Permission denied\n")
