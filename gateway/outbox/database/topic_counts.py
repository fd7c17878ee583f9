"""Counts of messages by boot and topic, kept beside them: when rows cannot be read, they say whose they were. Pure."""

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gateway.core.messages import Loss
from gateway.outbox.records import Entry, Row

TopicKey = tuple[str, str]
"""Topic and boot."""


class TopicCount(NamedTuple):
    """How many messages there are, and the bounds of their numbers and times (ms UTC) since there last was none."""

    messages: int
    first_seq: int
    last_seq: int
    start_ms: int
    end_ms: int

    def loss(self, of: TopicKey, cause: str, detail: str) -> Loss:
        """Return all of them as a loss."""
        first = max(self.first_seq, 1)
        last = max(self.last_seq, first + self.messages - 1)
        return Loss(of[0], of[1], first, last, self.messages, self.start_ms, self.end_ms, cause, detail)


TopicCounts = Mapping[TopicKey, TopicCount]


def checksum(topic: int, boot: int, extent: TopicCount) -> int:
    """Return the CRC-32 over a row of the table `extent`."""
    return zlib.crc32(repr((topic, boot, *extent)).encode())


def changes(
    known: TopicCounts, gone: Iterable[Row], new: Iterable[Entry], uncounted_to: int = 0
) -> dict[TopicKey, TopicCount]:
    """Return the counts that differ once rows are deleted and then others inserted; those of no messages can be forgotten.

    uncounted_to: rows up to this id are not counted; they are of before schema 3, which has the counts.
    """
    taken = Counter((row.topic, row.boot) for row in gone if row.id > uncounted_to)
    changed = {of: known[of]._replace(messages=max(0, known[of].messages - n)) for of, n in taken.items() if of in known}
    for entry in new:
        if entry.id > uncounted_to:
            m = entry.message
            of = (m.topic, m.boot)
            old = changed.get(of) or known.get(of)
            changed[of] = plus_one(old, entry.first_seq or m.seq, m.seq, m.start_ms, m.end_ms)
    return changed


def plus_one(old: TopicCount | None, first_seq: int, last_seq: int, start_ms: int, end_ms: int) -> TopicCount:
    """Return the count with one message more."""
    if old is None or not old.messages:
        return TopicCount(1, first_seq, last_seq, start_ms, end_ms)
    return TopicCount(
        old.messages + 1,
        min(old.first_seq, first_seq),
        max(old.last_seq, last_seq),
        min(old.start_ms, start_ms),
        max(old.end_ms, end_ms),
    )


def without(known: TopicCounts, rows: Iterable[Row], uncounted_to: int = 0) -> dict[TopicKey, TopicCount]:
    """Return the counts less some of their rows; none that has no messages left."""
    taken = Counter((row.topic, row.boot) for row in rows if row.id > uncounted_to)
    left = ((of, extent._replace(messages=extent.messages - taken[of])) for of, extent in known.items())
    return {of: extent for of, extent in left if extent.messages > 0}
