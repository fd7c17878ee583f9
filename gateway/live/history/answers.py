"""Answers of the historian: rows of memory, files and what is not compressed yet, put together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.core.blocks import Qualities, TagIds, Times, Values
from gateway.live.history.chunks import Series, in_time_order, rolled_up, rows_of
from gateway.live.history.columns import SAMPLES, SPANS, Damaged, HistoryColumns
from gateway.live.history.files import HistoryFiles, Kind
from gateway.live.history.segments import SeriesName

SPAN_NS: Final[Mapping[Kind, int]] = {"minutes": 60_000_000_000, "ten_minutes": 600_000_000_000}
"""Length of a span."""
MOST_ANSWER_ROWS: Final = 2_000_000
"""Rows of one answer."""
_FRAMES_AT_ONCE: Final = 4
_ROWS_AT_ONCE: Final = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class HistoryAnswer:
    """History of some tags, sorted by tag and time, as columns that belong to the caller."""

    kind: Kind
    """samples, minutes or ten_minutes."""
    tag: TagIds
    """uint32[n], row numbers in the `TagTable`."""
    time: Times
    """int64[n], ns since the epoch, UTC: when the value was read, or the span begins."""
    quality: Qualities
    """uint8[n], `Quality` codes."""
    values: Mapping[str, Values]
    """float64[n]: `value` of samples; `min`, `max`, `mean`, `count` of spans. NaN where there is none."""
    missing: tuple[tuple[int, int, str], ...]
    """What is not known: from, to (ns), and why, for people. Spans in which nothing was read are not among it."""
    is_cut: bool
    """There is more than may be answered at once: ask for fewer tags or less time."""

    def __len__(self) -> int:
        return self.tag.size


def answer_of(
    kind: Kind, tag: TagIds, columns: HistoryColumns, missing: tuple[tuple[int, int, str], ...], *, is_cut: bool
) -> HistoryAnswer:
    """Return rows as an answer. tag: of each row."""
    order = np.argsort(tag, kind="stable")
    values = {name: column[order] for name, column in columns.values.items()}
    return HistoryAnswer(kind, tag[order], columns.time[order], columns.quality[order], values, missing, is_cut)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnswerWork:
    """Everything that an answer is made of; `run` may be called on a thread."""

    kind: Kind
    """Which kind of rows."""
    series: Series
    """The series that are asked for, ascending."""
    names: Sequence[SeriesName]
    """Device and tag of each."""
    begin: int
    """The first time, ns."""
    end: int
    """The time before which rows end, ns."""
    most: int
    """Rows that are returned at most."""
    split: int
    """From this time on everything is in memory, ns."""
    frames: Sequence[bytes]
    """Frames in memory."""
    open_rows: Sequence[HistoryColumns]
    """Rows that are not compressed yet."""
    files: HistoryFiles | None
    """Where everything before `split` is, None where nothing of it is wanted."""

    @property
    def is_small(self) -> bool:
        """Return whether it takes about a millisecond."""
        rows = sum(len(one) for one in self.open_rows)
        return self.files is None and len(self.frames) <= _FRAMES_AT_ONCE and rows <= _ROWS_AT_ONCE

    @property
    def _columns(self) -> tuple[str, ...]:
        return SAMPLES if self.kind == "samples" else SPANS

    def run(self) -> tuple[HistoryColumns, bool]:
        """Return the rows sorted by series and time, and whether there are more."""
        parts: list[HistoryColumns] = []
        rows = 0
        for part in self._parts() if self.series.size else ():
            parts.append(part)
            rows += len(part)
            if rows > self.most:
                break
        columns = in_time_order(parts, self._columns)
        if self.kind != "samples":
            columns = rolled_up(columns, SPAN_NS[self.kind])
        return columns.take(slice(self.most)), rows > self.most

    def _parts(self) -> Iterator[HistoryColumns]:
        yield from self._of_files()
        begin = max(self.begin, self.split)
        for data in self.frames:
            yield rows_of(data, self._columns, self.series, begin, self.end)
        for columns in self.open_rows:
            at = np.minimum(np.searchsorted(self.series, columns.series), self.series.size - 1)
            chosen = (self.series[at] == columns.series) & (columns.time >= begin) & (columns.time < self.end)
            if np.count_nonzero(chosen):
                yield columns.take(chosen)

    def _of_files(self) -> Iterator[HistoryColumns]:
        """Yield the rows before `split`. A damaged frame costs itself alone."""
        if self.files is None:
            return
        numbers = dict(zip(self.names, self.series.tolist(), strict=True))
        end = min(self.split, self.end)
        for found in self.files.find(self.kind, set(self.names), self.begin, end):
            try:
                part = rows_of(found.data, self._columns, found.series, self.begin, end)
            except Damaged as error:
                self.files.damage.append(f"a block of {self.kind}: {error}")
                continue
            own = np.array([numbers[found.names[one]] for one in found.series.tolist()], np.uint32)
            if len(part):
                yield HistoryColumns(own[np.searchsorted(found.series, part.series)], part.time, part.quality, part.values)
