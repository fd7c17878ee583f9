"""Queues of a server that are too short for what comes."""

import pytest

from gateway.sources.opcua.client.queue_check import QueueCheck, needed
from gateway.sources.opcua.port.values import Item, ShortQueue
from tests.support.opcua_fake import FakeClock, FakeSession, settle, source

MS = 1_000_000


def granted(asked: int, got: int, *, publishing_ms: int = 1000, sampling_ms: float = 100.0) -> dict[int, ShortQueue]:
    queues = QueueCheck()
    queues.add(Item(0, "n", 100 * MS, asked), publishing_ms * MS, sampling_ms, got)
    return queues.short


def test_what_comes_between_two_publications():
    assert [needed(1000 * MS, 100 * MS), needed(1000 * MS, 300 * MS), needed(250 * MS, 250 * MS), needed(1000 * MS, 0)] == [
        10, 4, 1, 1,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "got", "short"),
    [
        (20, 20, None),
        (20, 11, None),
        (20, 10, ShortQueue(10, 11)),  # a publication that is late is one too many
        (10, 10, None),  # as configured
        (20, 3, ShortQueue(3, 11)),
        (5, 5, ShortQueue(5, 10)),
        (20, 0, ShortQueue(1, 11)),  # the standard's word for the shortest there is
    ],
)
def test_a_queue_is_short_where_less_fits_than_comes(asked, got, short):
    assert granted(asked, got) == ({} if short is None else {0: short})


@pytest.mark.parametrize("sampling_ms", [0.0, -1.0, float("nan"), float("inf")])
def test_where_nobody_knows_how_often_a_node_is_sampled_a_queue_of_two_is_enough(sampling_ms):
    assert granted(10, 2, sampling_ms=sampling_ms) == {}
    assert granted(10, 1, sampling_ms=sampling_ms) == {0: ShortQueue(1, 2)}


def test_an_item_that_is_watched_anew_may_have_a_longer_queue():
    queues = QueueCheck()
    queues.add(Item(0, "n", 100 * MS, 20), 1000 * MS, 100, 3)
    queues.add(Item(0, "n", 100 * MS, 20), 1000 * MS, 100, 20)
    assert queues.short == {}


async def test_short_queues_are_told_by_name_once_per_connection_and_counted():
    clock = FakeClock()
    connection = FakeSession(clock, keepalive_s=100.0)
    connection.values.short_queues = {1: ShortQueue(3, 11), 2: ShortQueue(1, 2)}
    plc = source(clock, connection)
    await plc.open()
    await settle()
    state = await plc.read()
    assert "t1 3 where 11 may come, t2 1 where 2 may come" in state.reason
    assert plc.stats()[0]["short_queues"] == 2
    await plc.close()
