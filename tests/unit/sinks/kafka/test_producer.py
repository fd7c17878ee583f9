"""The idempotent producer against a cluster that answers as a script says: once, in order, or given back."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest
from aiokafka.record.default_records import DefaultRecordBatch

from gateway.core.clock import SystemClock
from gateway.core.errors import GatewayError, NotConnected, Permanent, Retryable
from gateway.sinks.kafka.batches import Batches, Partition, Record, following
from gateway.sinks.kafka.cluster import Cluster
from gateway.sinks.kafka.producer import Producer, ProducerLimits

TOO_LARGE, NOT_LEADER, UNKNOWN_TOPIC, DENIED, OUT_OF_ORDER, INVALID = 10, 6, 3, 29, 45, 87
Answer = int | Exception
LOST = NotConnected("the connection has ended")


class ScriptedCluster:
    """As much of `Cluster` as a producer asks for: one broker, one partition a topic."""

    is_connected = True

    def __init__(self, *answers: Answer, topics: Sequence[str] = ("t",)) -> None:
        self.answers = deque(answers)
        self.topics = set(topics)
        self.log: list[bytes] = []
        """Values that were appended, as a broker would: what has a number that it knows is not appended again."""
        self.attempts = 0
        self.refreshes = 0
        self.away = False
        self._next: dict[str, int] = {}

    async def refresh(self, topics: Sequence[str]) -> None:
        self.refreshes += 1
        if self.away:
            raise NotConnected("refused")

    def partitions(self, topic: str) -> list[int]:
        return [0] if topic in self.topics else []

    def leader(self, topic: str, partition: int) -> int | None:
        return 1 if topic in self.topics else None

    def problem(self, topic: str) -> int:
        return 0 if topic in self.topics else UNKNOWN_TOPIC

    async def produce(self, broker: int, contents: Mapping[Partition, bytes], within_s: float) -> dict[Partition, int]:
        self.attempts += 1
        if self.away:
            raise LOST
        answer = self.answers.popleft() if self.answers else 0
        code = answer if isinstance(answer, int) else 0
        codes = {partition: code or self._append(partition[0], content) for partition, content in contents.items()}
        if isinstance(answer, Exception):
            raise answer
        return codes

    def _append(self, topic: str, content: bytes) -> int:
        batch = DefaultRecordBatch(bytearray(content))
        records = [record.value for record in batch]
        if batch.base_sequence < self._next.get(topic, 0):
            return 46
        if batch.base_sequence > self._next.get(topic, 0):
            return OUT_OF_ORDER
        self._next[topic] = batch.base_sequence + len(records)
        self.log += records
        return 0


class Sent:
    """Records and how they have ended."""

    def __init__(self, producer: Producer) -> None:
        self.producer = producer
        self.ends: dict[bytes, list[GatewayError | None]] = {}

    def add(self, *values: bytes, topic: str = "t") -> None:
        for value in values:
            self.producer.add(Record(topic, b"press", value, [], 1, self._end_of(value)))

    def _end_of(self, value: bytes) -> Callable[[GatewayError | None], None]:
        ends = self.ends.setdefault(value, [])
        return ends.append

    async def ended(self, *values: bytes) -> None:
        async with asyncio.timeout(10):
            while not all(self.ends.get(value) for value in values):
                await asyncio.sleep(0.005)


@asynccontextmanager
async def running(cluster: ScriptedCluster, timeout_s: float = 10.0) -> AsyncIterator[tuple[Sent, "asyncio.Task[str]"]]:
    as_cluster: Cluster = cluster  # type: ignore[assignment]
    producer = Producer(as_cluster, (7, 0), Batches("none", 10_000), SystemClock(), ProducerLimits(timeout_s, 1.0))
    task = asyncio.create_task(producer.run())
    try:
        yield Sent(producer), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        producer.end("over")


VALUES = [b"a", b"b", b"c"]


@pytest.mark.parametrize(
    "answers", [[], [NOT_LEADER], [NOT_LEADER, NOT_LEADER], [LOST], [LOST, NOT_LEADER, LOST], [7], [LOST, LOST]]
)
async def test_what_fails_for_now_is_in_the_log_once_and_in_order(answers: list[Answer]) -> None:
    cluster = ScriptedCluster(*answers)
    async with running(cluster) as (sent, _):
        sent.add(*VALUES)
        await sent.ended(*VALUES)
        sent.add(b"d")
        await sent.ended(b"d")
    assert cluster.log == [*VALUES, b"d"]
    assert all(ends == [None] for ends in sent.ends.values())


async def test_a_batch_that_is_too_large_goes_in_parts_and_one_record_alone_is_refused() -> None:
    cluster = ScriptedCluster(TOO_LARGE, TOO_LARGE)
    async with running(cluster) as (sent, _):
        sent.add(*VALUES)
        await sent.ended(*VALUES)
    assert cluster.log == [b"b", b"c"]
    assert isinstance(sent.ends[b"a"][0], Permanent)
    assert sent.ends[b"b"] == sent.ends[b"c"] == [None]


async def test_the_one_record_that_is_invalid_is_found_and_the_others_arrive() -> None:
    cluster = ScriptedCluster(INVALID, 0, INVALID, INVALID)
    async with running(cluster) as (sent, _):
        sent.add(b"a", b"b", b"c", b"d")
        await sent.ended(b"a", b"b", b"c", b"d")
    assert cluster.log == [b"a", b"b", b"d"]
    assert isinstance(sent.ends[b"c"][0], Permanent)


async def test_refused_after_an_attempt_without_answer_ends_the_producer_and_gives_back() -> None:
    """It may be in the log: to call it lost would be wrong, and to go on with its number worse."""
    cluster = ScriptedCluster(LOST, DENIED)
    async with running(cluster) as (sent, task):
        sent.add(b"a")
        assert "not authorised" in await asyncio.wait_for(task, 10)
        assert not sent.ends[b"a"]
        sent.producer.end("over")
    assert isinstance(sent.ends[b"a"][0], NotConnected)


async def test_a_number_out_of_order_is_fatal() -> None:
    async with running(ScriptedCluster(OUT_OF_ORDER)) as (sent, task):
        sent.add(b"a")
        assert "out of order" in await asyncio.wait_for(task, 10)


async def test_an_unknown_error_is_fatal() -> None:
    async with running(ScriptedCluster(-1)) as (sent, task):
        sent.add(b"a")
        assert "unknown server error" in await asyncio.wait_for(task, 10)


async def test_denied_is_for_now_until_the_topic_has_taken_something() -> None:
    async with running(ScriptedCluster(DENIED, 0, DENIED)) as (sent, _):
        for value in VALUES:
            sent.add(value)
            await sent.ended(value)
    assert isinstance(sent.ends[b"a"][0], Retryable)
    assert sent.ends[b"b"] == [None]
    assert isinstance(sent.ends[b"c"][0], Permanent)


async def test_acknowledgements_that_stay_away_end_the_producer() -> None:
    cluster = ScriptedCluster()
    cluster.away = True
    async with running(cluster, timeout_s=0.3) as (sent, task):
        sent.add(b"a")
        assert "within 0.3 s" in await asyncio.wait_for(task, 10)


async def test_what_a_partition_never_takes_is_refused_for_now_and_others_pass() -> None:
    """Not enough replicas: the broker has said that it appended nothing."""
    cluster = ScriptedCluster(*[19] * 50)
    async with running(cluster, timeout_s=0.3) as (sent, task):
        sent.add(b"a")
        await sent.ended(b"a")
        assert not task.done()
    assert isinstance(sent.ends[b"a"][0], Retryable)


async def test_a_topic_that_comes_later_takes_what_waits() -> None:
    cluster = ScriptedCluster(topics=())
    async with running(cluster) as (sent, _):
        sent.add(*VALUES)
        while cluster.refreshes < 2:
            await asyncio.sleep(0.01)
        cluster.topics.add("t")
        await sent.ended(*VALUES)
    assert cluster.log == VALUES


async def test_cancelled_it_stops_and_gives_back_everything() -> None:
    cluster = ScriptedCluster(topics=("t",))
    cluster.away = True
    async with running(cluster) as (sent, task):
        sent.add(b"a")
        sent.add(b"b", topic="unknown")
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        sent.producer.end("cut")
    assert [type(ends[0]) for ends in sent.ends.values()] == [NotConnected] * 2


def test_sequence_numbers_begin_again_after_the_largest() -> None:
    assert following(2**31 - 2, 1) == 2**31 - 1
    assert following(2**31 - 1, 1) == 0
    assert following(2**31 - 1, 5) == 4
