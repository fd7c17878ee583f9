import sqlite3
from contextlib import closing

import pytest

from gateway.core.errors import Retryable
from gateway.core.messages import Lane, Loss
from gateway.outbox.database.compression import Compression
from gateway.outbox.database.sqlite_errors import DamagedError
from gateway.outbox.database.store import Store
from gateway.outbox.records import LOSS_LANE, Change, Entry, LoadRequest, PreviousBoot
from tests.support.outbox_parts import message

LOSS = Loss("g/press/window", "b0", 3, 9, 5, 1000, 2000, "max_bytes", "why")


@pytest.fixture
async def store(tmp_path):
    store = Store(tmp_path / "o.db")
    store.compression = Compression(compress=False)
    await store.open("b1", 1000)
    yield store
    await store.close()


@pytest.fixture
async def reopened():
    """Opens the file anew. All are closed at the end: the threads of a test that failed would keep pytest from ending."""
    opened = []

    async def again(store, boot="b2"):
        await store.close()
        opened.append(Store(store._path))
        await opened[-1].open(boot, 2000)
        return opened[-1]

    yield again
    for one in opened:
        await one.close()


def rows_of(loaded):
    return [(e.id, e.lane, e.message) for e in loaded.found]


def entry(id, lane=Lane.WINDOW, **changes):
    return Entry(id, message(id, max(lane, Lane.EVENT), **changes), False, lane, 0.0)


async def test_messages_come_back_as_they_were(store, reopened):
    entries = [entry(1), entry(2, Lane.SUMMARY, boot="b0"), entry(3, Lane.EVENT), entry(4, LOSS_LANE), entry(5, size=9000)]
    await store.commit(Change(entries))
    fresh = await reopened(store)
    events, rest = [await fresh.load(LoadRequest(kind, False, 0), 100, 10**6) for kind in (True, False)]
    assert rows_of(events) == [(3, 0, entries[2].message), (4, -1, entries[3].message)]
    assert rows_of(rest) == [(e.id, e.lane, e.message) for e in (entries[0], entries[1], entries[4])]
    assert (events.complete, rest.complete, fresh.last_id) == (True, True, 5)


async def test_totals_follow_every_change(store, reopened):
    first = entry(1, size=100)
    await store.commit(Change([first, entry(2, size=200), entry(3, Lane.EVENT, size=50)]))
    await store.commit(Change(deletes=[first.row]))
    fresh = await reopened(store)
    assert fresh.totals == store.totals
    assert (fresh.totals.messages[Lane.WINDOW], fresh.totals.size[Lane.WINDOW]) == (1, 200)
    assert (fresh.totals.messages[Lane.EVENT], fresh.totals.size[Lane.EVENT]) == (1, 50)


async def test_backlog_is_loaded_in_bounded_steps(store):
    await store.commit(Change([entry(id, size=1000) for id in range(1, 301)]))
    by_rows = await store.load(LoadRequest(False, False, 0), 100, 10**6)
    assert (len(by_rows.found), by_rows.up_to, by_rows.complete) == (100, 100, False)
    by_bytes = await store.load(LoadRequest(False, False, 100), 1000, 100_000)
    assert 100 <= len(by_bytes.found) < 200
    assert not by_bytes.complete
    assert (await store.load(LoadRequest(False, False, 250), 100, 10**6)).complete


async def test_backlog_is_loaded_from_the_newest_down(store):
    await store.commit(Change([entry(id, Lane.SUMMARY if id % 3 else Lane.WINDOW) for id in range(1, 101)]))
    first = await store.load(LoadRequest(False, True, 101), 60, 10**6)
    assert [e.id for e in first.found] == list(range(100, 40, -1))
    rest = await store.load(LoadRequest(False, True, first.up_to), 60, 10**6)
    assert ([e.id for e in rest.found], rest.complete) == (list(range(40, 0, -1)), True)


async def test_losses_are_kept_until_settled(store, reopened):
    await store.commit(Change(losses=[LOSS]))
    fresh = await reopened(store)
    assert fresh.losses == [LOSS]
    await fresh.commit(Change(superseded=[("b0", "g/press/window", "max_bytes")]))
    last = await reopened(fresh, "b3")
    assert last.losses == []


async def test_a_change_that_fails_leaves_nothing_behind(store, reopened):
    await store.commit(Change([entry(1)]))
    with pytest.raises(DamagedError, match="UNIQUE"):  # somebody else has put a row there
        await store.commit(Change([entry(2, topic="new"), entry(1)], losses=[LOSS]))
    await store.commit(Change([entry(3, topic="new")]))
    fresh = await reopened(store)
    assert [id for id, _, _ in rows_of(await fresh.load(LoadRequest(False, False, 0), 100, 10**6))] == [1, 3]
    assert fresh.losses == []


async def test_the_oldest_of_least_worth_go_first_and_held_ones_stay(store):
    lanes = [Lane.EVENT, Lane.SUMMARY, Lane.WINDOW, LOSS_LANE, Lane.WINDOW, Lane.WINDOW]
    await store.commit(Change([entry(id, lane) for id, lane in enumerate(lanes, 1)]))
    rows = await store.oldest(5 * 100, lambda size: size, held=lambda id: id == 5)
    assert [row.id for row in rows] == [3, 6, 2, 1, 4]
    assert [row.id for row in await store.oldest(150, lambda size: size, held=lambda id: False)] == [3, 5]


async def test_expired_are_the_old_ones_but_no_loss_messages(store):
    old, young = {"end_ms": 1000}, {"end_ms": 5000}
    await store.commit(Change([entry(1, **old), entry(2, **young), entry(3, Lane.EVENT, **old), entry(4, LOSS_LANE, **old)]))
    assert [row.id for row in await store.expired(2000, held=lambda id: False)] == [3, 1]


@pytest.mark.parametrize("damage", ["seq = 7", "payload = CAST(replace(payload, 'b1', 'b3') AS BLOB)", "payload = 'text'"])
async def test_flipped_bits_in_a_row_are_noticed(store, damage, reopened):
    await store.commit(Change([entry(1), entry(2)]))
    await store.close()
    with closing(sqlite3.connect(store._path)) as db:
        db.execute(f"UPDATE message SET {damage} WHERE id = 1")
        db.commit()
    fresh = await reopened(store)
    batch = await fresh.load(LoadRequest(False, False, 0), 100, 10**6)
    assert [(one.row.id, one.row.topic) for one in batch.broken] == [(1, "g/press/window")]
    assert [id for id, _, _ in rows_of(batch)] == [2]


async def test_a_row_that_refers_to_nothing_is_damage(store):
    await store.commit(Change([entry(1)]))
    await store._rows("UPDATE message SET topic = 99")
    with pytest.raises(DamagedError):
        await store.load(LoadRequest(False, False, 0), 100, 10**6)


async def test_a_boot_without_a_clean_stop_is_told_to_the_next_one_only(store, reopened):
    fresh = await reopened(store, "b2")
    assert fresh.unreported == [PreviousBoot("b1", 1000)]
    await fresh.mark_reported()
    await fresh.mark_clean()
    last = await reopened(fresh, "b3")
    assert last.unreported == []


async def test_an_empty_start_forgets_names_that_nothing_refers_to(store, reopened):
    first = entry(1, topic="old/topic")
    await store.commit(Change([first]))
    await store.commit(Change(deletes=[first.row]))
    fresh = await reopened(store)
    assert (await fresh._rows("SELECT count(*) FROM topic"))[0][0] == 0


async def test_a_lock_of_another_program_is_retryable(store):
    await store._rows("PRAGMA busy_timeout = 1")
    with closing(sqlite3.connect(store._path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Retryable, match="locked"):
            await store.commit(Change([entry(1)]))
    await store.commit(Change([entry(1)]))


async def test_a_closed_store_refuses(store):
    await store.close()
    with pytest.raises(Retryable):
        await store.commit(Change([entry(1)]))
