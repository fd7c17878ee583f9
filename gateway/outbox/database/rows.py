"""Reading messages from the database: backlog to send, and what retention looks at. Nothing here reads all there is."""

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from gateway.core.messages import Lane, Message
from gateway.outbox.database.compression import MOST_PAYLOAD_BYTES, Compression, UnsealedError
from gateway.outbox.database.connection import Database
from gateway.outbox.database.message_rows import message_of, select
from gateway.outbox.database.sqlite_errors import DamagedError, SealBrokenError, translated
from gateway.outbox.database.string_ids import StringIds
from gateway.outbox.records import LANES_BY_WORTH, LOSS_LANE, Broken, Entry, Loaded, LoadRequest, Row

MOST_VICTIMS: Final = 5_000
"""Rows to give up in one transaction: bounds its time (a tenth of a second or so), its memory and its share of the log."""

_STEP_ROWS: Final = 64
_SCAN_ROWS: Final = 500
_LAST_ID: Final = 2**63 - 1
_AT_ONCE_BYTES: Final = 2**18
"""Payloads that take more are fetched one by one, so that a step takes little memory whatever is in the file."""

_MOST_MERGED_BYTES: Final = 2 * MOST_PAYLOAD_BYTES
_KEPT: Final = 9
"""The place of the payload among the columns."""

_RISING: Final = " UNION ALL ".join([select("WHERE lane = ? AND id > ?", _AT_ONCE_BYTES)] * 2) + " ORDER BY id LIMIT ?"
_FALLING: Final = _RISING.replace("id > ?", "id < ?").replace("ORDER BY id", "ORDER BY id DESC")
_ONE: Final = select("WHERE id = ?")
_SOME: Final = select("WHERE id IN (SELECT value FROM json_each(?)) ORDER BY m.id", _AT_ONCE_BYTES)
_BETWEEN: Final = (
    "SELECT id, lane, topic, boot, seq, start_ms, end_ms, length(payload), windows, first_seq FROM message"
    " WHERE lane = ? AND id > ? AND id <= ? ORDER BY id LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class Run:
    """A range of ids between which the wall clock was not set back."""

    after: int
    """All ids are above this one."""
    last: int
    """The last id of the range."""
    until_ms: int | None
    """UTC time after which none of these was put, whatever its own times say; None for the last range, which goes on."""

    def end_ms(self, row: Row) -> int:
        """Return when a row ended, ms UTC, as far as that can be trusted."""
        return row.end_ms if self.until_ms is None else min(row.end_ms, self.until_ms)


class Rows(Database):
    """A database whose topics, boots and key are known."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.compression = Compression()
        self._boots = StringIds()
        self._topics = StringIds()
        self._turns: list[tuple[int, int]] = []

    @property
    def runs(self) -> list[Run]:
        """Return the ranges of ids, cut where the wall clock was set back; at least one."""
        runs, after = [], 0
        for id, wall_ms in self._turns:
            runs.append(Run(after, id - 1, wall_ms))
            after = id - 1
        latest = None
        for i, run in reversed(list(enumerate(runs))):  # nothing was put after what a later turn says
            latest = run.until_ms if latest is None or run.until_ms is None else min(run.until_ms, latest)
            runs[i] = Run(run.after, run.last, latest)
        return [*runs, Run(after, _LAST_ID, None)]

    async def load(self, wanted: LoadRequest, most_rows: int, most_bytes: int) -> Loaded:
        """Return the next messages of the backlog in their order, about `most_bytes` and at least one."""
        first, second = (LOSS_LANE, Lane.EVENT) if wanted.events else (Lane.SUMMARY, Lane.WINDOW)
        query, after = _FALLING if wanted.newest_first else _RISING, wanted.after
        found: list[Entry] = []
        broken: list[Broken] = []
        up_to, size, rows = after, 0, 0
        with translated():
            async with self._database.execute(query, (int(first), after, int(second), after, most_rows)) as cursor:
                while size < most_bytes and (some := list(await cursor.fetchmany(_STEP_ROWS))):
                    _check_order(query is _FALLING, up_to, [row[0] for row in some])
                    while some and size < most_bytes:
                        read = await self._read(some, most_bytes - size)
                        found += (_entry(row, got) for row, got in read if isinstance(got, Message))
                        broken += (got for _, got in read if isinstance(got, Broken))
                        size += sum(len(got.payload) for _, got in read if isinstance(got, Message))
                        up_to, rows, some = read[-1][0].id, rows + len(read), some[len(read) :]
        return Loaded(found, broken, up_to, complete=size < most_bytes and rows < most_rows)

    async def oldest(self, most_bytes: int, cost: Callable[[int], int], held: Callable[[int], bool]) -> list[Row]:
        """Return messages whose deletion frees about `most_bytes`, least worth and oldest first, none that is `held`."""
        found: list[Row] = []
        for lane in LANES_BY_WORTH:
            after = 0
            while most_bytes > 0 and len(found) < MOST_VICTIMS and (some := await self.after(lane, after, _SCAN_ROWS)):
                for row in some:
                    if most_bytes > 0 and not held(row.id):
                        found.append(row)
                        most_bytes -= cost(row.size)
                after = some[-1].id
        return found

    async def expired(self, before_ms: int, held: Callable[[int], bool]) -> list[Row]:
        """Return messages that ended before `before_ms` (UTC), none that is `held` and no loss messages."""
        found: list[Row] = []
        for lane in Lane:
            for run in self.runs:
                after = run.after
                while len(found) < MOST_VICTIMS and (some := await self.after(lane, after, _SCAN_ROWS, run.last)):
                    old = [row for row in some if run.end_ms(row) < before_ms]
                    found += (row for row in old if not held(row.id))
                    after = some[-1].id
                    if not old:
                        break
        return found

    async def after(self, lane: int, id: int, most_rows: int, last: int = _LAST_ID) -> list[Row]:
        """Return the next messages of a lane by id, none above `last`."""
        with translated():
            rows = await self._rows(_BETWEEN, (int(lane), id, last, most_rows))
        _check_order(False, id, [row[0] for row in rows])
        return [self._row(row) for row in rows]

    async def messages(self, ids: Iterable[int]) -> list[Message]:
        """Return those of these messages that are there and whole, by id, `_MOST_MERGED_BYTES` at most."""
        found: list[Message] = []
        left = _MOST_MERGED_BYTES
        with translated():
            rows = await self._rows(_SOME, (json.dumps(list(ids)),))
            while rows and left > 0:
                read = await self._read(rows, left)
                found += (got for _, got in read if isinstance(got, Message))
                left -= sum(len(got.payload) for _, got in read if isinstance(got, Message))
                rows = rows[len(read) :]
        return found

    def _row(self, found: Any) -> Row:
        id, lane, topic, boot, *numbers = found
        if lane not in LANES_BY_WORTH or topic not in self._topics or boot not in self._boots:
            raise DamagedError(f"message {id} belongs to nothing known")
        if not all(isinstance(number, int) for number in numbers):
            raise DamagedError(f"message {id} has values of the wrong type")
        return Row(id, lane, self._topics.name(topic), self._boots.name(boot), *numbers)

    async def _read(self, rows: Sequence[Any], most_bytes: int) -> list[tuple[Row, Message | Broken]]:
        """Return the first of these rows, as `select` has them, with their messages: about `most_bytes`, at least one."""
        large = next((at for at, row in enumerate(rows) if row[_KEPT] is None), len(rows))
        some = rows[:large] if large else await self._rows(_ONE, (rows[0][0],)) or rows[:1]
        return await asyncio.to_thread(self._messages_in, some, most_bytes)

    def _messages_in(self, rows: Sequence[Any], most_bytes: int) -> list[tuple[Row, Message | Broken]]:
        read: list[tuple[Row, Message | Broken]] = []
        size = 0
        for found in rows:
            *numbers, _, length, kept, _, windows, first_seq = found
            row = self._row((*numbers, length, windows, first_seq))
            try:
                message = message_of(found, row.topic, row.boot, self.compression)
            except UnsealedError as error:
                raise SealBrokenError(f"row {row.id}: {error}") from error
            except ValueError as error:
                read.append((row, Broken(row, str(error), kept if isinstance(kept, bytes) else b"")))
                continue
            read.append((row, message))
            size += len(message.payload)
            if size >= most_bytes:
                break
        return read


def _check_order(falling: bool, after: int, ids: list[int]) -> None:
    """Check that ids lead on from `after`: a torn index could lead in circles. Raises DamagedError."""
    rising = [after, *ids] if not falling else [*reversed(ids), after]
    if any(not a < b for a, b in pairwise(rising)):
        raise DamagedError("the index is out of order")


def _entry(row: Row, message: Message) -> Entry:
    return Entry(
        row.id, message, False, row.lane, 0.0, stored=True, kept=row.size, windows=row.windows, first_seq=row.first_seq
    )
