"""The disk refuses from some write on, whichever it is, for a while: nothing is lost or comes twice, and it is told once."""

from pathlib import Path

import pytest

from gateway.core.messages import Lane
from tests.support.outbox_parts import Rig, message
from tests.support.sqlite_disk import FULL, IOERR_FSYNC, IOERR_WRITE, OK, Disk, disk

ROUNDS = 6
REFUSED_ROUNDS = 3


async def outage(path: Path, under: Disk, operation: str, code: int, number: int) -> bool:
    """Work while the disk refuses `operation` from its `number`th on, for some rounds. Returns whether it came to that."""
    refusing = False

    def before(name: str) -> int:
        nonlocal refusing
        refusing |= name == operation and under.calls[operation] >= number
        return code if refusing and name == operation else OK

    under.calls.clear()
    under.before = before
    delivered: list[tuple[str, int]] = []
    async with Rig(path) as rig:
        refused_rounds = 0
        for round in range(ROUNDS):
            for seq in range(round * 20 + 1, round * 20 + 21):
                rig.outbox.put(message(seq, Lane.EVENT if seq % 7 == 0 else Lane.WINDOW, size=700))
            if round % 2:
                rig.outbox.set_live(True)
                for delivery in await rig.outbox.fetch(15):
                    delivered.append((delivery.message.topic, delivery.message.seq))
                    rig.outbox.ack(delivery)
                rig.outbox.set_live(False)
            await rig.commit()
            refused_rounds += refusing
            if refused_rounds == REFUSED_ROUNDS:
                under.before = lambda name: OK
        refused = refusing
        under.before = lambda name: OK
        refusing = False
        await rig.advance(3)
        assert rig.outbox.stats.refused == ""
        assert rig.states in ([], ["refused", "recovered"])
        delivered += [(m.topic, m.seq) for m in await rig.drain()]
        assert rig.losses.encoded == []
        await rig.commit()
    assert len(delivered) == len(set(delivered)) == ROUNDS * 20
    return refused


@pytest.mark.parametrize(("operation", "code"), [("write", FULL), ("write", IOERR_WRITE), ("sync", IOERR_FSYNC)])
async def test_a_disk_that_refuses_at_any_write_costs_nothing(tmp_path: Path, operation: str, code: int) -> None:
    """From the first write of the first start to the last of the work, one after the other."""
    number = 1
    with disk() as under:
        while await outage(tmp_path / f"{number}.db", under, operation, code, number):
            number += 1
    assert number > 15


async def test_a_start_on_a_read_only_disk_and_its_return(tmp_path: Path) -> None:
    """What was there before stays, what comes waits in memory, both are delivered."""
    async with Rig(tmp_path / "o.db", "b0") as rig:
        rig.outbox.put(message(1))
    with disk() as under:
        under.before = lambda name: IOERR_WRITE
        async with Rig(tmp_path / "o.db") as rig:
            rig.outbox.put(message(2))
            await rig.commit()
            assert rig.states == ["refused"]
            under.before = lambda name: OK
            await rig.advance(3)
            assert rig.states == ["refused", "recovered"]
            assert [m.seq for m in await rig.drain()] == [1, 2]
