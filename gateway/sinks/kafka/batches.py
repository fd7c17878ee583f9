"""Records and batches of them, as they wait for their partition's leader."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka.codec import has_gzip, has_lz4, has_snappy, has_zstd
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from gateway.core.errors import GatewayError

Partition = tuple[str, int]
"""Topic and number."""

OVERHEAD_BYTES: Final = 300
"""Of a record beside its value: key, headers, lengths."""
_MAGIC: Final = 2
_LARGEST_SEQUENCE: Final = 2**31 - 1
CODECS: Final = {
    "none": (lambda: True, 0),
    "gzip": (has_gzip, DefaultRecordBatch.CODEC_GZIP),
    "snappy": (has_snappy, DefaultRecordBatch.CODEC_SNAPPY),
    "lz4": (has_lz4, DefaultRecordBatch.CODEC_LZ4),
    "zstd": (has_zstd, DefaultRecordBatch.CODEC_ZSTD),
}


@dataclass(slots=True, eq=False)
class Record:
    """One record, and whom its end concerns."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    time_ms: int
    done: Callable[[GatewayError | None], None]
    """Called once, with None when it is in the log."""

    @property
    def size(self) -> int:
        """Return about how many bytes it takes."""
        return len(self.value) + OVERHEAD_BYTES


@dataclass(slots=True, eq=False)
class Batch:
    """Records of one partition that go together, always as the same bytes once they were sent."""

    partition: Partition
    builder: Any
    """aiokafka's, which writes the bytes; None once they are written."""
    begun: float
    """When its first record came, or when the one before it ended; monotonic seconds."""
    records: list[Record] = field(default_factory=list)
    content: bytes = b""
    sequence: int = -1
    """Number of its first record within the producer and partition; -1 before it was sent."""
    is_unclear: bool = False
    """An attempt to send it went without an answer that tells whether it is in the log."""
    is_flying: bool = False
    """It is on its way."""
    failures: int = 0
    """Attempts that have failed."""
    not_before: float = 0.0
    """When it may be sent again; monotonic seconds."""

    def append(self, record: Record) -> bool:
        """Take a record in; return False where it is full or was sent."""
        if self.builder is None:
            return False
        appended = self.builder.append(
            len(self.records), timestamp=record.time_ms, key=record.key, value=record.value, headers=record.headers
        )
        if appended is None:
            return False
        self.records.append(record)
        return True

    def write(self, producer: tuple[int, int], sequence: int) -> bytes:
        """Return its bytes; the first call fixes them. producer: id and epoch."""
        if self.builder is not None:
            self.sequence = sequence
            self.builder.set_producer_state(*producer, sequence)
            self.content, self.builder = bytes(self.builder.build()), None
        return self.content

    def end(self, error: GatewayError | None) -> None:
        """End all of its records."""
        for record in self.records:
            record.done(error)


class Batches:
    """Makes batches of one size and compression."""

    def __init__(self, compression: str, most_bytes: int) -> None:
        """most_bytes: of a batch before compression; a single larger record is a batch for itself."""
        self._codec = CODECS[compression][1]
        self.most_bytes = most_bytes

    def new(self, partition: Partition, begun: float) -> Batch:
        """Return an empty batch."""
        builder = DefaultRecordBatchBuilder(_MAGIC, self._codec, 0, -1, -1, 0, self.most_bytes)
        return Batch(partition, builder, begun)

    def divided(self, batch: Batch) -> list[Batch]:
        """Return the records of a batch in two batches or more, in order."""
        parts: list[Batch] = []
        middle = len(batch.records) // 2
        for records in (batch.records[:middle], batch.records[middle:]):
            part = self.new(batch.partition, batch.begun)
            for record in records:
                if not part.append(record):
                    parts.append(part)
                    part = self.new(batch.partition, batch.begun)
                    part.append(record)
            parts.append(part)
        return parts


def following(sequence: int, count: int) -> int:
    """Return the sequence number after `count` records; after 2^31 - 1 comes 0."""
    return (sequence + count) & _LARGEST_SEQUENCE
