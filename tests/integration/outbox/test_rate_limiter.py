"""The rate of backlog, the commit before the send, and what SQLite is asked to do."""

import asyncio

import pytest

from gateway.core.messages import Lane
from tests.support.clock import settle
from tests.support.network import until
from tests.support.outbox_parts import Rig, message


async def stored(path, count, size=100):
    async with Rig(path, "b0") as rig:
        for seq in range(1, count + 1):
            rig.outbox.put(message(seq, boot="b0", size=size))


async def deliver(rig, got):
    while True:
        for delivery in await rig.outbox.fetch(1000):
            got.append((delivery.message.seq, delivery.live))
            rig.outbox.ack(delivery)


@pytest.mark.parametrize("limit", [{"backlog_messages": 10}, {"backlog_bytes": "1000B"}])
async def test_backlog_keeps_to_its_rate_and_live_messages_pass_it(tmp_path, limit):
    await stored(tmp_path / "o.db", 100)
    got = []
    async with Rig(tmp_path / "o.db", **limit) as rig:
        rig.outbox.set_live(True)
        drain = asyncio.create_task(deliver(rig, got))
        await until(lambda: len(got) == 10, what="the first burst")
        rig.outbox.put(message(1000))
        rig.outbox.put(message(1001, Lane.EVENT))
        await until(lambda: len(got) == 12, what="live messages do not wait for the rate")
        assert sorted(got[10:]) == [(1000, True), (1001, True)]
        await rig.advance(2)
        await until(lambda: len(got) == 32, what="twenty in two seconds")
        await settle()
        assert [seq for seq, live in got if not live] == list(range(1, 31))
        drain.cancel()


async def test_strict_hands_out_nothing_before_its_commit(tmp_path):
    async with Rig(tmp_path / "o.db", strict=True) as rig:
        rig.outbox.set_live(True)
        rig.outbox.put(message(1))
        got = []
        drain = asyncio.create_task(deliver(rig, got))
        await rig.advance(0.7)
        assert got == []
        await rig.advance(0.2)
        await until(lambda: got, what="it is committed")
        assert got == [(1, True)]
        assert rig.on_disk == 1
        drain.cancel()


async def test_strict_goes_on_sending_while_the_disk_refuses(tmp_path):
    async with Rig(tmp_path / "o.db", strict=True, keep_free="1000TiB") as rig:
        rig.outbox.set_live(True)
        rig.outbox.put(message(1))
        got = []
        drain = asyncio.create_task(deliver(rig, got))
        await rig.advance(2)
        await until(lambda: got, what="the disk has refused")
        assert (rig.states[0], rig.on_disk) == ("refused", 0)
        assert got == [(1, True)]
        drain.cancel()


@pytest.mark.parametrize(("synchronous", "code"), [("normal", 1), ("full", 2), ("extra", 3)])
async def test_sqlite_is_told_how_much_to_sync(tmp_path, synchronous, code):
    async with Rig(tmp_path / "o.db", synchronous=synchronous) as rig:
        assert await rig.outbox._writer.store._rows("PRAGMA synchronous") == [(code,)]
