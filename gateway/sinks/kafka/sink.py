"""The sink over an idempotent producer: each connection of the publisher is one producer."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from gateway.core.clock import Clock
from gateway.core.errors import GatewayError, NotConnected, Permanent, Postponed
from gateway.core.ports.layout import Layout
from gateway.core.ports.outbox import Delivery
from gateway.core.ports.sink import EndedBy, Ending
from gateway.sinks.access.certificates import Certificate, in_use
from gateway.sinks.access.outcome import Outcome, end
from gateway.sinks.access.secret import read_secret
from gateway.sinks.access.tls import tls_context
from gateway.sinks.kafka.batches import Batches, Record
from gateway.sinks.kafka.cluster import Cluster
from gateway.sinks.kafka.config import KafkaConfig
from gateway.sinks.kafka.connection import Access
from gateway.sinks.kafka.producer import Producer, ProducerLimits
from gateway.sinks.kafka.records import RecordWriter

_MOST_BYTES: Final = 32 << 20
"""Of messages on their way; a single one may have more."""
_REQUEST_SHARE: Final = 0.8
"""Of the wait for an answer, which a broker may use to wait for its followers."""
_ENDED: Final = "closed"


class KafkaSink:
    """A `core.ports.sink.Sink`. Brokers that go and come back are the producer's matter, up to its timeout."""

    def __init__(self, config: KafkaConfig, layout: Layout, gateway: str, clock: Clock, own: str = "") -> None:
        """Connect nothing yet. own: end of the client id, by which several sinks of a gateway differ."""
        self._config = config
        self._layout = layout
        self._clock = clock
        self._client_id = config.client_id or f"gateway-{gateway}{own}"
        self._writer = RecordWriter(config, gateway)
        self._cluster: Cluster | None = None
        self._producer: Producer | None = None
        self._is_live = False
        self._flying = self._flying_bytes = 0
        self._changed = asyncio.Event()
        self._closed = asyncio.Event()

    @property
    def certificates(self) -> Sequence[Certificate]:
        """Return a broker's certificate and the gateway's own. Reads a file; may be called on a thread."""
        tls, cluster = self._config.tls, self._cluster
        return in_use(cluster.peer_certificate if cluster is not None else b"", tls.cert if tls is not None else None)

    async def open(self) -> None:
        """Reach the cluster and get an id for a producer. Raises NotConnected."""
        access = await asyncio.to_thread(self._access)
        self._closed.clear()
        cluster = self._cluster = Cluster(self._config.addresses, access)
        await cluster.open()
        identity = await cluster.producer_id()
        batches = Batches(self._config.compression, self._config.batch)
        limits = ProducerLimits(self._config.timeout / 1e9, access.timeout_s * _REQUEST_SHARE)
        self._producer = Producer(cluster, identity, batches, self._clock, limits)

    async def serve(self, on_live: Callable[[], None]) -> Ending:
        """Go live, and send until the producer cannot go on."""
        producer = self._producer
        if producer is None:
            return Ending("not open", EndedBy.SINK)
        on_live()
        self._is_live = True
        self._changed.set()
        sending = asyncio.create_task(producer.run(), name="kafka producer")
        closing = asyncio.create_task(self._closed.wait(), name="kafka close")
        try:
            await asyncio.wait({sending, closing}, return_when=asyncio.FIRST_COMPLETED)
            reason = sending.result() if sending.done() else _ENDED
        finally:
            for task in (sending, closing):
                task.cancel()
            await asyncio.gather(sending, closing, return_exceptions=True)
        self._end(reason)
        return Ending(reason, EndedBy.SINK)

    async def room(self) -> int:
        """Wait until the sink is live and less is on its way than may be; return for about how many messages."""
        while not self._is_live or self._flying >= self._config.in_flight or self._flying_bytes >= _MOST_BYTES:
            self._changed.clear()
            await self._changed.wait()
        return self._config.in_flight - self._flying

    def send(self, delivery: Delivery) -> "asyncio.Future[None]":
        """Hand over the records of a message; it has arrived when all of them are in the log."""
        if self._producer is None or not self._is_live:
            return _failed(NotConnected("not connected"))
        message, hist = delivery.message, not delivery.live
        try:
            packets = self._layout.packets(message, hist=hist, most_bytes=self._config.max_record)
            if (size := max(len(packet.payload) for packet in packets)) > self._config.max_record:
                raise Permanent(f"a record of {size} bytes; expected {self._config.max_record} at most (kafka.max_record)")
            outcome = Outcome(len(packets))
            records = [self._writer.record(message, packet, hist=hist, done=outcome.end) for packet in packets]
        except (Permanent, Postponed) as error:
            return _failed(error)
        self._count(outcome.future, records)
        for record in records:
            self._producer.add(record)
        return outcome.future

    async def close(self, *, abort: bool = False, stop_reason: str = "", within_s: float = 0.0) -> None:
        """Close all connections, within a second. What was not acknowledged ends with NotConnected."""
        self._closed.set()
        self._end(stop_reason or _ENDED)
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            await cluster.close()

    def _count(self, future: "asyncio.Future[None]", records: list[Record]) -> None:
        size = sum(record.size for record in records)
        self._flying += 1
        self._flying_bytes += size

        def landed(_: object) -> None:
            self._flying -= 1
            self._flying_bytes -= size
            self._changed.set()

        future.add_done_callback(landed)

    def _end(self, reason: str) -> None:
        self._is_live = False
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.end(reason)

    def _access(self) -> Access:
        """Read files and secrets. Raises NotConnected."""
        config, sasl = self._config, self._config.sasl
        context = tls_context(config.tls, "kafka.tls") if config.tls is not None else None
        timeout_s = config.connect_timeout / 1e9
        if sasl is None:
            return Access(self._client_id, timeout_s, context)
        password = read_secret(sasl.password, sasl.password_file, "kafka.sasl.password_file")
        return Access(self._client_id, timeout_s, context, sasl.mechanism, sasl.username, password, sasl.token_file)


def _failed(error: GatewayError) -> "asyncio.Future[None]":
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    end(future, error)
    return future
