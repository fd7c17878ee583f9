"""A process that works an outbox until killed and prints what it did: `python -m tests.support.outbox_child PATH BOOT`.

Lines: `open PREVIOUS` (the boot before if it was unclean, or -), `put SEQ TIME` after each put (monotonic seconds, the
same in all processes), `ack BOOT SEQ TOPIC` before each ack.
"""

import asyncio
import random
import sys
import time
from pathlib import Path

from gateway.core.clock import SystemClock
from gateway.core.messages import Lane
from tests.support.outbox_parts import Rig, message

INTERVAL_S = 0.3


async def work(path: Path, boot: str) -> None:
    """Put without end; in turns of some 0.2 s connected (most is acknowledged, some released) or not."""
    chance = random.Random(boot)
    async with Rig(path, boot, SystemClock(), commit_interval=f"{INTERVAL_S * 1000:.0f}ms", compress=True) as rig:
        outbox = rig.outbox
        print("open", outbox.unclean[-1].boot if outbox.unclean else "-", flush=True)
        for seq in range(1, 10**9):
            if seq % 100 == 1:
                outbox.set_live(chance.random() < 0.4)
            lane, now_ms = chance.choice(list(Lane)), time.time_ns() // 10**6
            outbox.put(message(seq, lane, boot=boot, size=chance.randrange(60, 2000), end_ms=now_ms))
            print("put", seq, time.monotonic(), flush=True)
            if outbox._writer.live:
                await serve(rig, chance)
            await asyncio.sleep(0.002)


async def serve(rig: Rig, chance: random.Random) -> None:
    for delivery in await rig.outbox.fetch(chance.randrange(1, 8)):
        if chance.random() < 0.7:
            print("ack", delivery.message.boot, delivery.message.seq, delivery.message.topic, flush=True)
            rig.outbox.ack(delivery)
        else:
            await asyncio.sleep(chance.random() * 0.002)
            rig.outbox.release([delivery])


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), sys.argv[2]))
