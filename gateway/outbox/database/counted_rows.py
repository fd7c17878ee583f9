"""Rows that are counted: the table `extent` says how many there are of each boot and topic."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gateway.outbox.database.rows import Rows
from gateway.outbox.database.sqlite_errors import DamagedError, translated
from gateway.outbox.database.string_ids import StringIds
from gateway.outbox.database.topic_counts import TopicCount, TopicKey, checksum, plus_one

CHECKED_WHOLE_BYTES: Final = 16 * 2**20
"""Files up to this size are checked from end to end when they are opened; larger ones would delay the start."""

_COUNT_ROWS: Final = 2_000
_EXTENTS: Final = "SELECT topic, boot, messages, first_seq, last_seq, start_ms, end_ms, checksum FROM extent"
_UNCOUNTED: Final = (
    "SELECT id, topic, boot, seq, first_seq, start_ms, end_ms FROM message WHERE id <= ? ORDER BY id DESC LIMIT ?"
)


class CountedRows(Rows):
    """A database whose rows are counted by topic and boot."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.topic_counts: dict[TopicKey, TopicCount] = {}
        """How many rows there are of each topic and boot, but for those up to the id `uncounted_to`."""
        self.uncounted_to = 0

    @property
    def _is_small(self) -> bool:
        return os.stat(self._path).st_size <= CHECKED_WHOLE_BYTES

    async def count_more(self) -> None:
        """Count some of the rows of before schema 3, which has the counts, the youngest first, until all are counted."""
        if not self.uncounted_to:
            return
        topic_counts: dict[TopicKey, TopicCount] = {}
        with translated():
            rows = await self._rows(_UNCOUNTED, (self.uncounted_to, _COUNT_ROWS))
            for id, topic, boot, seq, first_seq, start_ms, end_ms in rows:
                if topic not in self._topics or boot not in self._boots:
                    raise DamagedError(f"message {id} belongs to nothing known")
                of = self._topics.name(topic), self._boots.name(boot)
                known = topic_counts.get(of) or self.topic_counts.get(of)
                topic_counts[of] = plus_one(known, first_seq or seq, seq, start_ms, end_ms)
            up_to = rows[-1][0] - 1 if len(rows) == _COUNT_ROWS else 0
            async with self._transaction():
                await self._write_topic_counts(topic_counts, self._topics, self._boots)
                await self._rows("UPDATE uncounted SET up_to = ?", (up_to,))
        self.uncounted_to = up_to
        self._record_topic_counts(topic_counts)

    def _record_topic_counts(self, changed: Mapping[TopicKey, TopicCount]) -> None:
        """They are written."""
        for of, extent in changed.items():
            if extent.messages:
                self.topic_counts[of] = extent
            else:
                self.topic_counts.pop(of, None)

    async def _read_topic_counts(self, messages: int) -> None:
        """Set `topic_counts` and `uncounted_to`.

        Raises DamagedError where rows are missing, as far as that can be known without reading all rows of a large file.
        """
        uncounted = await self._rows("SELECT up_to FROM uncounted")
        if len(uncounted) != 1:
            raise DamagedError("the extents are missing")
        topic_counts: dict[TopicKey, TopicCount] = {}
        for topic, boot, *numbers, check in await self._rows(_EXTENTS):
            extent = TopicCount(*numbers)
            if check != checksum(topic, boot, extent) or topic not in self._topics or boot not in self._boots:
                raise DamagedError("the extents have a wrong checksum")
            topic_counts[self._topics.name(topic), self._boots.name(boot)] = extent
        if not uncounted[0][0]:
            if sum(extent.messages for extent in topic_counts.values()) != messages:
                raise DamagedError("extents and totals differ")
            if self._is_small:
                await self._recount(topic_counts)
        self.uncounted_to, self.topic_counts = uncounted[0][0], topic_counts

    async def _recount(self, topic_counts: Mapping[TopicKey, TopicCount]) -> None:
        """Check that just the rows are there that should be. Raises DamagedError."""
        counts = await self._rows("SELECT topic, boot, count(*) FROM message GROUP BY topic, boot")
        there = {(topic, boot): count for topic, boot, count in counts}
        kept = {(self._topics.number(t), self._boots.number(b)): x.messages for (t, b), x in topic_counts.items()}
        if there != kept:
            raise DamagedError("messages are missing, or some that were deleted have come back")

    async def _write_topic_counts(self, changed: Mapping[TopicKey, TopicCount], topics: StringIds, boots: StringIds) -> None:
        numbered = [(topics.number(topic), boots.number(boot), x) for (topic, boot), x in changed.items()]
        await self._many(
            "DELETE FROM extent WHERE topic = ? AND boot = ?", [(t, b) for t, b, x in numbered if not x.messages]
        )
        await self._many(
            "INSERT OR REPLACE INTO extent VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(t, b, *x, checksum(t, b, x)) for t, b, x in numbered if x.messages],
        )
