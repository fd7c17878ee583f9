"""Long outages: first merged, then dropped, all of it accounted for."""

import json
from pathlib import Path

from gateway.core.messages import Lane
from tests.support.outbox_parts import NOW_NS, Rig, message, proof, window

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
