"""What the broker will never take stays readable beside the outbox."""

import orjson
import pytest

from gateway.cli.outbox import export
from gateway.core.messages import Lane, Message
from gateway.outbox.database.encryption import encryption_of
from gateway.outbox.dead_letters import DeadLetters, readable_line
from tests.support.outbox_parts import Rig, message


def lines(path):
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


async def test_a_refused_message_can_be_carried_out(tmp_path):
    async with Rig(tmp_path / "o.db") as rig:
        rig.outbox.set_live(True)
        rig.outbox.put(message(7))
        refused_ms = rig.clock.now_ns() // 1_000_000
        rig.outbox.refuse((await rig.outbox.fetch(1))[0], "packet too large")
        await rig.commit()
        wanted = message(7)
        [line] = lines(tmp_path / "o.db.refused.jsonl")
        assert (line["topic"], line["boot"], line["seq"]) == (wanted.topic, wanted.boot, 7)
        assert line["payload"].encode() == wanted.payload
        assert line["reason"] == "packet too large"
        assert line["refused_ms"] == refused_ms
    assert len(lines(tmp_path / "o.db.refused.jsonl")) == 1


async def test_the_files_have_a_ceiling(tmp_path):
    file = DeadLetters(tmp_path / "o.db", file_bytes=1000)
    for seq in range(100):
        file.add(Message("t", "b", seq, Lane.WINDOW, 0, 0, b"x" * 100), "no", 0)
        await file.write()
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) == 2
    assert all(size <= 1000 for size in sizes)
    assert lines(file.path)[-1]["seq"] == 99


async def test_bytes_that_are_no_text_are_kept_exactly(tmp_path):
    file = DeadLetters(tmp_path / "o.db")
    file.add(Message("t", "b", 1, Lane.WINDOW, 0, 0, b"\xff\x00"), "no", 0)
    await file.write()
    assert lines(file.path)[0]["payload_base64"] == "/wA="


async def test_what_the_disk_does_not_take_waits_within_a_ceiling(tmp_path):
    file = DeadLetters(tmp_path / "absent" / "o.db", waiting_bytes=1000)
    for seq in range(20):
        file.add(Message("t", "b", seq, Lane.WINDOW, 0, 0, b"x" * 100), "no", 0)
        await file.write()
    (tmp_path / "absent").mkdir()
    await file.write()
    kept = [line["seq"] for line in lines(file.path)]
    assert kept == list(range(20 - len(kept), 20))
    assert 3 <= len(kept) <= 5


async def test_an_encrypted_outbox_keeps_refused_messages_encrypted(tmp_path):
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    async with Rig(tmp_path / "o.db", key_file=str(key)) as rig:
        rig.outbox.set_live(True)
        rig.outbox.put(message(7))
        rig.outbox.refuse((await rig.outbox.fetch(1))[0], "packet too large")
        await rig.commit()
    path = tmp_path / "o.db.refused.jsonl"
    [line] = path.read_bytes().splitlines()
    assert message(7).payload not in line
    assert "payload" not in orjson.loads(line)
    assert readable_line(line, encryption_of(str(key)))["payload"].encode() == message(7).payload
    other = tmp_path / "other"
    other.write_bytes(bytes(32))
    for seal in (None, encryption_of(str(other))):
        with pytest.raises(ValueError, match=r"encrypted|another key"):
            readable_line(line, seal)
    assert export(path, tmp_path / "plain.jsonl", str(key)) == 0
    assert lines(tmp_path / "plain.jsonl")[0]["payload"].encode() == message(7).payload
    assert export(path, tmp_path / "closed.jsonl") == 1


async def test_a_plain_file_is_exported_as_it_is_but_for_broken_lines(tmp_path):
    file = DeadLetters(tmp_path / "o.db")
    file.add(Message("t", "b", 1, Lane.WINDOW, 0, 0, b"x"), "no", 0)
    await file.write()
    whole = file.path.read_bytes()
    file.path.write_bytes(whole + whole[:20])
    assert export(file.path, tmp_path / "out.jsonl") == 1
    assert (tmp_path / "out.jsonl").read_bytes() == whole
    assert export(tmp_path / "absent.refused.jsonl", tmp_path / "more.jsonl") == 2
