"""Nothing is dropped without a record, and the ceilings hold."""

import json
from collections import Counter

import pytest

from gateway.core.errors import Retryable
from gateway.core.messages import Lane
from gateway.outbox.records import Usage
from tests.support.clock import ManualClock
from tests.support.network import until
from tests.support.outbox_parts import NOW_NS, Rig, message


def ledger(delivered, encoded):
    """Per topic: how many messages came, how many were declared lost."""
    came = Counter(m.topic for m in delivered if m.topic != "g/event")
    lost = Counter()
    for loss in encoded:
        lost[loss.topic] += loss.count
    return came, lost


async def test_above_max_bytes_the_oldest_windows_go_with_an_exact_record(tmp_path):
    async with Rig(tmp_path / "o.db", max_bytes="16MiB") as rig:
        for seq in range(1, 13_001):
            rig.outbox.put(message(seq, Lane.EVENT if seq % 1000 == 0 else Lane.WINDOW, size=1000))
            if seq % 1000 == 0:
                await rig.commit()
                assert sum(p.stat().st_size for p in tmp_path.glob("o.db*") if p.suffix != ".db-shm") <= 16 * 2**20
        rig.outbox.set_live(True)
        await rig.commit()
        delivered = await rig.drain()
        (loss,) = rig.losses.encoded
        assert (loss.cause, loss.first_seq, loss.boot) == ("max_bytes", 1, "b1")
        windows = [m.seq for m in delivered if m.lane == Lane.WINDOW]
        assert windows[0] == loss.last_seq + 1
        assert len(windows) + loss.count == 12_987
        assert sum(m.topic == "g/press/event" for m in delivered) == 13


async def test_losses_of_an_outage_are_one_record_and_survive_restarts(tmp_path):
    for boot in ("b1", "b2"):
        async with Rig(tmp_path / "o.db", boot, max_bytes="16MiB") as rig:
            for seq in range(1, 8001):
                rig.outbox.put(message(seq, boot=boot, size=1000))
                if seq % 1000 == 0:
                    await rig.commit()
            assert rig.losses.encoded == []
    async with Rig(tmp_path / "o.db", "b3") as rig:
        rig.outbox.set_live(True)
        await rig.commit()
        delivered = await rig.drain()
        assert [(x.boot, x.cause) for x in rig.losses.encoded] == [("b1", "max_bytes"), ("b2", "max_bytes")]
        came, lost = ledger(delivered, rig.losses.encoded)
        assert came["g/press/window"] + lost["g/press/window"] == 16_000
    async with Rig(tmp_path / "o.db", "b4") as rig:
        rig.outbox.set_live(True)
        await rig.commit()
        assert rig.losses.encoded == []


async def test_what_is_in_flight_is_not_dropped(tmp_path):
    async with Rig(tmp_path / "o.db", max_bytes="16MiB") as rig:
        rig.outbox.set_live(True)
        for seq in range(1, 101):
            rig.outbox.put(message(seq, size=1000))
        flights = await rig.outbox.fetch(100)
        await rig.commit()
        rig.outbox.set_live(False)
        for seq in range(101, 10_001):
            rig.outbox.put(message(seq, size=1000))
            if seq % 1000 == 0:
                await rig.commit()
        assert rig.outbox.stats.lost > 0
        rig.outbox.release(flights)
        assert [m.seq for m in await rig.drain()][:100] == list(range(1, 101))


async def test_too_old_messages_go(tmp_path):
    now_ms = NOW_NS // 10**6
    async with Rig(tmp_path / "o.db", max_age="1h") as rig:
        for seq, age_s in enumerate((7200, 3700, 2000, 10), 1):
            rig.outbox.put(message(seq, end_ms=now_ms - age_s * 1000))
        await rig.commit()
        await rig.advance(60)
        assert rig.on_disk == 4, "the clock may be wrong so soon after the start"
        await rig.advance(600)
        await until(lambda: rig.on_disk == 2, what="the first two are gone")
        rig.outbox.set_live(True)
        await rig.commit()
        assert [(x.first_seq, x.last_seq, x.count, x.cause) for x in rig.losses.encoded] == [(1, 2, 2, "max_age")]


@pytest.mark.parametrize("wrong_at_start", [True, False])
async def test_a_wrong_clock_that_is_mended_within_ten_minutes_drops_nothing(tmp_path, wrong_at_start):
    """A month ahead, at the start (no battery) or later; with the right time again nothing was too old."""
    clock = ManualClock(NOW_NS)
    async with Rig(tmp_path / "o.db", clock=clock) as rig:
        rig.outbox.put(message(1))
    clock.ahead_s = 30 * 86400.0 * wrong_at_start
    async with Rig(tmp_path / "o.db", "b2", clock=clock) as rig:
        await rig.advance(0 if wrong_at_start else 700)
        clock.ahead_s = 30 * 86400.0
        await rig.advance(500)
        clock.ahead_s = 0.0
        await rig.advance(700)
        assert rig.on_disk == 1
        clock.ahead_s = 30 * 86400.0
        await rig.advance(2 * 3600)
        await until(lambda: rig.on_disk == 0, what="a clock that stays is believed")


async def test_below_keep_free_new_messages_replace_the_oldest(tmp_path, monkeypatch):
    async with Rig(tmp_path / "o.db") as rig:
        for seq in range(1, 4001):
            rig.outbox.put(message(seq, size=1000))
        await rig.commit()
        full_disk(rig, monkeypatch)
        size = rig.outbox.stats.disk_bytes
        for seq in range(4001, 5001):
            rig.outbox.put(message(seq, size=1000))
        await rig.commit()
        assert rig.outbox.stats.disk_bytes <= size
        delivered = await rig.drain()
        rig.outbox.set_live(True)
        await rig.commit()
        (loss,) = rig.losses.encoded
        assert (loss.cause, loss.first_seq, loss.count + len(delivered)) == ("disk_free", 1, 5000)


def full_disk(rig, monkeypatch):
    """From now on the file system has nothing left."""
    usage = rig.outbox._writer.store.usage
    monkeypatch.setattr(rig.outbox._writer.store, "usage", lambda: Usage(usage().used, usage().file, usage().wal, 0))


async def test_without_any_room_messages_wait_in_memory_and_it_is_told(tmp_path, monkeypatch):
    async with Rig(tmp_path / "o.db") as rig:
        full_disk(rig, monkeypatch)
        rig.outbox.put(message(1, size=50_000))
        await rig.advance(3)
        await until(lambda: rig.states == ["refused"], what="told once")
        assert "keep_free" in rig.outbox.stats.refused
        monkeypatch.undo()
        await rig.commit()
        assert rig.states == ["refused", "recovered"]
        assert rig.on_disk == 1


def refuse(rig, monkeypatch):
    attempts: list[object] = []

    async def refused(change):
        attempts.append(change)
        raise Retryable("no space")

    monkeypatch.setattr(rig.outbox._writer.store, "commit", refused)
    return attempts


async def test_a_disk_that_refuses_is_told_once_tried_once_an_interval_and_recovers(tmp_path, monkeypatch):
    async with Rig(tmp_path / "o.db") as rig:
        attempts = refuse(rig, monkeypatch)
        rig.outbox.put(message(1))
        await rig.advance(2)
        before = len(attempts)
        await rig.advance(8)
        assert len(attempts) - before == 10
        assert rig.states == ["refused"]
        monkeypatch.undo()
        await rig.commit()
        assert rig.states == ["refused", "recovered"]
        assert rig.on_disk == 1


async def test_memory_is_bounded_when_the_disk_refuses_and_events_outlive_windows(tmp_path, monkeypatch):
    async with Rig(tmp_path / "o.db", memory="1MiB") as rig:
        refuse(rig, monkeypatch)
        for seq in range(1, 3001):
            rig.outbox.put(message(seq, Lane.EVENT if seq % 30 == 0 else Lane.WINDOW, size=500))
            assert rig.outbox.stats.memory_bytes <= 2**20
            if seq % 100 == 0:
                await rig.advance(1)
        delivered = await rig.drain()
        assert sum(m.lane == Lane.EVENT for m in delivered) == 100
        monkeypatch.undo()
        rig.outbox.set_live(True)
        await rig.commit()
        (loss,) = rig.losses.encoded
        assert (loss.cause, loss.detail, loss.first_seq) == ("memory", "no space", 1)
        assert loss.count + len(delivered) == 3000


async def test_losses_are_announced_even_while_the_disk_refuses(tmp_path, monkeypatch):
    async with Rig(tmp_path / "o.db", memory="1MiB") as rig:
        rig.outbox.set_live(True)
        refuse(rig, monkeypatch)
        for seq in range(1, 2001):
            rig.outbox.put(message(seq, size=600))
        await rig.advance(2)
        got = await rig.drain_marked()
        losses = [json.loads(m.payload)["count"] for m, live in got if m.topic == "g/event" and live]
        assert sum(losses) + sum(m.topic != "g/event" for m, _ in got) == 2000


async def test_a_refused_message_is_a_published_loss_with_the_reason(tmp_path):
    async with Rig(tmp_path / "o.db") as rig:
        rig.outbox.set_live(True)
        rig.outbox.put(message(7))
        rig.outbox.refuse((await rig.outbox.fetch(1))[0], "packet too large")
        await rig.advance(1)
        (announced,) = await rig.outbox.fetch(5)
        assert announced.live
        assert announced.message.lane == Lane.EVENT
        payload = json.loads(announced.message.payload)
        assert (payload["first_seq"], payload["last_seq"], payload["count"]) == (7, 7, 1)
        assert (payload["cause"], payload["detail"]) == ("refused", "packet too large")


async def test_an_announcement_is_on_disk_before_it_is_sent(tmp_path):
    """Else a crash after sending would announce the loss twice."""
    async with Rig(tmp_path / "o.db") as rig:
        rig.outbox.set_live(True)
        rig.outbox.put(message(1))
        rig.outbox.refuse((await rig.outbox.fetch(1))[0], "no")
        await rig.advance(1)
        (announced,) = await rig.outbox.fetch(5)
        assert rig.on_disk == 1
        await rig.crash()
    async with Rig(tmp_path / "o.db", "b2") as rig:
        assert [m.payload for m in await rig.drain()] == [announced.message.payload]
        assert rig.losses.encoded == []


async def test_a_refused_announcement_waits_for_the_next_connection(tmp_path):
    """A broker that takes no events must not be sent one loss after the other for ever; what it told is told anew."""
    async with Rig(tmp_path / "o.db") as rig:
        rig.outbox.set_live(True)
        rig.outbox.put(message(1))
        rig.outbox.refuse((await rig.outbox.fetch(1))[0], "no")
        await rig.advance(1)
        rig.outbox.refuse((await rig.outbox.fetch(5))[0], "not authorised")
        await rig.advance(20)
        assert len(rig.losses.encoded) == 1
        rig.outbox.set_live(False)
        rig.outbox.set_live(True)
        await rig.advance(1)
        assert (await rig.outbox.fetch(5))[0].message.topic == "g/event"
        again = [(loss.topic, loss.first_seq, loss.count) for loss in rig.losses.encoded[1:]]
        assert sorted(again) == [("g/event", 1, 1), ("g/press/window", 1, 1)]
        assert rig.outbox.stats.lost == 2


@pytest.mark.parametrize("commits", [False, True])
async def test_losses_that_nobody_heard_of_yet_are_kept_at_close(tmp_path, commits):
    async with Rig(tmp_path / "o.db") as rig:
        rig.outbox.set_live(True)
        rig.outbox.put(message(1))
        (delivery,) = await rig.outbox.fetch(1)
        rig.outbox.set_live(False)
        rig.outbox.refuse(delivery, "no")
        if commits:
            await rig.commit()
    async with Rig(tmp_path / "o.db", "b2") as rig:
        rig.outbox.set_live(True)
        await rig.commit()
        assert [(x.boot, x.first_seq, x.cause) for x in rig.losses.encoded] == [("b1", 1, "refused")]


async def test_a_ceiling_that_came_down_is_reached_in_bounded_steps(tmp_path):
    """Live messages are written at once: each commit drops what it needs and a little, not all that is too much."""
    async with Rig(tmp_path / "o.db", max_bytes="64MiB") as rig:
        for seq in range(1, 40_001):
            rig.outbox.put(message(seq, size=1000))
            if seq % 1000 == 0:
                await rig.commit()
    async with Rig(tmp_path / "o.db", "b2", max_bytes="24MiB") as rig:
        writer, store, dropped = rig.outbox._writer, rig.outbox._writer.store, []
        commit, whole = store.commit, writer._commit

        async def counted(change):
            dropped[-1] += len(change.deletes)
            rig.clock.set_forward(0.1)  # a slow disk
            await commit(change)

        async def counting(*args):
            dropped.append(0)
            return await whole(*args)

        store.commit, writer._commit = counted, counting
        size = store.usage().file
        for seq in range(1, 101):
            rig.outbox.put(message(seq, boot="b2", size=1000))
            await rig.commit()
            assert store.usage().file <= size
            assert rig.outbox._memory.unwritten <= 2
        await rig.advance(2)
        assert rig.outbox._memory.unwritten == 0
        assert max(dropped) <= 7 * 5000, "half a second of a slow disk"
        assert store.usage().used <= 16 * 2**20, "with a sixteenth of room"
        count = rig.on_disk
        rig.outbox.set_live(True)
        await rig.commit()
        assert sum(loss.count for loss in rig.losses.encoded) == 40_100 - count


async def test_what_is_too_old_goes_in_bounded_steps_after_what_is_new_is_written(tmp_path):
    now_ms = NOW_NS // 10**6
    async with Rig(tmp_path / "o.db", max_age="1h") as rig:
        for seq in range(1, 20_001):
            rig.outbox.put(message(seq, end_ms=now_ms - 7_200_000))
        await rig.commit()
        store, written, commit = rig.outbox._writer.store, [], rig.outbox._writer.store.commit

        async def slow(change):
            written.append((len(change.inserts), len(change.deletes)))
            rig.clock.set_forward(0.3)
            await commit(change)

        store.commit = slow
        await rig.clock.advance(599, lambda: until(lambda: rig.clock.waits_s, what="sleeps"))
        rig.outbox.put(message(30_000, end_ms=now_ms + 600_000))
        written.clear()
        for _ in range(10):
            await rig.commit()
        assert rig.on_disk == 1
        assert [inserts for inserts, _ in written].count(1) == 1
        assert max(deletes for _, deletes in written) <= 5000
        assert written[0] == (1, 0), "first what is new"
