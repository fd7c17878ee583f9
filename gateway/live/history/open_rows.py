"""Rows that are not compressed yet."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from gateway.core.blocks import SampleBlock, WindowBlock
from gateway.core.tag_move import TagMove
from gateway.core.tags import TagTable
from gateway.live.history.chunks import Series
from gateway.live.history.columns import SAMPLES, HistoryColumns
from gateway.live.history.segments import SeriesName

SEAL_ROWS: Final = 1 << 18
"""Rows that are compressed together."""
MOST_OPEN_ROWS: Final = 1 << 20
"""Rows that may wait to be compressed; where that does not keep up, the oldest are dropped."""
_MOST_BLOCKS: Final = 1024


class SeriesNumbers:
    """Gives each tag that ever was a number that stays, whatever becomes of the table.

    Attributes:
        names: device and tag of each series.
        of_tag: uint32[tags], the series of each tag of the table.
    """

    def __init__(self, table: TagTable) -> None:
        """Begin with the tags of a table."""
        self.names: list[SeriesName] = []
        self._numbers: dict[SeriesName, int] = {}
        self.of_tag: Series = np.zeros(0, np.uint32)
        self.take_table(table)

    def take_table(self, table: TagTable) -> None:
        """Take another table: tags with a known device and name have their series."""
        self.of_tag = np.array([self._number(table, tag) for tag in range(len(table))], np.uint32)

    def follow(self, table: TagTable, move: TagMove) -> None:
        """Take the table that a move leads to; only tags that did not stay are looked for."""
        self.of_tag = move.moved(self.of_tag, 0)
        for start, end in move.blanks:
            self.of_tag[start:end] = [self._number(table, tag) for tag in range(start, end)]

    def _number(self, table: TagTable, tag: int) -> int:
        name = table.devices[table.tags[tag].device], table.tags[tag].name
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self.names)
            self.names.append(name)
        return number


class OpenSamples:
    """Samples in the order in which they came, as blocks and columns.

    Attributes:
        rows: how many wait.
        dropped: how many were dropped, because nobody took them.
    """

    def __init__(self, numbers: SeriesNumbers) -> None:
        """Begin without samples."""
        self._numbers = numbers
        self._blocks: list[SampleBlock] = []
        self._columns: list[HistoryColumns] = []
        self.rows = 0
        self.dropped = 0
        self.dropped_until_ns = 0

    def push(self, block: SampleBlock) -> None:
        """Keep a block."""
        self._blocks.append(block)
        self.rows += len(block)
        if len(self._blocks) >= _MOST_BLOCKS:
            self.gather()
        if self.rows > MOST_OPEN_ROWS:
            self._drop()

    def gather(self) -> None:
        """Make columns of the blocks: many small ones take more memory than their rows, and another table is to come."""
        if self._blocks:
            blocks, self._blocks = self._blocks, []
            self._columns.append(columns_of(blocks, self._numbers.of_tag))

    def _drop(self) -> None:
        self.gather()
        while self.rows > MOST_OPEN_ROWS:
            oldest = self._columns.pop(0)
            self.rows -= len(oldest)
            self.dropped += len(oldest)
            self.dropped_until_ns = max(self.dropped_until_ns, int(oldest.time.max(initial=0)))

    def peek(self) -> list[HistoryColumns]:
        """Return what waits."""
        self.gather()
        return list(self._columns)

    def take(self) -> list[HistoryColumns]:
        """Return what waits, which does no more."""
        columns = self.peek()
        self._columns, self.rows = [], 0
        return columns


def columns_of(blocks: Sequence[SampleBlock], of_tag: Series) -> HistoryColumns:
    """Return the samples of all blocks. of_tag: the series of each tag."""
    return HistoryColumns(
        of_tag[np.concatenate([block.tag for block in blocks])],
        np.concatenate([block.time for block in blocks]),
        np.concatenate([block.quality for block in blocks]),
        {SAMPLES[0]: np.concatenate([block.value for block in blocks])},
    )


def spans_of(block: WindowBlock, of_tag: Series) -> HistoryColumns:
    """Return the rows of a summary in which something was read. of_tag: the series of each tag."""
    rows = np.flatnonzero(block.count)
    values = {
        "min": block.min[rows],
        "max": block.max[rows],
        "mean": block.mean[rows],
        "count": block.used[rows].astype(np.float64),
    }
    time = np.full(rows.size, block.start, np.int64)
    return HistoryColumns(of_tag[block.tag[rows]], time, block.quality[rows], values)
