"""The past of a tag as charts want it, from the historian."""

from typing import Final

import numpy as np

from gateway.core.tags import TagTable
from gateway.live.history.files import Kind
from gateway.live.history.historian import Historian
from gateway.live.model import LiveModel
from gateway.web.reduce import reduced
from gateway.web.view import History, HistoryView

_HOUR_NS: Final = 3_600_000_000_000
_SAMPLES_NS: Final = 2 * _HOUR_NS
_MINUTES_NS: Final = 48 * _HOUR_NS
_LEAST_GAP_NS: Final = 5_000_000_000
_SPAN_NS: Final = {"minutes": 60_000_000_000, "ten_minutes": 600_000_000_000}


def history_of(live: LiveModel, historian: Historian | None) -> History | None:
    """Return how the past of a tag is read, None where none is kept."""
    if historian is None:
        return None

    async def read(tag: int, from_ns: int, to_ns: int, points: int) -> HistoryView:
        length = to_ns - from_ns
        kind: Kind = "samples" if length <= _SAMPLES_NS else "minutes" if length <= _MINUTES_NS else "ten_minutes"
        table = live.table
        found = await historian.query(np.array([tag], np.uint32), from_ns, to_ns, kind)
        names = ("value",) * 3 if kind == "samples" else ("min", "mean", "max")
        low, mean, high = (found.values[name] for name in names)
        complete = not found.missing and not found.is_cut
        gap_ns = _gap_ns(table, tag) if kind == "samples" else _SPAN_NS[kind] * 3 // 2
        return reduced(found.time, low, mean, high, points, gap_ns=gap_ns, complete=complete)

    return read


def _gap_ns(table: TagTable, tag: int) -> int:
    """Return how far two samples of a tag may be apart: three intervals, or any time where the device decides."""
    interval_ns = table.tags[tag].interval_ns if tag < len(table) else 0
    return max(_LEAST_GAP_NS, 3 * interval_ns) if interval_ns else 0
