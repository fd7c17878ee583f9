"""Long outages: first merged, then dropped, all of it accounted for."""

import json
from pathlib import Path

import pytest

from gateway.core.messages import Lane, Message
from tests.support.outbox_parts import NOW_NS, Rig, message, proof, samples_in, window

MINUTE = 60_000
M0 = NOW_NS // 10**6 // 600_000 * 600_000 - 86_400_000


async def test_then_ten_minutes_then_the_oldest_go_and_events_stay(tmp_path: Path) -> None:
    """Windows of so many tags that even ten minutes of them do not fit for ever."""
    begin, count = M0 - 2 * 86_400_000, 800
    async with Rig(tmp_path / "o.db", max_bytes="16MiB") as rig:
        for seq in range(1, 4):
            rig.outbox.put(message(seq, Lane.EVENT, topic="g/d0/alarm", end_ms=begin))
        for seq in range(1, count + 1):
            rig.outbox.put(window(seq, begin + (seq - 1) * 2 * MINUTE, tags=800))
            if seq % 20 == 0:
                await rig.commit()
                assert sum(p.stat().st_size for p in tmp_path.glob("o.db*") if p.suffix != ".db-shm") <= 16 * 2**20
        ledger, delivered = await proof(rig)
        assert all(row.complete for row in ledger.report().rows if "/window" in row.topic)
        lost = {cause: sum(x.count for x in rig.losses.encoded if x.cause == cause) for cause in ("thinned", "max_bytes")}
        assert lost == {"thinned": rig.outbox.stats.thinned, "max_bytes": rig.outbox.stats.lost}
        windows = [json.loads(m.payload) for m in delivered if "/window" in m.topic]
        assert sum(m.topic == "g/d0/alarm" for m in delivered) == 3
        assert windows[0]["windows"] == 5, "what was dropped had been merged, and so was what came next"
        assert lost["max_bytes"] * 5 + sum(body.get("windows", 1) for body in windows) == count
        assert lost["max_bytes"] > 0
        (dropped,) = (x for x in rig.losses.encoded if x.cause == "max_bytes")
        assert (dropped.windows, dropped.from_seq) == (dropped.count * 5, 1), "what was dropped stood for five each"
        assert dropped.last_seq == windows[0]["first_seq"] - 1


DEVICES, TAGS, CHANGED = 2, 500, 8
DAY_S = 86_400
PER_TAG = b'":{"n":10,"good":10,"min":%d.25,"max":%d.75,"mean":%d.5,"std":0.1,"first":%d.25,"last":%d.75,"q":"good"}'


def changed_window(device: int, seq: int, ts: int) -> Message:
    """A window in which a few tags had something to say, other ones each second."""
    value = seq % 100
    row = PER_TAG % (value, value, value, value, value)
    tags = b",".join(b'"tag_%d%b' % ((seq * CHANGED + i) % TAGS, row) for i in range(CHANGED))
    head = b'{"boot":"b1","seq":%d,"ts":%d,"dur":1000,"hist":false,"tags":{' % (seq, ts)
    return Message(f"g/d{device}/window", "b1", seq, Lane.WINDOW, ts, ts + 1000, head + tags + b"}}")


@pytest.mark.timeout(400)
async def test_a_day_without_a_broker_costs_resolution_and_not_a_single_sample(tmp_path: Path) -> None:
    """1,000 tags, fake clock: several times more than the file may hold comes; the ceilings hold at every commit, all alarms
    stay, and a subscriber can account for every number."""
    async with Rig(tmp_path / "o.db", max_bytes="16MiB", memory="4MiB", commit_interval="60s", compress=True) as rig:
        seq = alarms = written = 0
        for minute in range(DAY_S // 60):
            for second in range(60):
                seq += 1
                ts = NOW_NS // 10**6 + minute * MINUTE + second * 1000
                for device in range(DEVICES):
                    m = changed_window(device, seq, ts)
                    written += len(m.payload)
                    rig.outbox.put(m)
            if minute % 10 == 0:
                alarms += 1
                rig.outbox.put(message(alarms, Lane.EVENT, topic="g/d0/event", end_ms=ts))
            await rig.advance(60)
            assert sum(p.stat().st_size for p in tmp_path.glob("o.db*") if p.suffix != ".db-shm") <= 16 * 2**20
            assert rig.outbox.stats.memory_bytes <= 4 * 2**20
        assert rig.outbox.stats.lost == 0
        assert rig.states == []
        ledger, delivered = await proof(rig)
        rows = [row for row in ledger.report().rows if "/window" in row.topic]
        assert [(row.first, row.last, row.complete) for row in rows] == [(1, DAY_S, True)] * DEVICES
        assert sum(row.missing for row in rows) == rig.outbox.stats.thinned > 0.9 * DAY_S * DEVICES
        assert samples_in(delivered) == DAY_S * DEVICES * CHANGED * 10
        assert sum(m.topic == "g/d0/event" for m in delivered) == alarms
        print(f"{written / 2**20:.0f} MiB of payload in {len(delivered)} messages, {rig.outbox.stats.thinned} merged")
