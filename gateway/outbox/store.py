"""What the database holds: messages, names, boots, losses, totals."""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from gateway.core.errors import ConfigError
from gateway.core.messages import Lane, Loss, Message
from gateway.outbox.coding import Coder, checksum, is_sound
from gateway.outbox.database import Database
from gateway.outbox.faults import DamagedError, UnwritableError, translated
from gateway.outbox.names import Names
from gateway.outbox.records import LANES_BY_WORTH, LOSS_LANE, Change, Entry, Loaded, PreviousBoot, Row, Totals, Wanted
from gateway.outbox.schema import SETTINGS, SIGN, identify, steps

CHECKED_WHOLE_BYTES: Final = 16 * 2**20
"""Files up to this size are checked from end to end when they are opened; larger ones would delay the start."""

MOST_VICTIMS: Final = 20_000
"""Rows to give up in one transaction: bounds its memory and its share of the log."""

_STEP_ROWS: Final = 64
_SCAN_ROWS: Final = 500

_RISING: Final = (
    "SELECT id, lane, topic, boot, seq, start_ms, end_ms, checksum, payload, coded FROM message WHERE lane = ? AND id > ?"
    " UNION ALL "
    "SELECT id, lane, topic, boot, seq, start_ms, end_ms, checksum, payload, coded FROM message WHERE lane = ? AND id > ?"
    " ORDER BY id LIMIT ?"
)
_FALLING: Final = _RISING.replace("id > ?", "id < ?").replace("ORDER BY id", "ORDER BY id DESC")
_ONE: Final = "SELECT id, lane, topic, boot, seq, start_ms, end_ms, checksum, payload, coded FROM message WHERE id = ?"
_INSERT: Final = (
    "INSERT INTO message (id, lane, topic, boot, seq, start_ms, end_ms, checksum, payload, coded)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_AFTER: Final = (
    "SELECT id, lane, topic, boot, seq, start_ms, end_ms, length(payload) FROM message WHERE lane = ? AND id > ?"
    " ORDER BY id LIMIT ?"
)
_IN_LANE: Final = (
    "SELECT id, lane, topic, boot, seq, start_ms, end_ms, length(payload) FROM message WHERE lane = ? ORDER BY id"
)


class Store(Database):
    """The outbox's database."""

    def __init__(self, path: Path, synchronous: str = "full") -> None:
        super().__init__(path)
        self.coder = Coder()
        self.totals = Totals()
        self.losses: list[Loss] = []
        self.last_id = 0
        self._synchronous = f"PRAGMA synchronous = {synchronous}"
        self._boot = 0
        self._boots = Names()
        self._topics = Names()
        self.untold: list[PreviousBoot] = []
        """Boots before this one, oldest first, that had no clean stop and of which nobody was told (`told`)."""

    async def open(self, boot: str, started_ms: int) -> PreviousBoot | None:
        """Open or make the file and enter this boot. Returns the boot before if it had no clean stop.

        Sets `totals`, `losses` (not yet announced) and `last_id`. Raises also ConfigError (see `identify`) and
        UnwritableError.
        """
        try:
            known = identify(self._path)
        except OSError as error:
            raise UnwritableError(f"{self._path}: {error.strerror}") from error
        try:
            with translated(sqlite3.SQLITE_ERROR):
                await self._connect()
                await self._prepare(known)
                await self._take_stock()
                return await self._enter(boot, started_ms)
        except BaseException:
            await self.close()
            raise

    async def _prepare(self, known: bool) -> None:
        for setting in (*(() if known else (SIGN,)), *SETTINGS, self._synchronous):
            await self._rows(setting)
        file = os.stat(self._path)
        self._inode = file.st_ino
        if file.st_size <= CHECKED_WHOLE_BYTES:
            found = await self._rows("PRAGMA quick_check(1)")
            if found[0][0] != "ok":
                raise DamagedError(str(found[0][0]))
        version = (await self._rows("PRAGMA user_version"))[0][0]
        for transaction in steps(version):
            for statement in transaction:
                await self._rows(statement)
        await self._check_seal()
        # the header is read without SQLite before the next start, so it must not lag behind in the log
        await self._rows("PRAGMA wal_checkpoint(TRUNCATE)")
        await asyncio.to_thread(self._sync_folder)

    async def _check_seal(self) -> None:
        """Raises ConfigError when the file's payloads were encrypted with another key, or with one and there is none."""
        proofs, seal = await self._rows("SELECT proof FROM seal"), self.coder.seal
        advice = "give back the key it was written with, or move the file away to start empty"
        if proofs and seal is None:
            raise ConfigError(f"outbox.key_file: {self._path} is encrypted and no key is set; {advice}")
        if seal is not None and not all(seal.proves(proof) for (proof,) in proofs):
            raise ConfigError(f"outbox.key_file: {seal.name} is not the key of {self._path}; {advice}")
        if seal is not None and not proofs:
            await self._rows("INSERT INTO seal VALUES (?)", (seal.proof(),))

    async def _take_stock(self) -> None:
        totals = await self._rows("SELECT lane, messages, bytes FROM total")
        if {lane for lane, _, _ in totals} != set(LANES_BY_WORTH):
            raise DamagedError("the totals are missing")
        self.totals = Totals({lane: n for lane, n, _ in totals}, {lane: n for lane, _, n in totals})
        self.last_id = (await self._rows("SELECT coalesce(max(id), 0) FROM message"))[0][0]
        if not self.last_id:
            await self._rows("DELETE FROM topic")
            await self._rows("DELETE FROM boot WHERE clean = 1 AND id < (SELECT max(id) FROM boot)")
        self._topics = Names(dict(await self._rows("SELECT name, id FROM topic")))
        self.losses = [
            Loss(*row)
            for row in await self._rows(
                "SELECT topic, boot, first_seq, last_seq, count, start_ms, end_ms, cause, detail FROM loss"
            )
        ]
        self._pages = await self._measured()

    async def _enter(self, boot: str, started_ms: int) -> PreviousBoot | None:
        last = await self._rows("SELECT name, started_ms, clean FROM boot ORDER BY id DESC LIMIT 1")
        unclean = "SELECT name, started_ms FROM boot WHERE clean = 0 AND name <> ? ORDER BY id"
        self.untold = [PreviousBoot(*row) for row in await self._rows(unclean, (boot,))]
        await self._rows(
            "INSERT INTO boot (name, started_ms, clean) VALUES (?, ?, 0)"
            " ON CONFLICT (name) DO UPDATE SET started_ms = excluded.started_ms, clean = 0",
            (boot, started_ms),
        )
        self._boots = Names(dict(await self._rows("SELECT name, id FROM boot")))
        self._boot = self._boots.number(boot)
        return PreviousBoot(last[0][0], last[0][1]) if last and not last[0][2] and last[0][0] != boot else None

    async def commit(self, change: Change) -> None:
        """Write a change, whole or not at all, to stay."""
        boots, new_boots = self._boots.with_new(entry.message.boot for entry in change.inserts)
        topics, new_topics = self._topics.with_new(entry.message.topic for entry in change.inserts)
        messages = await asyncio.to_thread(self._columns, change.inserts, topics, boots)
        totals = self.totals.after(change.inserts, change.deletes)
        with translated():
            await self._rows("BEGIN IMMEDIATE")
            try:
                await self._many("INSERT INTO boot (name, id, started_ms, clean) VALUES (?, ?, 0, 1)", new_boots.items())
                await self._many("INSERT INTO topic (name, id) VALUES (?, ?)", new_topics.items())
                await self._many("DELETE FROM message WHERE id = ?", [(gone.id,) for gone in change.deletes])
                await self._many(_INSERT, messages)
                await self._write_losses(change)
                await self._write_totals(totals)
                pages = await self._measured()
                await self._rows("COMMIT")
            except BaseException:
                await self._rollback()
                raise
        self.totals, self._boots, self._topics, self._pages = totals, boots, topics, pages

    async def _write_losses(self, change: Change) -> None:
        await self._many("DELETE FROM loss WHERE boot = ? AND topic = ? AND cause = ?", change.settled)
        await self._many(
            "INSERT OR REPLACE INTO loss VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (x.boot, x.topic, x.cause, x.first_seq, x.last_seq, x.count, x.start_ms, x.end_ms, x.detail)
                for x in change.losses
            ],
        )

    async def _write_totals(self, totals: Totals) -> None:
        await self._many(
            "UPDATE total SET messages = ?, bytes = ? WHERE lane = ?",
            [
                (totals.messages[lane], totals.size[lane], int(lane))
                for lane in LANES_BY_WORTH
                if totals.messages[lane] != self.totals.messages[lane] or totals.size[lane] != self.totals.size[lane]
            ],
        )

    async def _rollback(self) -> None:
        if self._db is not None and self._db.in_transaction:
            with translated():
                await self._rows("ROLLBACK")

    async def load(self, wanted: Wanted, most_rows: int, most_bytes: int) -> Loaded:
        """The next messages of the backlog in their order."""
        first, second = (LOSS_LANE, Lane.EVENT) if wanted.events else (Lane.SUMMARY, Lane.WINDOW)
        query, after = _FALLING if wanted.newest_first else _RISING, wanted.after
        found: list[Entry] = []
        broken: list[Row] = []
        up_to, size, rows = after, 0, 0
        with translated():
            async with self._database.execute(query, (int(first), after, int(second), after, most_rows)) as cursor:
                while size < most_bytes and (some := list(await cursor.fetchmany(_STEP_ROWS))):
                    for columns in some:
                        row, message = self._read(columns)
                        if message is None:
                            broken.append(row)
                        else:
                            found.append(Entry(row.id, message, False, row.lane, 0.0, stored=True, kept=row.size))
                            size += len(message.payload)
                    up_to, rows = some[-1][0], rows + len(some)
        return Loaded(found, broken, up_to, complete=size < most_bytes and rows < most_rows)

    async def oldest(self, most_bytes: int, cost: Callable[[int], int], held: Callable[[int], bool]) -> list[Row]:
        """Messages whose deletion frees about `most_bytes`, least worth and oldest first, none that is `held`."""
        found: list[Row] = []
        with translated():
            for lane in LANES_BY_WORTH:
                async with self._database.execute(_IN_LANE, (int(lane),)) as cursor:
                    while most_bytes > 0 and len(found) < MOST_VICTIMS and (some := await cursor.fetchmany(_SCAN_ROWS)):
                        for row in map(self._row, some):
                            if most_bytes > 0 and not held(row.id):
                                found.append(row)
                                most_bytes -= cost(row.size)
        return found

    async def expired(self, before_ms: int, held: Callable[[int], bool]) -> list[Row]:
        """Messages that ended before `before_ms`, none that is `held` and no loss messages."""
        found: list[Row] = []
        with translated():
            for lane in Lane:
                async with self._database.execute(_IN_LANE, (int(lane),)) as cursor:
                    while len(found) < MOST_VICTIMS and (some := await cursor.fetchmany(_SCAN_ROWS)):
                        old = [row for row in map(self._row, some) if row.end_ms < before_ms]
                        found += (row for row in old if not held(row.id))
                        if not old:
                            break
        return found

    async def after(self, lane: Lane, id: int, most_rows: int) -> list[Row]:
        """The next messages of a lane by id."""
        with translated():
            return [self._row(row) for row in await self._rows(_AFTER, (int(lane), id, most_rows))]

    async def messages(self, ids: Iterable[int]) -> list[Message]:
        """Those of these messages that are there and whole."""
        found: list[Message] = []
        with translated():
            for id in ids:
                found += (m for row in await self._rows(_ONE, (id,)) if (m := self._read(row)[1]) is not None)
        return found

    async def mark_clean(self) -> None:
        """Note that this boot stops as it should, and what it has told of the boots before is kept."""
        with translated():
            await self._rows("UPDATE boot SET clean = 1")

    async def told(self) -> None:
        """What this boot says of those before it is kept: the next one need not say it again."""
        with translated():
            await self._rows("UPDATE boot SET clean = 1 WHERE id <> ?", (self._boot,))

    def _row(self, columns: Any) -> Row:
        id, lane, topic, boot, seq, start_ms, end_ms, size = columns
        if lane not in LANES_BY_WORTH or topic not in self._topics or boot not in self._boots:
            raise DamagedError(f"message {id} belongs to nothing known")
        return Row(id, lane, self._topics.name(topic), self._boots.name(boot), seq, start_ms, end_ms, size)

    def _read(self, columns: Sequence[Any]) -> tuple[Row, Message | None]:
        """A row as `_ONE` gives it, and its message if it is sound."""
        *numbers, _, kept, coded = columns
        row = self._row((*numbers, len(kept) if isinstance(kept, bytes) else 0))
        if not is_sound(columns):
            return row, None
        try:
            payload = self.coder.payload(row.topic, row.boot, row.seq, kept, coded)
        except ValueError:
            return row, None
        return row, Message(row.topic, row.boot, row.seq, Lane(max(0, row.lane)), row.start_ms, row.end_ms, payload)

    def _columns(self, entries: Sequence[Entry], topics: Names, boots: Names) -> list[tuple[object, ...]]:
        """Rows for `_INSERT`. Compressing takes its time, so a thread does it."""
        rows: list[tuple[object, ...]] = []
        for entry in entries:
            m = entry.message
            numbers = (entry.id, int(entry.lane), topics.number(m.topic), boots.number(m.boot), m.seq, m.start_ms, m.end_ms)
            kept, coded = self.coder.keep(m.topic, m.boot, m.seq, m.payload)
            entry.kept = len(kept)
            rows.append((*numbers, checksum(numbers, kept, coded), kept, coded))
        return rows
