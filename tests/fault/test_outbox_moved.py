"""Files deleted or replaced under the running gateway: what is gone is declared, and no second gateway slips in."""

import asyncio
import shutil
from collections import Counter
from pathlib import Path

import pytest

from gateway.core.errors import ConfigError
from gateway.core.messages import Lane
from tests.support.outbox_parts import Rig, message


def remove(path: Path, *parts: str) -> None:
    for part in parts:
        path.with_name(path.name + part).unlink()


async def put_and_commit(rig: Rig, seqs: range, boot: str = "b1") -> None:
    for seq in seqs:
        rig.outbox.put(message(seq, list(Lane)[seq % 3], boot=boot))
    await rig.commit()


@pytest.mark.parametrize("parts", [("",), ("", "-wal"), ("", "-wal", "-shm"), ("", "-wal", "-shm", ".lock")])
async def test_what_only_a_deleted_file_had_is_declared_lost(tmp_path: Path, parts: tuple[str, ...]) -> None:
    path = tmp_path / "o.db"
    async with Rig(path) as rig:
        await put_and_commit(rig, range(1, 31))
        held = await rig.outbox.take(7)
        remove(path, *parts)
        await put_and_commit(rig, range(31, 41))
        await rig.commit()
        assert rig.states == ["damaged"]
        assert rig.events[0].detail["reason"] == "the file was deleted or moved"
        with pytest.raises(ConfigError, match="held by another gateway"):
            await Rig(path).outbox.open()
        for delivery in held[:3]:
            rig.outbox.ack(delivery)
        rig.outbox.release(held[3:])
        delivered = [delivery.message for delivery in held[:3]]
        await rig.commit()
        rig.outbox.set_live(True)
        await rig.commit()
        losses = rig.losses.encoded
        await rig.crash()
    async with Rig(path, "b2") as rig:
        delivered += [m for m in await rig.drain() if m.topic != "g/event"]
    assert {loss.cause for loss in losses} == {"damaged"}
    missing = {lane: sorted(set(of(lane)) - {m.seq for m in delivered if m.lane == lane}) for lane in Lane}
    spans = {loss.topic: (loss.count, loss.first_seq, loss.last_seq) for loss in losses}
    assert spans == {
        f"g/press/{lane.name.lower()}": (len(seqs), seqs[0], seqs[-1]) for lane, seqs in missing.items() if seqs
    }
    assert len(delivered) == 40 - sum(map(len, missing.values())) == 20, "events were in memory already"


def of(lane: Lane) -> list[int]:
    return [seq for seq in range(1, 41) if list(Lane)[seq % 3] == lane]


async def test_a_loss_record_in_a_deleted_file_is_announced_again(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    async with Rig(path) as rig:
        await put_and_commit(rig, range(1, 4))
        rig.outbox.set_live(True)
        for delivery in await rig.outbox.take(3):
            rig.outbox.refuse(delivery, "never")
        await rig.commit()
        rig.outbox.set_live(False)  # the announcement is on the disk and nowhere else
        await put_and_commit(rig, range(4, 5))
        remove(path, "")
        await put_and_commit(rig, range(5, 6))
        first = Counter((loss.topic, loss.cause, loss.count) for loss in rig.losses.encoded)
        assert {cause for _, cause, _ in first} == {"refused"}
        rig.losses.encoded.clear()
        rig.outbox.set_live(True)
        await rig.commit()
        again = Counter((loss.topic, loss.cause, loss.count) for loss in rig.losses.encoded)
        assert again >= first
        assert {cause for _, cause, _ in again - first} == {"damaged"}
        assert sum(count for _, _, count in again - first) == 4 - first.total(), "and the messages that waited with it"


async def test_a_file_put_in_the_place_of_ours_is_kept_and_not_delivered(tmp_path: Path) -> None:
    path, other = tmp_path / "o.db", tmp_path / "other.db"
    async with Rig(other, "b0") as rig:
        await put_and_commit(rig, range(1, 6), "b0")
    content = other.read_bytes()
    async with Rig(path) as rig:
        await put_and_commit(rig, range(1, 31))
        other.rename(path)
        await put_and_commit(rig, range(31, 41))
        assert Path(str(rig.events[0].detail["kept"])).read_bytes() == content
        delivered = await rig.drain()
        assert [m.boot for m in delivered] == ["b1"] * 10
        rig.outbox.set_live(True)
        await rig.commit()
        assert sum(loss.count for loss in rig.losses.encoded) == 30


async def test_a_deleted_lock_is_taken_again(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    async with Rig(path) as rig:
        remove(path, ".lock")
        await put_and_commit(rig, range(1, 4))
        with pytest.raises(ConfigError, match="held by another gateway"):
            await Rig(path).outbox.open()
        assert rig.events == []


async def test_another_gateway_that_has_slipped_in_is_left_alone_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    async with Rig(path) as rig:
        await put_and_commit(rig, range(1, 11))
        remove(path, ".lock")
        async with Rig(path, "b2") as other:
            await put_and_commit(rig, range(11, 21))
            await rig.commit()
            assert rig.states == ["refused"]
            assert "held by another gateway" in rig.outbox.stats.refused
            await put_and_commit(other, range(1, 6), "b2")
            theirs = {(m.boot, m.seq) for m in await other.drain()}
            assert other.events == []
        await rig.commit()
        assert rig.states == ["refused", "recovered"]
        ours = [(m.boot, m.seq) for m in await rig.drain()]
    assert len(set(ours)) == len(ours)
    assert theirs | set(ours) == {("b2", seq) for seq in range(1, 6)} | {("b1", seq) for seq in range(1, 21)}


@pytest.mark.parametrize("by", ["deletion", "replacement"])
async def test_a_log_deleted_under_the_gateway_costs_nothing(tmp_path: Path, by: str) -> None:
    """What was committed stands in the deleted log alone; a crash would forget it."""
    path = tmp_path / "o.db"
    async with Rig(path) as rig:
        await put_and_commit(rig, range(1, 11))
        wal = path.with_name("o.db-wal")
        copy = tmp_path / "copy"
        shutil.copy(wal, copy)
        wal.unlink()
        if by == "replacement":
            copy.rename(wal)
        rig.outbox.set_live(True)
        taken = await rig.outbox.take(4)
        for delivery in taken:
            rig.outbox.ack(delivery)
        await put_and_commit(rig, range(11, 16))
        await rig.commit()
        assert rig.states == ["refused", "recovered"]
        await rig.crash()
    async with Rig(path, "b2") as rig:
        found = [m.seq for m in await rig.drain()]
        assert rig.events == []
    assert sorted(found + [d.message.seq for d in taken]) == list(range(1, 16))


async def test_a_folder_deleted_under_the_gateway_does_not_end_it(tmp_path: Path) -> None:
    path = tmp_path / "box" / "o.db"
    async with Rig(path) as rig:
        await put_and_commit(rig, range(1, 11))
        shutil.rmtree(path.parent)
        await put_and_commit(rig, range(11, 21))
        assert rig.outbox.stats.refused
        path.parent.mkdir()
        await rig.commit()
        await rig.commit()
        assert rig.outbox.stats.refused == ""
        rig.outbox.set_live(True)
        await rig.commit()
        delivered = [m for m in await asyncio.wait_for(rig.drain(), 10) if m.topic != "g/event"]
        assert len(delivered) + sum(loss.count for loss in rig.losses.encoded) == 20
        assert len(delivered) >= 10
