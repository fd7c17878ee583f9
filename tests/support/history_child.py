"""`python -m tests.support.history_child FOLDER [COUNT]`: appends chunks, and prints each number once it is on disk.

For ever; or so many, with a mark in the log of the disk under test after each, and new files after every ten.
"""

import sys
from itertools import count
from pathlib import Path

import numpy as np

from gateway.live.history.chunks import seal
from gateway.live.history.columns import HistoryColumns
from gateway.live.history.config import HistoryFilesConfig
from gateway.live.history.files import HistoryFiles
from tests.support.disk import Switches

PER_CHUNK = 50


def columns_of(number: int) -> HistoryColumns:
    """The samples of one chunk: series 0 counts on, series 1 is twice as much."""
    value = np.arange(number * PER_CHUNK, (number + 1) * PER_CHUNK, dtype=np.float64)
    return HistoryColumns(
        np.repeat(np.array([0, 1], np.uint32), PER_CHUNK),
        np.tile(value.astype(np.int64) * 10**9, 2),
        np.full(2 * PER_CHUNK, 192, np.uint8),
        {"value": np.concatenate([value, 2 * value])},
    )


def main(folder: Path, most: int = 0) -> None:
    """Write until killed, or so many."""
    config = HistoryFilesConfig(enabled=True, path=folder, keep_free="0B", max_age="36500d")  # type: ignore[arg-type]
    files = HistoryFiles(folder)
    files.open()
    for number in range(most) if most else count():
        if most and number % 10 == 9:
            files.close()
            files = HistoryFiles(folder)
            files.open()
        files.add("samples", seal(columns_of(number)), [("d", "a"), ("d", "b")], config, 0)
        print(number, flush=True)
        if most:
            Switches().mark(number)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
