"""Queues of a server that are too short for what comes, foreseen and seen."""

import pytest

from gateway.sources.opcua.client.queue_check import Queues, needed
from gateway.sources.opcua.port.session import QueueReport, ShortQueue
from gateway.sources.opcua.port.values import Item
from tests.support.opcua_fake import DAY_NS, FakeClock, FakeConnection, settle, source, values

MS = 1_000_000
OVERFLOW = 0x480


def granted(asked: int, got: int, *, publishing_ms: int = 1000, sampling_ms: float = 100.0) -> dict[int, ShortQueue]:
    report = QueueReport()
    Queues(report).grant(Item(0, "n", 100 * MS, asked), publishing_ms * MS, sampling_ms, got)
    return report.short


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
    report = QueueReport()
    queues = Queues(report)
    queues.grant(Item(0, "n", 100 * MS, 20), 1000 * MS, 100, 3)
    queues.grant(Item(0, "n", 100 * MS, 20), 1000 * MS, 100, 20)
    assert report.short == {}


class Looking:
    """Row 0 with a queue of 10, row 5 of 3, sampled every 100 ms."""

    def __init__(self, sampling_ms: float = 100.0) -> None:
        self.report = QueueReport()
        self.queues = Queues(self.report)
        self.queues.grant(Item(0, "a", 100 * MS, 10), 1000 * MS, sampling_ms, 10)
        self.queues.grant(Item(5, "b", 100 * MS, 3), 1000 * MS, sampling_ms, 3)
        self.ns = DAY_NS
        self.publish(0)

    def publish(self, after_ms: int, rows: tuple[int, ...] = (), status: tuple[int, ...] | int = 0) -> int:
        self.ns += after_ms * MS
        columns = values(list(rows), [1.0] * len(rows), status=status if isinstance(status, int) else list(status)).columns
        self.queues.look(1, self.ns, columns)
        return self.report.full


def test_a_queue_that_comes_full_although_there_was_time_for_more_is_counted():
    some = Looking()
    assert some.publish(1000, (0,) * 10) == 0, "as many as there was time for"
    assert some.publish(1000, (0,) * 9 + (5,) * 2) == 0
    assert some.publish(1500, (0,) * 10) == 1
    assert some.publish(1000, (5,) * 3 + (0,) * 2) == 2


def test_an_overflow_that_the_server_tells_is_not_counted_here_as_well():
    some = Looking()
    assert some.publish(2000, (0,) * 10, (OVERFLOW,) + (0,) * 9) == 0


def test_a_server_that_samples_on_change_may_always_have_had_more():
    some = Looking(sampling_ms=0)
    assert some.publish(100, (0,) * 9) == 0
    assert some.publish(100, (0,) * 10) == 1


def test_each_subscription_has_a_time_of_its_own():
    some = Looking()
    some.ns += 1000 * MS
    some.queues.look(2, some.ns, values([5] * 3, [1.0] * 3).columns)
    assert some.report.full == 0, "its first publication"


async def test_short_queues_are_told_by_name_once_per_connection_and_counted():
    clock = FakeClock()
    connection = FakeConnection(clock, keepalive_s=100.0)
    connection.queues.short = {1: ShortQueue(3, 11), 2: ShortQueue(1, 2)}
    plc = source(clock, connection)
    await plc.open()
    await settle()
    state = await plc.read()
    assert "t1 3 where 11 may come, t2 1 where 2 may come" in state.reason
    assert plc.stats()[0]["short_queues"] == 2
    connection.queues.full = 7
    await clock.advance(11)
    assert plc.stats()[0]["full_queues"] == 7
    assert "come full" in (await plc.read()).reason
    await plc.close()
