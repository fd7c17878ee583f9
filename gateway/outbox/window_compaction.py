"""Compaction: old windows become fewer and longer ones before anything is dropped. How they merge is decided elsewhere."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.core.messages import Lane, Message
from gateway.outbox.database.store import Store
from gateway.outbox.records import Entry, Row

Merge = Callable[[Sequence[Message]], Sequence[Message]]
"""Windows of one boot and topic as fewer messages, each numbered as one of the last of them; none when it cannot be done."""

SPANS_MS: Final = (60_000, 600_000)
"""First within each minute, then within each ten minutes of wall time."""

SCAN_ROWS: Final = 4_000
STEP_BYTES: Final = 2**18
GROUP_BYTES: Final = 2**18


@dataclass(frozen=True, slots=True)
class Merged:
    """The result of one step, to be written in one transaction."""

    gone: Sequence[Row]
    """Rows that are deleted."""
    instead: Sequence[Entry]
    """What takes the place of some of them."""
    thinned: Sequence[Row]
    """Those of `gone` that nothing takes the place of."""


@dataclass(frozen=True, slots=True)
class MergePlan:
    """Rows that become one message each, and the id after which to look on. split: some will have to be merged again."""

    groups: list[list[Row]]
    after: int
    split: bool


def plan_merges(rows: Sequence[Row], span_ms: int, before_ms: int, whole: bool, until_ms: int | None = None) -> MergePlan:
    """Group neighbouring rows (in id order) by boot, topic and aligned span of wall time.

    whole: no rows come after. until_ms: as in `Run`; if it lies before `before_ms`, all these spans are over.

    Left for later are the last rows whose spans do not end before `before_ms`, and those of the last span of all if more of
    it may follow, unless there is no other.
    """
    ended = until_ms is not None and until_ms <= before_ms

    def over(row: Row) -> bool:
        return ended or (row.start_ms // span_ms + 1) * span_ms <= before_ms

    last = len(rows)
    while last and (
        (not whole and rows[last - 1].start_ms // span_ms == rows[-1].start_ms // span_ms) or not over(rows[last - 1])
    ):
        last -= 1
    split = not last and not whole and any(over(row) for row in rows)
    if split:
        last = len(rows)
    groups: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows[:last]:
        bucket = row.start_ms // span_ms
        fits = row.end_ms - row.start_ms < span_ms and row.end_ms <= (bucket + 1) * span_ms
        if fits and over(row):
            groups.setdefault((row.boot, row.topic, bucket), []).append(row)
    parts = [part for group in groups.values() for part in _parts(group)]
    split = split or len(parts) > len(groups)
    return MergePlan([part for part in parts if len(part) > 1], rows[last - 1].id if last else 0, split)


def _parts(group: list[Row]) -> list[list[Row]]:
    """Pieces of at least two rows and about `GROUP_BYTES`, so that no merge needs much memory."""
    parts: list[list[Row]] = []
    size = GROUP_BYTES
    for row in group:
        if size >= GROUP_BYTES and (not parts or len(parts[-1]) > 1):
            parts.append([])
            size = 0
        parts[-1].append(row)
        size += row.size
    return parts


@dataclass(slots=True)
class _Pass:
    """How far the rows of a run have been looked through for one span of wall time."""

    span_ms: int
    begin: int
    after: int
    done_to: int = -1
    """There is no more to merge before the end of this span."""
    split: bool = False
    merged: bool = False
    groups: deque[list[Row]] = field(default_factory=deque)

    def add(self, found: MergePlan, before_ms: int) -> None:
        """Add what to do next. At the end begin again if that may merge what was split."""
        self.groups.extend(found.groups)
        self.split |= found.split
        if found.after > self.after:
            self.after = found.after
        elif self.split and self.merged:
            self.after, self.split, self.merged = self.begin, False, False
        else:
            self.done_to = before_ms // self.span_ms


def _standing(made: Sequence[Message], group: Sequence[Row]) -> Iterator[Entry]:
    """Each result stands for the rows up to its number that no one before it stands for, and takes the place of the last."""
    rows = deque(sorted(group, key=lambda row: row.seq))
    for message in sorted(made, key=lambda m: m.seq):
        own = [rows.popleft() for _ in range(len(rows)) if rows[0].seq <= message.seq]
        windows, first_seq = sum(row.windows for row in own), own[0].first_seq or own[0].seq
        yield Entry(own[-1].id, message, False, Lane.WINDOW, 0.0, windows=windows, first_seq=first_seq if windows > 1 else 0)


class WindowCompaction:
    """Merging of windows, the oldest first, a bounded step at a time."""

    def __init__(
        self, store: Store, merge: Merge | None, held: Callable[[int], bool], *, scan_rows: int = SCAN_ROWS
    ) -> None:
        """merge: None for windows that are never merged. held: rows that memory knows are left alone.

        scan_rows: how many are looked through in a step.
        """
        self._store, self._merge, self._held, self._scan_rows = store, merge, held, scan_rows
        self._passes: dict[tuple[int, int], _Pass] = {}

    def restart(self) -> None:
        """Inspection through everything anew: the database is another one, or what was left out may be free now."""
        self._passes = {}

    async def step(self, before_ms: int, levels: int = len(SPANS_MS)) -> Merged | None:
        """Return the next merges of windows of spans that ended before `before_ms` (UTC), within minutes if `levels` is 1.

        An empty result means that there may be more to come, None that there is not. Raises as `Store` does.
        """
        if (merge := self._merge) is None:
            return None
        for span_ms in SPANS_MS[:levels]:
            for run in self._store.runs:
                one = self._passes.setdefault((span_ms, run.after), _Pass(span_ms, run.after, run.after))
                if not one.groups:
                    if before_ms // span_ms <= one.done_to:
                        continue
                    rows = await self._store.after(Lane.WINDOW, one.after, self._scan_rows, run.last)
                    one.add(plan_merges(rows, span_ms, before_ms, len(rows) < self._scan_rows, run.until_ms), before_ms)
                return await self._merged(one, merge)
        return None

    async def _merged(self, one: _Pass, merge: Merge) -> Merged:
        gone: list[Row] = []
        instead: list[Entry] = []
        size = 0
        while one.groups and size < STEP_BYTES:
            group = [row for row in one.groups.popleft() if not self._held(row.id)]
            messages = await self._store.messages(row.id for row in group)
            if len(group) < 2 or not len(group) == len({row.seq for row in group}) == len(messages):
                continue  # gone, broken, or there twice: others find that
            made = await asyncio.to_thread(merge, messages)
            if made:
                one.merged = True
                gone += group
                instead += _standing(made, group)
            size += sum(row.size for row in group)
        taken = {entry.id for entry in instead}
        return Merged(gone, instead, [row for row in gone if row.id not in taken])
