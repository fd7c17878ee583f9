"""A consumer of `window.late: replace` that overwrites, and what it must have at the end: sample by sample."""

from collections.abc import Iterable, Sequence

from gateway.core.blocks import WindowBlock
from tests.support.oracle import Row, Sample, merged, rows_of, statistics_of


class OverwritingConsumer:
    """Keeps rows by (start, tag): what replaces is put in the place of the old, a supplement is merged with it."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, int], list[Row]] = {}
        self.messages: dict[tuple[int, int], dict[int, Row]] = {}
        """By (start, device) the rows of the newest message that is no supplement: a consumer that knows no tags."""
        self.supplemented: set[tuple[int, int]] = set()

    def take(self, block: WindowBlock, devices: Sequence[int]) -> None:
        """Take a block. devices: the device of each tag."""
        for device in sorted({devices[tag] for tag in block.tag.tolist()}):
            rows = {tag: row for tag, row in rows_of(block).items() if devices[tag] == device}
            if block.late and not block.replaces:
                self.supplemented.add((block.start, device))
            else:
                self.messages[block.start, device] = rows
            for tag, row in rows.items():
                before = self.rows.get((block.start, tag), []) if block.late and not block.replaces else []
                self.rows[block.start, tag] = [*before, row]

    def total(self, start: int, tag: int) -> Row:
        """Statistics of all samples of a window, as this consumer knows them."""
        rows = self.rows[start, tag]
        return rows[0] if len(rows) == 1 else merged(rows)


def whole_windows(samples: Iterable[Sample], length: int) -> dict[tuple[int, int], Row]:
    """Return what windows are over all their samples, by (start, tag)."""
    by_window: dict[tuple[int, int], list[Sample]] = {}
    for sample in samples:
        by_window.setdefault((sample.time // length * length, sample.tag), []).append(sample)
    return {key: statistics_of(some) for key, some in by_window.items()}
