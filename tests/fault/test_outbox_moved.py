"""Files taken away under the running gateway, beyond what test_outbox_damage.py has: its log, and no way to write again."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from gateway.core.messages import Lane
from gateway.outbox.database.sqlite_errors import DamagedError
from tests.support.outbox_parts import Rig, message


async def put_and_commit(rig: Rig, seqs: range, boot: str = "b1") -> None:
    for seq in seqs:
        rig.outbox.put(message(seq, list(Lane)[seq % 3], boot=boot))
    await rig.commit()


def never_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no time to write a file again that was taken away."""

    async def too_slow(most_s: float) -> None:
        raise DamagedError("took too long")

    monkeypatch.setattr(rig.outbox._writer.store, "write_again", too_slow)


async def test_what_only_the_file_had_is_declared_lost_with_spans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "o.db"
    monkeypatch.setattr("gateway.outbox.outbox._AHEAD_BYTES", 0)  # what is read ahead is not lost with the file
    async with Rig(path) as rig:
        never_again(rig, monkeypatch)
        await put_and_commit(rig, range(1, 31))
        held = await rig.outbox.fetch(7)
        path.unlink()
        await put_and_commit(rig, range(31, 41))
        await rig.commit()
        assert rig.states == ["damaged"]
        assert rig.events[0].reason == "the file was deleted or moved"
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


async def test_a_loss_record_in_the_file_is_announced_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "o.db"
    async with Rig(path) as rig:
        never_again(rig, monkeypatch)
        await put_and_commit(rig, range(1, 4))
        rig.outbox.set_live(True)
        for delivery in await rig.outbox.fetch(3):
            rig.outbox.refuse(delivery, "never")
        await rig.commit()
        rig.outbox.set_live(False)  # the announcement is on the disk and nowhere else
        await put_and_commit(rig, range(4, 5))
        path.unlink()
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


@pytest.mark.parametrize("by", ["deletion", "replacement"])
async def test_a_log_deleted_under_the_gateway_costs_nothing(tmp_path: Path, by: str) -> None:
    """What was committed stands in the deleted log alone; a crash would forget it. Losses that wait are not told twice."""
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
        taken = await rig.outbox.fetch(4)
        rig.outbox.refuse(taken[0], "never")
        rig.outbox.set_live(False)
        for delivery in taken[1:]:
            rig.outbox.ack(delivery)
        await put_and_commit(rig, range(11, 16))
        await rig.commit()
        assert rig.states == ["refused", "recovered"]
        rig.outbox.set_live(True)
        await rig.commit()
        assert [(loss.first_seq, loss.count) for loss in rig.losses.encoded] == [(taken[0].message.seq, 1)]
        await rig.crash()
    async with Rig(path, "b2") as rig:
        found = [m.seq for m in await rig.drain() if m.topic != "g/event"]
        assert rig.events == []
    assert sorted(found + [d.message.seq for d in taken]) == list(range(1, 16))
