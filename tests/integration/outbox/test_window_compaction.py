"""Which windows are merged, in what order, and what is left alone."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gateway.core.messages import Lane, Message
from gateway.encoding.merge_windows import merge_windows
from gateway.outbox.database.store import Store
from gateway.outbox.records import Change, Entry, Row
from gateway.outbox.window_compaction import WindowCompaction
from tests.support.clock import ManualClock
from tests.support.network import until
from tests.support.outbox_parts import NOW_NS, Rig, message, proof, samples_in, window

MINUTE = 60_000
M0 = NOW_NS // 10**6 // 600_000 * 600_000 - 86_400_000


def row(id: int, second: float, topic: str = "t", boot: str = "b", size: int = 100, length: int = 1000) -> Row:
    start = M0 + round(second * 1000)
    return Row(id, Lane.WINDOW, topic, boot, id, start, start + length, size)


async def thinned(store: Store, work: WindowCompaction, before_ms: int, levels: int = 2) -> int:
    """Merge until nothing is left; how many messages will not arrive by themselves."""
    count = 0
    for _ in range(1000):
        merged = await work.step(before_ms, levels)
        if merged is None:
            return count
        gone = merged.gone
        await store.commit(Change(merged.instead, gone))
        count += len(merged.thinned)
    raise AssertionError("never done")


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Store]:
    store = Store(path)
    await store.open("b1", 0)
    try:
        yield store
    finally:
        await store.close()


def joined(messages: list[Message]) -> list[Message]:
    """A merge whose result lists the numbers that it stands for."""
    parts = b" ".join(m.payload for m in messages)
    first, last = messages[0], max(messages, key=lambda m: m.seq)
    end = max(m.end_ms for m in messages)
    return [Message(last.topic, last.boot, last.seq, last.lane, first.start_ms, end, parts)]


second = st.tuples(st.integers(0, 1500), st.sampled_from("tu"), st.booleans())


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(second, min_size=1, max_size=120), st.integers(3, 50), st.integers(0, 30), st.booleans())
async def test_every_minute_and_then_every_ten_minutes_become_one_message(
    tmp_path_factory: pytest.TempPathFactory,
    seconds: list[tuple[int, str, bool]],
    scan: int,
    held: int,
    in_order: bool,
) -> None:
    """However the clock jumped, each number is in one message; without jumps one message is left of each span."""
    async with opened(tmp_path_factory.mktemp("o") / "o.db") as store:
        entries = []
        for id, (at, topic, windowed) in enumerate(sorted(seconds) if in_order else seconds, 1):
            start, lane = M0 + at * 1000, Lane.WINDOW if windowed else Lane.SUMMARY
            entries.append(Entry(id, Message(topic, "b1", id, lane, start, start + 1000, b"%d" % id), False, lane, 0.0))
        await store.commit(Change(entries))
        work = WindowCompaction(store, joined, lambda id: id <= held, scan_rows=scan)
        count = await thinned(store, work, M0 + 10**9)
        rows = await store.after(Lane.WINDOW, 0, 1000)
        assert count == sum(e.lane == Lane.WINDOW for e in entries) - len(rows)
        stood_for = [int(n) for m in await store.messages(r.id for r in rows) for n in m.payload.split()]
        assert sorted(stood_for) == [e.id for e in entries if e.lane == Lane.WINDOW]
        spans = Counter((row.topic, row.start_ms // 600_000) for row in rows if row.id > held)
        assert max(spans.values(), default=0) <= 1 or not in_order
        assert len(await store.after(Lane.SUMMARY, 0, 1000)) == sum(e.lane == Lane.SUMMARY for e in entries)


async def test_looking_again_waits_for_the_next_minute_and_a_restart_looks_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path / "o.db") as store:
        work = WindowCompaction(store, joined, lambda id: False)
        await store.commit(Change([Entry(1, message(1, end_ms=M0 + 1000), False, Lane.WINDOW, 0.0)]))
        assert await thinned(store, work, M0 + MINUTE) == 0
        await store.commit(Change([Entry(2, message(2, end_ms=M0 + 2000), False, Lane.WINDOW, 0.0)]))
        assert await work.step(M0 + MINUTE) is None
        work.restart()
        assert await thinned(store, work, M0 + MINUTE) == 1


async def test_windows_that_can_be_replaced_are_never_merged(tmp_path: Path) -> None:
    """`window.late: replace`: without a function to merge, nothing is looked through."""
    async with opened(tmp_path / "o.db") as store:
        await store.commit(Change([Entry(id, message(id, end_ms=M0 + 1000 * id), False, Lane.WINDOW, 0.0) for id in (1, 2)]))
        assert await WindowCompaction(store, None, lambda id: False).step(M0 + MINUTE) is None
        assert await WindowCompaction(store, joined, lambda id: False).step(M0 + MINUTE) is not None


async def offline(rig: Rig, count: int, devices: int = 4, tags: int = 8) -> None:
    """`count` seconds of windows of each device, in commits of 100 seconds."""
    for seq in range(1, count + 1):
        for device in range(devices):
            rig.outbox.put(window(seq, M0 + seq * 1000, f"d{device}", tags=tags))
        if seq % 100 == 0:
            await rig.commit()
    await rig.commit()


async def test_near_the_ceiling_windows_become_minutes_and_nothing_is_lost(tmp_path: Path) -> None:
    async with Rig(tmp_path / "o.db", max_bytes="16MiB") as rig:
        await offline(rig, 3000)
        assert rig.outbox.stats.lost == 0
        assert rig.outbox.stats.thinned > 1000
        ledger, delivered = await proof(rig)
        assert ledger.report().complete
        assert {loss.cause for loss in rig.losses.encoded} == {"thinned"}
        assert samples_in(delivered) == 3000 * 4 * 80
        spans = {json.loads(m.payload)["dur"] for m in delivered if "/window" in m.topic}
        assert spans <= {1000, 59_000, MINUTE}, "the first minute begins with its second second"
        assert delivered[-1].end_ms == M0 + 3_001_000


async def test_what_memory_holds_is_not_merged(tmp_path: Path) -> None:
    async with Rig(tmp_path / "o.db", max_bytes="16MiB") as rig:
        rig.outbox.set_live(True)
        for seq in range(1, 31):
            rig.outbox.put(window(seq, M0 + seq * 1000, "d0"))
        flights = await rig.outbox.fetch(30)
        await rig.commit()
        rig.outbox.set_live(False)
        for seq in range(31, 60):
            rig.outbox.put(window(seq, M0 + seq * 1000, "d0"))
        for seq in range(1, 9001):
            rig.outbox.put(window(seq, M0 + seq * 1000, "d1"))
            if seq % 500 == 0:
                await rig.commit()
        rig.outbox.release(flights)
        first = [m.seq for m in await rig.drain() if m.topic == "g/d0/window"]
        assert first[:30] == list(range(1, 31))
        assert len(first) == 31, "the others became one"


async def test_windows_with_half_of_max_age_behind_them_become_minutes(tmp_path: Path) -> None:
    now_ms = NOW_NS // 10**6 // 600_000 * 600_000
    async with Rig(tmp_path / "o.db", max_age="2h") as rig:
        for seq in range(1, 121):
            rig.outbox.put(window(seq, now_ms - 3600_000 + seq * 1000))
        rig.outbox.put(window(121, now_ms - 60_000))
        await rig.commit()
        assert rig.on_disk == 121
        await rig.advance(800)
        await until(lambda: rig.on_disk == 4, what="two minutes, the first second of a third, and the young one")
        assert rig.outbox.stats.lost == 0


async def test_a_row_that_is_broken_is_left_to_be_found_as_such(tmp_path: Path) -> None:
    async with opened(tmp_path / "o.db") as store:
        windows = [window(seq, M0 + seq * 1000) for seq in range(1, 11)]
        await store.commit(Change([Entry(m.seq, m, False, Lane.WINDOW, 0.0) for m in windows]))
        await store._rows("UPDATE message SET payload = CAST('x' AS BLOB) WHERE id = 4")
        work = WindowCompaction(store, merge_windows, lambda id: False)
        assert await thinned(store, work, M0 + MINUTE) == 0
        await store._rows("DELETE FROM message WHERE id = 4")
        work.restart()
        assert await thinned(store, work, M0 + MINUTE) == 8
        (left,) = await store.after(Lane.WINDOW, 0, 10)
        assert (left.id, left.seq, left.start_ms, left.end_ms) == (10, 10, M0 + 1000, M0 + 11_000)


async def put_windows(rig: Rig, seqs: range) -> None:
    """Windows of eight devices, stamped with the time that the clock shows, one second after the other."""
    for seq in seqs:
        ts = rig.clock.now_ns() // 10**6
        for device in range(8):
            rig.outbox.put(window(seq, ts, f"d{device}", boot=rig.losses._boot))
        await rig.advance(1)


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_clock_that_was_wrong_for_a_while_keeps_nothing_from_being_merged(tmp_path: Path, restarted: bool) -> None:
    """A month ahead, then set right, in use or between two boots: windows from before, meanwhile and after all become
    minutes before anything is dropped."""
    clock, path = ManualClock(NOW_NS), tmp_path / "o.db"
    async with Rig(path, clock=clock, max_bytes="16MiB") as rig:
        await put_windows(rig, range(1, 181))
        clock.ahead_s = 30 * 86_400.0
        await put_windows(rig, range(181, 361))
        if not restarted:
            clock.ahead_s = 0.0
            await put_windows(rig, range(361, 1400))
            assert [run.until_ms is None for run in rig.outbox._writer.store.runs] == [False, True]
            await check_merged(rig, range(1, 1400))
            return
    clock.ahead_s = 0.0
    async with Rig(path, "b2", clock=clock, max_bytes="16MiB") as rig:
        await put_windows(rig, range(1, 1040))
        assert len(rig.outbox._writer.store.runs) == 2
        await check_merged(rig, range(1, 1400))


async def check_merged(rig: Rig, seqs: range) -> None:
    assert rig.outbox.stats.lost == 0
    waiting = await rig.outbox._writer.store.after(Lane.WINDOW, 0, 100_000)
    month_ahead = NOW_NS // 10**6 + 20 * 86_400_000
    assert sum(row.windows == 1 for row in waiting[:100]) <= 8, "but for the second in which the clock was set"
    ahead = [row for row in waiting if row.start_ms > month_ahead]
    assert sum(row.windows for row in ahead) == 180 * 8
    assert max(len([r for r in ahead if r.topic == topic]) for topic in {r.topic for r in ahead}) <= 4
    _, delivered = await proof(rig)
    assert samples_in(delivered) == len(seqs) * 8 * 80


async def test_what_a_wrong_clock_stamped_does_not_outlive_max_age(tmp_path: Path) -> None:
    """Nor does it keep what came after it."""
    clock = ManualClock(NOW_NS)
    async with Rig(tmp_path / "o.db", clock=clock, max_age="1h") as rig:
        clock.ahead_s = 30 * 86_400.0
        await rig.advance(700)
        for seq in range(1, 11):
            rig.outbox.put(window(seq, clock.now_ns() // 10**6))
        await rig.commit()
        clock.ahead_s = 0.0
        for seq in range(11, 21):
            rig.outbox.put(window(seq, clock.now_ns() // 10**6))
        await rig.advance(2)
        assert rig.on_disk == 20
        await rig.advance(3000)
        assert sum(row.windows for row in await rig.outbox._writer.store.after(Lane.WINDOW, 0, 100)) == 20
        await rig.advance(1200)
        assert rig.on_disk == 0
        rig.outbox.set_live(True)
        await rig.commit()
        (loss,) = (loss for loss in rig.losses.encoded if loss.cause == "max_age")
        assert (loss.windows or loss.count, loss.last_seq) == (20, 20)
