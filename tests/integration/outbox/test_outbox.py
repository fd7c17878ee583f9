"""The write-behind: what reaches the disk, when, and what comes back."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from gateway.core.errors import ConfigError
from gateway.core.messages import Lane
from gateway.outbox.records import PreviousBoot
from tests.support.clock import settle
from tests.support.network import until
from tests.support.outbox_parts import Rig, message


async def restarted(path, boot="b2", **changes):
    """What a new process finds: the delivered messages, as (seq, live)."""
    async with Rig(path, boot, **changes) as rig:
        return [(m.seq, live) for m, live in await rig.drain_marked()]


def inserted(rig, monkeypatch):
    """The numbers of all messages that are written from now on."""
    seqs, commit = [], rig.outbox._writer.store.commit

    async def noting(change):
        await commit(change)
        seqs.extend(entry.message.seq for entry in change.inserts)

    monkeypatch.setattr(rig.outbox._writer.store, "commit", noting)
    return seqs


async def test_what_is_acknowledged_before_the_commit_is_never_written(tmp_path):
    async with Rig(tmp_path / "o.db") as rig:
        rig.outbox.set_live(True)
        await rig.commit()
        size = (tmp_path / "o.db-wal").stat().st_size
        for seq in range(50):
            rig.outbox.put(message(seq))
            for delivery in await rig.outbox.fetch(10):
                rig.outbox.ack(delivery)
            await rig.advance(0.1)
        assert (tmp_path / "o.db-wal").stat().st_size == size
        assert rig.outbox.stats.messages == 0


async def test_what_is_not_acknowledged_survives_a_crash_one_interval_later(tmp_path):
    rig = Rig(tmp_path / "o.db")
    async with rig:
        rig.outbox.set_live(True)
        rig.outbox.put(message(1))
        rig.outbox.put(message(2))
        rig.outbox.ack((await rig.outbox.fetch(1))[0])
        await rig.outbox.fetch(1)
        await rig.commit()
        rig.outbox.put(message(3))
        await rig.crash()
        assert await restarted(tmp_path / "o.db") == [(2, False)]


async def test_a_commit_begins_when_the_oldest_message_is_nearly_an_interval_old(tmp_path):
    async with Rig(tmp_path / "o.db") as rig:
        await rig.commit()
        rig.outbox.put(message(1))
        await rig.advance(0.5)
        rig.outbox.put(message(2))
        await rig.advance(0.29)
        assert rig.on_disk == 0
        await rig.advance(0.02)
        await until(lambda: rig.on_disk == 2, what="one commit for both")


async def test_a_deletion_that_is_due_takes_no_message_to_the_disk_that_is_not(tmp_path, monkeypatch):
    """Else one stray commit goes on for ever: each writes what is in flight, whose deletion asks for the next."""
    async with Rig(tmp_path / "o.db") as rig:
        written = inserted(rig, monkeypatch)
        rig.outbox.set_live(True)
        rig.outbox.put(message(1))
        late = await rig.outbox.fetch(1)
        await rig.commit()
        await rig.advance(0.7)
        rig.outbox.ack(*late)
        for seq in range(2, 52):
            rig.outbox.put(message(seq))
            await rig.advance(0.6)
            for delivery in await rig.outbox.fetch(10):
                rig.outbox.ack(delivery)
            await rig.advance(0.1)
        assert rig.on_disk == 0
        assert written == [1]


async def test_an_idle_outbox_writes_nothing_and_still_beats(tmp_path):
    async with Rig(tmp_path / "o.db") as rig:
        await rig.commit()
        beat, before = rig.outbox.beat, (tmp_path / "o.db-wal").stat().st_mtime_ns
        await rig.advance(10)
        assert rig.outbox.beat >= beat + 9
        assert (tmp_path / "o.db-wal").stat().st_mtime_ns == before


async def test_the_beat_stops_while_the_disk_hangs(tmp_path, monkeypatch):
    async with Rig(tmp_path / "o.db") as rig:
        await rig.commit()
        let_go = hang(rig, monkeypatch)
        rig.outbox.put(message(1))
        await rig.clock.advance(1)
        beat = rig.outbox.beat
        await rig.clock.advance(60)
        assert rig.outbox.beat == beat
        let_go.set()


def hang(rig, monkeypatch):
    """Make the next commits wait for the event that is returned."""
    let_go, commit = asyncio.Event(), rig.outbox._writer.store.commit

    async def slow(change):
        await let_go.wait()
        await commit(change)

    monkeypatch.setattr(rig.outbox._writer.store, "commit", slow)
    return let_go


async def test_an_ack_while_the_message_is_being_written_deletes_it_again(tmp_path, monkeypatch):
    async with Rig(tmp_path / "o.db") as rig:
        rig.outbox.set_live(True)
        await rig.commit()
        rig.outbox.put(message(1))
        (delivery,) = await rig.outbox.fetch(1)
        let_go = hang(rig, monkeypatch)
        await rig.clock.advance(1)
        rig.outbox.ack(delivery)
        let_go.set()
        await until(lambda: rig.on_disk == 1, what="the insert goes through")
        await rig.commit()
        assert rig.on_disk == 0
        await rig.crash()
        assert await restarted(tmp_path / "o.db") == []


async def test_cancelling_the_loop_in_a_commit_leaves_nothing_half_done(tmp_path, monkeypatch):
    async with Rig(tmp_path / "o.db") as rig:
        await rig.commit()
        let_go = hang(rig, monkeypatch)
        rig.outbox.put(message(1))
        await rig.clock.advance(1)
        stopping = asyncio.create_task(rig.stop())
        await settle()
        assert not stopping.done()
        let_go.set()
        await stopping
        assert rig.on_disk == 1
    assert await restarted(tmp_path / "o.db") == [(1, False)]


async def test_closing_writes_everything_in_flight_or_not_and_is_clean(tmp_path):
    async with Rig(tmp_path / "o.db") as rig:
        rig.outbox.set_live(True)
        for seq in range(1, 4):
            rig.outbox.put(message(seq))
        await rig.outbox.fetch(2)
    async with Rig(tmp_path / "o.db", "b2") as rig:
        assert not rig.outbox.unclean
        assert [m.seq for m in await rig.drain()] == [1, 2, 3]


async def test_unclean_stops_are_known_until_a_boot_has_kept_that_it_told_of_them(tmp_path):
    async with Rig(tmp_path / "o.db") as first:
        await first.crash()
        async with Rig(tmp_path / "o.db", "b2") as second:
            second.outbox.put(message(1))  # the news of b1, lost with b2
            await second.crash()
            async with Rig(tmp_path / "o.db", "b3") as third:
                assert [boot.boot for boot in third.outbox.unclean] == ["b1", "b2"]
                third.outbox.put(message(2))
                await third.commit()
                await third.crash()
                async with Rig(tmp_path / "o.db", "b4") as fourth:
                    assert [boot.boot for boot in fourth.outbox.unclean] == ["b3"]
                    fourth.outbox.put(message(3))
                async with Rig(tmp_path / "o.db", "b5") as fifth:
                    assert not fifth.outbox.unclean


@pytest.mark.parametrize("acknowledged", [False, True])
async def test_an_unclean_stop_that_the_broker_knows_of_is_told_once(tmp_path, acknowledged):
    """Online nothing is ever written, so no commit comes by itself; what the broker lacks is written with it."""
    async with Rig(tmp_path / "o.db") as first:
        await first.crash()
        async with Rig(tmp_path / "o.db", "b2") as second:
            second.outbox.set_live(True)
            second.outbox.put(message(1))
            (delivery,) = await second.outbox.fetch(1)
            if acknowledged:
                second.outbox.ack(delivery)
            await second.advance(3)
            await second.crash()
            async with Rig(tmp_path / "o.db", "b3") as third:
                assert [boot.boot for boot in third.outbox.unclean] == ["b2"]
                assert [m.seq for m in await third.drain()] == ([] if acknowledged else [1])


async def test_an_unclean_stop_is_known_at_the_next_start(tmp_path):
    async with Rig(tmp_path / "o.db") as rig:
        await rig.crash()
        async with Rig(tmp_path / "o.db", "b2") as second:
            started_ms = second.clock.now_ns() // 10**6
            assert second.outbox.unclean == [PreviousBoot("b1", started_ms)]
            second.outbox.put(message(1, Lane.EVENT, boot="b2"))
            await second.commit()
        async with Rig(tmp_path / "o.db", "b3") as third:
            assert not third.outbox.unclean


async def test_backlog_of_an_earlier_boot_comes_in_order_after_what_is_live(tmp_path):
    lanes = [Lane.EVENT if seq % 100 == 0 else Lane.WINDOW for seq in range(1, 1001)]
    async with Rig(tmp_path / "o.db") as rig:
        for seq, lane in enumerate(lanes, 1):
            rig.outbox.put(message(seq, lane))
    async with Rig(tmp_path / "o.db", "b2") as rig:
        rig.outbox.set_live(True)
        rig.outbox.put(message(1, boot="b2"))
        got = await rig.drain_marked()
        assert (got[0][0].boot, got[0][1]) == ("b2", True)
        assert not any(live for _, live in got[1:])
        seqs = [m.seq for m, _ in got[1:]]
        assert seqs == list(range(100, 1001, 100)) + [seq for seq in range(1, 1001) if seq % 100]


async def test_live_messages_overtake_a_backlog_that_is_being_drained(tmp_path):
    async with Rig(tmp_path / "o.db") as rig:
        for seq in range(1, 1001):
            rig.outbox.put(message(seq))
        await rig.commit()
        rig.outbox.set_live(True)
        seen = []
        for round in range(10):
            rig.outbox.put(message(2000 + round))
            taken = await rig.outbox.fetch(50)
            seen.append(taken[0].message.seq)
            for delivery in taken:
                rig.outbox.ack(delivery)
        assert seen == list(range(2000, 2010))


async def test_messages_released_after_their_commit_come_back_in_order(tmp_path):
    async with Rig(tmp_path / "o.db") as rig:
        rig.outbox.set_live(True)
        for seq in range(1, 601):
            rig.outbox.put(message(seq))
        flights = await rig.outbox.fetch(300)
        await rig.commit()
        rig.outbox.set_live(False)
        rig.outbox.release(flights)
        rig.outbox.put(message(601))
        await rig.commit()
        assert rig.outbox.stats.memory_bytes == 0
        assert [(m.seq, live) for m, live in await rig.drain_marked()] == [(seq, False) for seq in range(1, 602)]


@pytest.mark.parametrize("lane", [Lane.EVENT, Lane.WINDOW, Lane.SUMMARY])
@pytest.mark.parametrize("written", [False, True])
async def test_what_was_given_back_is_never_live_again(tmp_path, lane, written):
    """Neither over the connection that goes on (the broker refused it for now) nor over the next one."""
    async with Rig(tmp_path / "o.db") as rig:
        rig.outbox.set_live(True)
        rig.outbox.put(message(1, lane))
        for _ in range(2):
            (delivery,) = await rig.outbox.fetch(5)
            if written:
                await rig.commit()
            rig.outbox.release([delivery])
        (delivery,) = await rig.outbox.fetch(5)
        assert not delivery.live
        rig.outbox.set_live(False)
        rig.outbox.release([delivery])
        rig.outbox.set_live(True)
        assert [live for _, live in await rig.drain_marked()] == [False]


async def test_a_take_cancelled_while_loading_loses_nothing(tmp_path):
    async with Rig(tmp_path / "o.db") as rig:
        for seq in range(1, 11):
            rig.outbox.put(message(seq))
        await rig.commit()
        taking = asyncio.create_task(rig.outbox.fetch(5))
        await asyncio.sleep(0)
        taking.cancel()
        with suppress(asyncio.CancelledError):
            rig.outbox.release(await taking)
        assert [m.seq for m in await rig.drain()] == list(range(1, 11))


async def test_backlog_is_read_ahead_while_other_backlog_is_sent(tmp_path, monkeypatch):
    async with Rig(tmp_path / "o.db") as rig:
        for seq in range(1, 701):
            rig.outbox.put(message(seq))
    async with Rig(tmp_path / "o.db", "b2") as rig:
        store, loads = rig.outbox._writer.store, []
        load = store.load

        async def noting(wanted, *limits):
            loads.append(await load(wanted, *limits))
            return loads[-1]

        monkeypatch.setattr(store, "load", noting)
        rig.outbox.set_live(True)
        taken = await rig.outbox.fetch(10)
        taken += await rig.outbox.fetch(10)
        await until(lambda: sum(len(batch.found) for batch in loads) > 256, what="the next batch, nobody waits for it")
        while len(taken) < 700:
            taken += await rig.outbox.fetch(10)
        assert [delivery.message.seq for delivery in taken] == list(range(1, 701))


async def test_what_goes_first_is_loaded_however_much_waits_that_comes_later(tmp_path):
    async with Rig(tmp_path / "o.db", memory="1MiB") as rig:
        rig.outbox.put(message(1))
    async with Rig(tmp_path / "o.db", "b2", memory="1MiB") as rig:
        for seq in range(2, 302):
            rig.outbox.put(message(seq, size=1000))
        rig.outbox.set_live(True)
        assert [m.seq for m in await rig.drain()] == list(range(1, 302))


async def test_memory_filling_up_is_written_at_once_and_left_to_the_disk(tmp_path):
    async with Rig(tmp_path / "o.db", memory="1MiB") as rig:
        rig.outbox.set_live(True)
        for seq in range(1, 801):
            rig.outbox.put(message(seq, size=500))
        await until(lambda: rig.outbox.stats.memory_bytes <= 2**19, what="memory is half empty without any time passing")
        assert rig.on_disk > 0
        got = await rig.drain_marked()
        assert sorted(m.seq for m, _ in got) == list(range(1, 801))
        assert {live for _, live in got} == {True, False}


async def test_a_second_gateway_on_the_same_path_is_refused(tmp_path):
    async with Rig(tmp_path / "o.db"):
        with pytest.raises(ConfigError, match="held by another gateway"):
            await Rig(tmp_path / "o.db").outbox.open()


async def test_a_start_that_fails_lets_go_of_the_path(tmp_path):
    (tmp_path / "o.db").write_bytes(b"SQLite format 3\0" + bytes(200))
    with pytest.raises(ConfigError, match="another program"):
        await Rig(tmp_path / "o.db").outbox.open()
    (tmp_path / "o.db").unlink()
    async with Rig(tmp_path / "o.db") as rig:
        assert rig.events == []


async def test_backlog_may_leave_newest_first_but_events_never(tmp_path):
    """From disk and from memory, over a restart; live messages still come before all of it."""
    async with Rig(tmp_path / "o.db") as rig:
        for seq in range(1, 1001):
            rig.outbox.put(message(seq, Lane.EVENT if seq % 100 == 0 else Lane.WINDOW))
    async with Rig(tmp_path / "o.db", "b2", backlog_order="newest-first") as rig:
        for seq in range(1001, 1011):
            rig.outbox.put(message(seq, boot="b2"))
        await rig.commit()
        rig.outbox.put(message(1011, boot="b2"))
        rig.outbox.set_live(True)
        rig.outbox.put(message(1012, boot="b2"))
        got = await rig.drain_marked()
        assert [(m.seq, live) for m, live in got[:11]] == [(1012, True), *((seq, False) for seq in range(100, 1001, 100))]
        assert [m.seq for m, _ in got[11:]] == [seq for seq in range(1011, 0, -1) if seq % 100 or seq > 1000]


async def test_what_a_device_remembers_is_backlog_from_the_beginning(tmp_path):
    for strict in (False, True):
        async with Rig(tmp_path / f"{strict}.db", strict=strict) as rig:
            rig.outbox.set_live(True)
            rig.outbox.put(replace(message(1), past=True))
            rig.outbox.put(message(2))
            await rig.commit()
            taken = []
            while len(taken) < 2:
                taken += await rig.outbox.fetch(2)
            assert [(delivery.message.seq, delivery.live) for delivery in taken] == [(2, True), (1, False)]
