"""The table `extent` of a database: how many rows there are of each boot and topic."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gateway.outbox.database.rows import Rows
from gateway.outbox.database.sqlite_errors import DamagedError, translated
from gateway.outbox.database.string_ids import Names
from gateway.outbox.database.topic_counts import Extent, TopicOf, checksum, with_one

CHECKED_WHOLE_BYTES: Final = 16 * 2**20
"""Files up to this size are checked from end to end when they are opened; larger ones would delay the start."""

_COUNT_ROWS: Final = 2_000
_EXTENTS: Final = "SELECT topic, boot, messages, first_seq, last_seq, start_ms, end_ms, checksum FROM extent"
_UNCOUNTED: Final = (
    "SELECT id, topic, boot, seq, first_seq, start_ms, end_ms FROM message WHERE id <= ? ORDER BY id DESC LIMIT ?"
)


class Counts(Rows):
    """Rows that are counted by topic and boot."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.extents: dict[TopicOf, Extent] = {}
        """How many rows there are of each topic and boot, but for those up to the id `uncounted_to`."""
        self.uncounted_to = 0

    @property
    def _is_small(self) -> bool:
        return os.stat(self._path).st_size <= CHECKED_WHOLE_BYTES

    async def count_more(self) -> None:
        """Count some of the rows that were there before extents were kept (schema 2), the youngest first, until all are."""
        if not self.uncounted_to:
            return
        extents: dict[TopicOf, Extent] = {}
        with translated():
            rows = await self._rows(_UNCOUNTED, (self.uncounted_to, _COUNT_ROWS))
            for id, topic, boot, seq, first_seq, start_ms, end_ms in rows:
                if topic not in self._topics or boot not in self._boots:
                    raise DamagedError(f"message {id} belongs to nothing known")
                of = self._topics.name(topic), self._boots.name(boot)
                extents[of] = with_one(extents.get(of) or self.extents.get(of), first_seq or seq, seq, start_ms, end_ms)
            up_to = rows[-1][0] - 1 if len(rows) == _COUNT_ROWS else 0
            await self._rows("BEGIN IMMEDIATE")
            try:
                await self._write_extents(extents, self._topics, self._boots)
                await self._rows("UPDATE uncounted SET up_to = ?", (up_to,))
                await self._rows("COMMIT")
            except BaseException:  # cancelled, too: the next transaction cannot begin in this one
                await self._rollback()
                raise
        self.uncounted_to = up_to
        self._note_extents(extents)

    def _note_extents(self, changed: Mapping[TopicOf, Extent]) -> None:
        """They are written."""
        for of, extent in changed.items():
            if extent.messages:
                self.extents[of] = extent
            else:
                self.extents.pop(of, None)

    async def _read_extents(self, messages: int) -> None:
        """Sets `extents` and `uncounted_to`. Raises DamagedError where rows are missing, as far as that can be known without
        reading all rows of a large file."""
        uncounted = await self._rows("SELECT up_to FROM uncounted")
        if len(uncounted) != 1:
            raise DamagedError("the extents are missing")
        extents: dict[TopicOf, Extent] = {}
        for topic, boot, *numbers, check in await self._rows(_EXTENTS):
            extent = Extent(*numbers)
            if check != checksum(topic, boot, extent) or topic not in self._topics or boot not in self._boots:
                raise DamagedError("the extents have a wrong checksum")
            extents[self._topics.name(topic), self._boots.name(boot)] = extent
        if not uncounted[0][0]:
            if sum(extent.messages for extent in extents.values()) != messages:
                raise DamagedError("extents and totals differ")
            if self._is_small:
                await self._recount(extents)
        self.uncounted_to, self.extents = uncounted[0][0], extents

    async def _recount(self, extents: Mapping[TopicOf, Extent]) -> None:
        """Raises DamagedError unless just the rows are there that should be."""
        counts = await self._rows("SELECT topic, boot, count(*) FROM message GROUP BY topic, boot")
        there = {(topic, boot): count for topic, boot, count in counts}
        kept = {(self._topics.number(t), self._boots.number(b)): x.messages for (t, b), x in extents.items()}
        if there != kept:
            raise DamagedError("messages are missing, or some that were deleted have come back")

    async def _write_extents(self, changed: Mapping[TopicOf, Extent], topics: Names, boots: Names) -> None:
        numbered = [(topics.number(topic), boots.number(boot), x) for (topic, boot), x in changed.items()]
        await self._many(
            "DELETE FROM extent WHERE topic = ? AND boot = ?", [(t, b) for t, b, x in numbered if not x.messages]
        )
        await self._many(
            "INSERT OR REPLACE INTO extent VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(t, b, *x, checksum(t, b, x)) for t, b, x in numbered if x.messages],
        )

    async def _rollback(self) -> None:
        if self._db is not None and self._db.in_transaction:
            with translated():
                await self._rows("ROLLBACK")
