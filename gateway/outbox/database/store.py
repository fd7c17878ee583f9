"""What the database holds: opening it, and the transactions that change it."""

import asyncio
import json
import os
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import Final

from gateway.core.errors import Retryable
from gateway.core.messages import Loss, Message
from gateway.core.ports.watermarks import StoredWatermark
from gateway.outbox.database import watermarks
from gateway.outbox.database.compression import Place
from gateway.outbox.database.message_rows import checked, checksum
from gateway.outbox.database.schema import FOREIGN_PARTS, LOSSES, SETTINGS, SIGN, identify, steps
from gateway.outbox.database.sealed_rows import SealedRows
from gateway.outbox.database.sqlite_errors import DamagedError, UnwritableError, translated
from gateway.outbox.database.string_ids import StringIds
from gateway.outbox.database.topic_counts import TopicCounts, TopicKey, changes
from gateway.outbox.records import LANES_BY_WORTH, LOSS_LANE, Change, Entry, PreviousBoot, Totals

CLOCK_STEP_MS: Final = 60_000
"""A wall clock that is behind what it was by more than this has been set back."""

MOST_TURNS: Final = 100
"""Times that the clock was set back which are remembered, the latest."""

_INSERT: Final = (
    "INSERT INTO message (id, lane, topic, boot, seq, start_ms, end_ms, checksum, payload, coded, windows, first_seq)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_FORGET_TURNS: Final = "DELETE FROM turn WHERE id NOT IN (SELECT id FROM turn ORDER BY id DESC LIMIT ?)"
_STILL: Final = (
    "SELECT count(*), max(m.seq) FROM message m JOIN topic t ON t.id = m.topic JOIN boot b ON b.id = m.boot"
    " WHERE t.name = ? AND b.name = ? AND m.seq BETWEEN ? AND ?"
)
_SPANS: Final = (
    "SELECT topic, boot, min(seq), max(seq), count(*), min(start_ms), max(end_ms) FROM message"
    " WHERE lane >= 0 AND id NOT IN (SELECT value FROM json_each(?)) GROUP BY topic, boot"
)


class Store(SealedRows):
    """The outbox's database."""

    def __init__(self, path: Path, synchronous: str = "full") -> None:
        super().__init__(path)
        self.totals = Totals()
        self.losses: list[Loss] = []
        self.watermarks: dict[str, StoredWatermark] = {}
        self.last_id = 0
        self.commits = 0
        """The number of the last commit that has changed messages or losses."""
        self._synchronous = self._synchronous_now = synchronous
        self._boot = 0
        self.unreported: list[PreviousBoot] = []
        """Boots before this one, oldest first, that had no clean stop and were not reported (`mark_reported`)."""

    async def open(self, boot: str, started_ms: int) -> None:
        """Open or make the file and enter this boot.

        Sets `totals`, `topic_counts`, `losses` (not yet announced), `watermarks`, `unreported` and `last_id`. Raises also
        ConfigError (see `identify`) and UnwritableError.
        """
        try:
            known = identify(self._path)
        except OSError as error:
            raise UnwritableError(f"{self._path}: {error.strerror}") from error
        is_complete = False
        try:
            with translated(sqlite3.SQLITE_ERROR):
                await self._connect()
                version = await self._prepare(known)
                async with self._transaction():
                    await self._open_seal(version)
                    await self._take_stock()
                    await self._enter(boot, started_ms)
                self._log_inode = self._log.stat().st_ino
            is_complete = True
        except OSError as error:
            raise Retryable(f"{self._path}: {error.strerror}") from error
        finally:
            if not is_complete:  # a connection that is left open keeps its thread and its locks
                await self.close()

    async def _prepare(self, known: bool) -> int:
        """Bring the file to the newest schema and check the key. Returns the schema that it had."""
        for setting in (*(() if known else (SIGN,)), *SETTINGS, f"PRAGMA synchronous = {self._synchronous}"):
            await self._rows(setting)
        self._synchronous_now = self._synchronous
        self._inode = os.stat(self._path).st_ino
        if self._is_small:
            found = await self._rows("PRAGMA integrity_check(1)")  # the quick check does not look for rows in the index
            if found[0][0] != "ok":
                raise DamagedError(str(found[0][0]))
        if found := await self._rows(FOREIGN_PARTS):
            raise DamagedError(f"the file has a {found[0][0]}, which no gateway makes")
        version: int = (await self._rows("PRAGMA user_version"))[0][0]
        for transaction in steps(version):
            for statement in transaction:
                await self._rows(statement)
        await self._check_key()
        # the header is read without SQLite before the next start, so it must not lag behind in the log
        await self._rows("PRAGMA wal_checkpoint(TRUNCATE)")
        await asyncio.to_thread(self._sync_folder)
        return version

    async def _take_stock(self) -> None:
        totals = await self._rows("SELECT lane, messages, bytes FROM total")
        self.commits = (await self._rows("SELECT max(commits) FROM total"))[0][0] or 0
        if {lane for lane, _, _ in totals} != set(LANES_BY_WORTH):
            raise DamagedError("the totals are missing")
        found = Totals({lane: n for lane, n, _ in totals}, {lane: n for lane, _, n in totals})
        self.last_id = (await self._rows("SELECT coalesce(max(id), 0) FROM message"))[0][0]
        if not self.last_id and any(found.messages.values()):
            raise DamagedError("the totals count messages where there are none")
        if not self.last_id:
            await self._rows("DELETE FROM topic")
            await self._rows("DELETE FROM boot WHERE clean = 1 AND id < (SELECT max(id) FROM boot)")
            await self._rows("UPDATE uncounted SET up_to = 0")
            await self._rows("DELETE FROM extent")
        await self._rows("DELETE FROM turn WHERE id <= (SELECT coalesce(min(id), ?) FROM message)", (2**62,))
        self._topics = StringIds(dict(await self._rows("SELECT name, id FROM topic")))
        self._boots = StringIds(dict(await self._rows("SELECT name, id FROM boot")))
        self._turns = [(id, wall_ms) for id, wall_ms in await self._rows("SELECT id, wall_ms FROM turn ORDER BY id")]
        self.losses = [Loss(*row) for row in await self._rows(LOSSES)]
        self.watermarks = dict(watermarks.sound(await self._rows(watermarks.QUERY)))
        if self.is_unproven:
            self.watermarks = {key: replace(found, is_certain=False) for key, found in self.watermarks.items()}
            await self._many(watermarks.WRITE, watermarks.rows(self.watermarks))
        await self._read_topic_counts(sum(found.messages.values()))
        self.totals = found
        self._pages = await self._measured()

    def check_count(self, found: int) -> None:
        """Check that the totals say that there are `found` messages, which are all that can be found. Raises DamagedError.

        On a disk that lies about syncs the index and the totals may be of another time than the rows. In a file too large to
        be checked when it is opened that shows when nothing more is found; the rows are then had from the table itself.
        """
        messages = sum(self.totals.messages.values())
        if found != messages:
            raise DamagedError(f"{messages} messages are counted and {found} can be found")

    async def _enter(self, boot: str, started_ms: int) -> None:
        last = await self._rows("SELECT name FROM boot ORDER BY id DESC LIMIT 1")
        if last and last[0][0] != boot:
            newest = await self._rows("SELECT end_ms FROM message WHERE id = ?", (self.last_id,))
            if newest and newest[0][0] > started_ms + CLOCK_STEP_MS:
                await self._write_clock_step(self.last_id + 1, started_ms)
        unclean = "SELECT name, started_ms FROM boot WHERE clean = 0 AND name <> ? ORDER BY id"
        self.unreported = [PreviousBoot(*row) for row in await self._rows(unclean, (boot,))]
        await self._rows(
            "INSERT INTO boot (name, started_ms, clean) VALUES (?, ?, 0)"
            " ON CONFLICT (name) DO UPDATE SET started_ms = excluded.started_ms, clean = 0",
            (boot, started_ms),
        )
        self._boots = StringIds(dict(await self._rows("SELECT name, id FROM boot")))
        self._boot = self._boots.number(boot)

    async def commit(self, change: Change) -> None:
        """Write a change, whole or not at all, to stay."""
        boots, new_boots = self._boots.with_new(entry.message.boot for entry in change.inserts)
        topics, new_topics = self._topics.with_new(entry.message.topic for entry in change.inserts)
        messages = await asyncio.to_thread(self._columns, change.inserts, topics, boots)
        come = await asyncio.to_thread(self._digests, messages)
        totals = self.totals.after(change.inserts, change.deletes)
        commits = self.commits + bool(change.inserts or change.deletes or change.losses)
        topic_counts = changes(self.topic_counts, change.deletes, change.inserts, self.uncounted_to)
        with translated():
            await self._set_synchronous("full" if change.watermarks and self._synchronous == "normal" else self._synchronous)
            async with self._transaction():
                gone = await self._digests_of(change.deletes)
                self._reseal(gone, come)
                await self._many("INSERT INTO boot (name, id, started_ms, clean) VALUES (?, ?, 0, 1)", new_boots.items())
                await self._many("INSERT INTO topic (name, id) VALUES (?, ?)", new_topics.items())
                await self._many("DELETE FROM message WHERE id = ?", [(gone.id,) for gone in change.deletes])
                await self._many(_INSERT, messages)
                await self._write_losses(change)
                await self._write_totals(totals, commits)
                await self._write_topic_counts(topic_counts, topics, boots)
                await self._many(watermarks.WRITE, watermarks.rows(change.watermarks))
                pages = await self._measured()
        self.totals, self._boots, self._topics, self._pages = totals, boots, topics, pages
        self.commits = commits
        self._record_topic_counts(topic_counts)
        if self._check is not None:
            self._check.changed(gone, come)

    async def _set_synchronous(self, synchronous: str) -> None:
        """Set how much the next commits sync: with watermarks the log, as samples are handed on that rest on them."""
        if synchronous != self._synchronous_now:
            await self._rows(f"PRAGMA synchronous = {synchronous}")
            self._synchronous_now = synchronous

    async def _write_losses(self, change: Change) -> None:
        await self._many("DELETE FROM loss WHERE boot = ? AND topic = ? AND cause = ?", change.superseded)
        await self._many(
            "INSERT OR REPLACE INTO loss (topic, boot, first_seq, last_seq, count, start_ms, end_ms, cause, detail, windows,"
            " from_seq) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            map(astuple, change.losses),
        )

    async def _write_totals(self, totals: Totals, commits: int) -> None:
        if commits != self.commits:
            await self._rows("UPDATE total SET commits = ? WHERE lane = 0", (commits,))
        await self._many(
            "UPDATE total SET messages = ?, bytes = ? WHERE lane = ?",
            [
                (totals.messages[lane], totals.size[lane], int(lane))
                for lane in LANES_BY_WORTH
                if totals.messages[lane] != self.totals.messages[lane] or totals.size[lane] != self.totals.size[lane]
            ],
        )

    async def record_clock_step(self, next_id: int, wall_ms: int) -> None:
        """Record that the wall clock was set back, to `wall_ms` (UTC); messages from `next_id` on are put after that."""
        with translated():
            async with self._transaction():
                await self._write_clock_step(next_id, wall_ms)

    async def _write_clock_step(self, next_id: int, wall_ms: int) -> None:
        await self._rows("INSERT OR IGNORE INTO turn VALUES (?, ?)", (next_id, wall_ms))
        await self._rows(_FORGET_TURNS, (MOST_TURNS,))
        self._turns = [(id, ms) for id, ms in await self._rows("SELECT id, wall_ms FROM turn ORDER BY id")]

    async def mark_clean(self) -> None:
        """Record that this boot stops as it should."""
        with translated():
            async with self._transaction():
                await self._rows("UPDATE boot SET clean = 1 WHERE id = ?", (self._boot,))

    async def spans(self, held: Collection[int], cause: str, detail: str) -> list[Loss]:
        """Return all messages but loss messages and those that are `held`, as losses. Reads all rows."""
        with translated():
            rows = await self._rows(_SPANS, (json.dumps(list(held)),))
        return [
            Loss(self._topics.name(topic), self._boots.name(boot), first, last, count, start_ms, end_ms, cause, detail)
            for topic, boot, first, last, count, start_ms, end_ms in rows
            if topic in self._topics and boot in self._boots
        ]

    async def still(self, topic_counts: TopicCounts) -> dict[TopicKey, tuple[int, int]]:
        """Return of topics how many messages within these numbers there are, and the last number of these."""
        found: dict[TopicKey, tuple[int, int]] = {}
        with translated():
            for of, count in topic_counts.items():
                there, last = (await self._rows(_STILL, (*of, count.first_seq, count.last_seq)))[0]
                found[of] = (there, last or 0)
        return found

    async def loss_messages(self, held: Collection[int]) -> list[Message]:
        """Return all loss messages but those that are `held`."""
        with translated():
            ids = await self._rows("SELECT id FROM message WHERE lane = ?", (LOSS_LANE,))
        return await self.messages(id for (id,) in ids if id not in held)

    async def mark_reported(self) -> None:
        """Record that what this boot reports of those before it is safe: the next one need not report it again."""
        with translated():
            async with self._transaction():
                await self._rows("UPDATE boot SET clean = 1 WHERE id <> ?", (self._boot,))

    def _columns(self, entries: Sequence[Entry], topics: StringIds, boots: StringIds) -> list[tuple[object, ...]]:
        """Return the rows for `_INSERT`. Compressing takes its time, so a thread does it."""
        rows: list[tuple[object, ...]] = []
        for entry in entries:
            m = entry.message
            numbers = (entry.id, int(entry.lane), topics.number(m.topic), boots.number(m.boot), m.seq, m.start_ms, m.end_ms)
            row = (entry.id, int(entry.lane), m.start_ms, m.end_ms, entry.windows, entry.first_seq)
            kept, coded = self.compression.encode(Place(m.topic, m.boot, m.seq, row), m.payload)
            entry.kept = len(kept)
            check = checksum(checked(numbers, entry.windows, entry.first_seq), kept, coded)
            rows.append((*numbers, check, kept, coded, entry.windows, entry.first_seq))
        return rows
