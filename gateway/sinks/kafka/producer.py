"""An idempotent producer: what was handed over is in the log once, in the order of handing over per partition.

As in Kafka's own producer each partition has one batch on its way, with the number of its first record; the broker drops a
number that it has. Whether a batch whose answer stayed away is in the log, the same bytes sent again tell. Two things end a
producer: an answer that it cannot go on with, and acknowledgements that stay away. Its records then go to another producer,
and consumers drop by (boot, topic, seq) what comes twice.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import structlog
from aiokafka.partitioner import murmur2

from gateway.core.clock import Clock
from gateway.core.errors import GatewayError, NotConnected, Retryable
from gateway.core.log_throttle import LogThrottle
from gateway.sinks.kafka.batches import Batch, Batches, Partition, Record, following
from gateway.sinks.kafka.cluster import Cluster
from gateway.sinks.kafka.error_codes import Meaning, meaning_of, refusal, words_of

log = structlog.get_logger("kafka")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0
_TOPIC_S: Final = 5.0
"""How long a topic may be unknown: one that the cluster makes at the first question is there within a second."""
_LEAST_BATCH_BYTES: Final = 4096
_REFRESH: Final = -1
_REFRESH_S: Final = 300.0
"""Between two looks at who leads what, when all is well."""
_LOOK_S: Final = 1.0
_NO_CODE: Final = -1


class ProducerEnd(Exception):
    """The producer cannot go on, for a reason that people read."""


@dataclass(frozen=True, slots=True)
class ProducerLimits:
    """What a producer keeps to."""

    timeout_s: float
    """Longest wait for the acknowledgement of a batch."""
    request_s: float
    """Longest wait of a broker for its followers."""


class Producer:
    """Sends records. `add` takes them over, `run` sends them; both on the event loop."""

    def __init__(
        self, cluster: Cluster, identity: tuple[int, int], batches: Batches, clock: Clock, limits: ProducerLimits
    ) -> None:
        """Begin with nothing. identity: id and epoch that the cluster has given."""
        self._cluster = cluster
        self._identity = identity
        self._batches = batches
        self._clock = clock
        self._limits = limits
        self._homeless: dict[str, deque[Record]] = {}
        """Records of topics whose partitions are not known."""
        self._unknown_since: dict[str, float] = {}
        """When the cluster has said for the first time that it has no such topic."""
        self._partitions: dict[str, list[int]] = {}
        self._chosen: dict[tuple[str, bytes], Partition] = {}
        """By topic and key; the hash of a key takes as long as all the rest."""
        self._queues: dict[Partition, deque[Batch]] = {}
        self._sequences: dict[Partition, int] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        """By broker: the request that is on its way; the question for leaders by `_REFRESH`."""
        self._wake = asyncio.Event()
        self._refresh_at = clock.monotonic() + _REFRESH_S
        self._failed_refreshes = 0
        self._away_since: float | None = None
        """Since when no broker answers."""
        self._accepted: set[str] = set()
        """Topics that have taken something: what they refuse now is about the record."""
        self._trouble = ""
        self._log_throttle = LogThrottle(clock)

    def add(self, record: Record) -> None:
        """Take a record over."""
        partitions = self._partitions.get(record.topic)
        if partitions is not None:
            self._enqueue(record, partitions)
        else:
            if record.topic not in self._homeless:
                self._homeless[record.topic] = deque()
                self._refresh_at = self._clock.monotonic()
            self._homeless[record.topic].append(record)
        self._wake.set()

    async def run(self) -> str:
        """Send until this producer cannot go on; return why. Cancelled, it stops at once."""
        try:
            while True:
                await self._step()
        except ProducerEnd as end:
            return str(end)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def end(self, reason: str) -> None:
        """Give back every record that has not ended."""
        flying = [record for queue in self._queues.values() for batch in queue for record in batch.records]
        waiting = [record for records in self._homeless.values() for record in records]
        self._queues.clear()
        self._homeless.clear()
        for record in (*flying, *waiting):
            record.done(NotConnected(reason))

    def _enqueue(self, record: Record, partitions: list[int]) -> None:
        """Put a record where Kafka's own producers put its key."""
        partition = self._chosen.get((record.topic, record.key))
        if partition is None:
            number = partitions[(murmur2(record.key) & 0x7FFFFFFF) % len(partitions)]
            partition = self._chosen[record.topic, record.key] = (record.topic, number)
        queue = self._queues.setdefault(partition, deque())
        if not queue or not queue[-1].append(record):
            batch = self._batches.new(partition, self._clock.monotonic())
            batch.append(record)
            queue.append(batch)

    async def _step(self) -> None:
        """Launch what can be launched, and wait until there may be more."""
        self._wake.clear()
        now = self._clock.monotonic()
        if not self._failed_refreshes and not self._cluster.is_connected:
            self._refresh_at = now
        if now >= self._refresh_at and _REFRESH not in self._tasks:
            self._tasks[_REFRESH] = asyncio.create_task(self._refresh(), name="kafka metadata")
        for broker, batches in self._ready(now).items():
            self._tasks[broker] = asyncio.create_task(self._send(broker, batches), name=f"kafka broker {broker}")
        waking = asyncio.ensure_future(self._wake.wait())
        try:
            waiting = {waking, *self._tasks.values()}
            await asyncio.wait(waiting, timeout=self._patience(now), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()
        for key in [key for key, task in self._tasks.items() if task.done()]:
            self._tasks.pop(key).result()
        self._give_up_old(self._clock.monotonic())

    def _patience(self, now: float) -> float:
        """Return the longest wait until something is due, seconds."""
        due = [batch.not_before - now for batch in self._heads() if not batch.is_flying and batch.not_before > now]
        if _REFRESH not in self._tasks:
            due.append(self._refresh_at - now)
        return max(0.0, min([_LOOK_S, *due]))

    def _heads(self) -> Iterator[Batch]:
        """Yield the first batch of each partition that has one."""
        return (queue[0] for queue in self._queues.values() if queue)

    def _ready(self, now: float) -> dict[int, list[Batch]]:
        """Return the batches that may be sent now, by the broker that leads their partition."""
        ready: dict[int, list[Batch]] = {}
        for batch in self._heads():
            if batch.is_flying or batch.not_before > now:
                continue
            broker = self._cluster.leader(*batch.partition)
            if broker is None:
                self._postpone(batch, f"{batch.partition[0]}: partition {batch.partition[1]} has no leader")
            elif broker not in self._tasks:
                batch.is_flying = True
                ready.setdefault(broker, []).append(batch)
        return ready

    async def _refresh(self) -> None:
        """Learn where the topics in use are."""
        topics = {*self._homeless, *self._partitions}
        try:
            await self._cluster.refresh(sorted(topics))
        except NotConnected as error:
            self._failed_refreshes += 1
            self._away_since = self._away_since or self._clock.monotonic()
            self._unknown_since.clear()
            self._refresh_at = self._clock.monotonic() + _pause_s(self._failed_refreshes)
            self._troubled(str(error))
            return
        self._failed_refreshes, self._away_since = 0, None
        self._refresh_at = self._clock.monotonic() + _REFRESH_S
        known = {topic: self._cluster.partitions(topic) for topic in topics}
        self._partitions = {topic: partitions for topic, partitions in known.items() if partitions}
        self._chosen.clear()
        for topic in list(self._homeless):
            self._house(topic)

    def _house(self, topic: str) -> None:
        """Find partitions for the records of a topic that had none, or refuse them."""
        now = self._clock.monotonic()
        partitions = self._partitions.get(topic)
        code = self._cluster.problem(topic)
        is_refused = meaning_of(code) is Meaning.REFUSED
        if partitions is None and not is_refused and now - self._unknown_since.setdefault(topic, now) < _TOPIC_S:
            self._refresh_at = now + _FIRST_PAUSE_S
            return
        self._unknown_since.pop(topic, None)
        error = refusal(code, topic, is_final=is_refused and topic in self._accepted)
        for record in self._homeless.pop(topic):
            if partitions is None:
                record.done(error)
            else:
                self._enqueue(record, partitions)

    async def _send(self, broker: int, batches: list[Batch]) -> None:
        """Send one request and act on its answer."""
        contents = {
            batch.partition: batch.write(self._identity, self._sequences.get(batch.partition, 0)) for batch in batches
        }
        try:
            codes = await self._cluster.produce(broker, contents, self._limits.request_s)
        except NotConnected as error:
            for batch in batches:
                batch.is_unclear = True
                self._postpone(batch, str(error))
            return
        for batch in batches:
            self._conclude(batch, codes.get(batch.partition, _NO_CODE))

    def _conclude(self, batch: Batch, code: int) -> None:
        """Act on the answer for a batch."""
        topic = batch.partition[0]
        meaning = meaning_of(code)
        if meaning is Meaning.ARRIVED:
            self._accepted.add(topic)
            self._trouble = ""
            self._sequences[batch.partition] = following(batch.sequence, len(batch.records))
            self._end(batch, None)
        elif meaning in (Meaning.AGAIN, Meaning.UNCLEAR):
            batch.is_unclear |= meaning is Meaning.UNCLEAR
            self._postpone(batch, f"{topic}: {words_of(code)}")
        elif batch.is_unclear or meaning is Meaning.FATAL:  # whether it is in the log, this producer cannot find out
            raise ProducerEnd(f"the producer cannot go on: {topic}: {words_of(code)}")
        elif len(batch.records) > 1 and meaning in (Meaning.TOO_LARGE, Meaning.DIVIDE):
            self._divide(batch, smaller=meaning is Meaning.TOO_LARGE)
        else:
            is_final = meaning is not Meaning.REFUSED or topic in self._accepted
            self._end(batch, refusal(code, topic, is_final=is_final))

    def _divide(self, batch: Batch, *, smaller: bool) -> None:
        """Send the records of a batch in two. smaller: make all batches smaller from now on."""
        if smaller:
            size = min(self._batches.most_bytes, sum(record.size for record in batch.records))
            self._batches.most_bytes = max(_LEAST_BATCH_BYTES, size // 2)
        queue = self._queues[batch.partition]
        queue.popleft()
        queue.extendleft(reversed(self._batches.divided(batch)))

    def _end(self, batch: Batch, error: GatewayError | None) -> None:
        """End a batch at the head of its partition; its numbers are used up only where it has arrived."""
        queue = self._queues[batch.partition]
        queue.popleft()
        if queue:
            queue[0].begun = self._clock.monotonic()
        else:
            del self._queues[batch.partition]
        batch.end(error)

    def _postpone(self, batch: Batch, trouble: str) -> None:
        """Send a batch again after a pause, when it is known anew who leads its partition."""
        now = self._clock.monotonic()
        batch.is_flying = False
        batch.failures += 1
        batch.not_before = now + _pause_s(batch.failures)
        self._refresh_at = min(self._refresh_at, now) if not self._failed_refreshes else self._refresh_at
        self._troubled(trouble)

    def _troubled(self, trouble: str) -> None:
        self._trouble = trouble
        if self._log_throttle.is_due(trouble):
            log.warning("kafka waits", reason=trouble)

    def _give_up_old(self, now: float) -> None:
        """Refuse for now what has waited too long and is not in the log; end the producer where that is not known."""
        limit = now - self._limits.timeout_s
        reason = f"no acknowledgement within {self._limits.timeout_s:g} s: {self._trouble or 'no answer'}"
        if self._away_since is not None and self._away_since <= limit:
            raise ProducerEnd(f"no broker answers within {self._limits.timeout_s:g} s: {self._trouble}")
        for batch in [batch for batch in self._heads() if batch.begun <= limit]:
            if batch.is_unclear or batch.is_flying or self._failed_refreshes:
                raise ProducerEnd(reason)
            self._end(batch, Retryable(reason))


def _pause_s(failures: int) -> float:
    return float(min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(failures - 1, 10)))
