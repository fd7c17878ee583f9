"""Whether a server's queues hold what comes between two publications. A server says when they overflow (Part 4, 7.22.1), but
not every one does, and none does for a queue of one: so what it grants is looked at, and queues that come full. Pure."""

from collections import defaultdict
from typing import Final

import numpy as np

from gateway.sources.opcua.codec.columns import ValueColumns
from gateway.sources.opcua.port.session import QueueReport, ShortQueue
from gateway.sources.opcua.port.values import Item
from gateway.sources.opcua.status.codes import overflown

_FEW: Final = 2
"""A queue of so few is full whenever something changes: of these only what was granted says something."""


def needed(publishing_ns: int, sampling_ns: int) -> int:
    """Samples that come between two publications; 1 where the server samples on change, and nobody can know."""
    return -(-publishing_ns // sampling_ns) if sampling_ns > 0 else 1


class Queues:
    """Of one session. granted, sampling_ns: per row, 0 for rows that are not watched."""

    def __init__(self, report: QueueReport) -> None:
        self._report = report
        self._granted = np.zeros(0, np.int64)
        self._sampling_ns = np.zeros(0, np.int64)
        self._published_ns: dict[int, int] = defaultdict(int)

    def grant(self, item: Item, publishing_ns: int, sampling_ms: float, queue_size: int) -> None:
        """A server's answer to a request to watch an item. publishing_ns: as revised for its subscription. A queue that was
        wanted longer is also short when there is no room for a single sample more, of a publication that is late."""
        granted = max(1, queue_size)
        sampling_ns = round(max(0.0, sampling_ms) * 1e6) if np.isfinite(sampling_ms) else 0
        if item.row >= self._granted.size:
            more = max(item.row + 1, 2 * self._granted.size) - self._granted.size
            self._granted, self._sampling_ns = (np.pad(one, (0, more)) for one in (self._granted, self._sampling_ns))
        self._granted[item.row], self._sampling_ns[item.row] = granted, sampling_ns
        least = needed(publishing_ns, sampling_ns)
        wanted = least + (granted < item.queue_size)
        if granted < wanted:
            self._report.short[item.row] = ShortQueue(granted, wanted)
        else:
            self._report.short.pop(item.row, None)

    def look(self, subscription: int, published_ns: int, columns: ValueColumns) -> None:
        """A notification. An item that brings as many values as its queue holds, where the time since the last publication
        allowed more, and that does not say that it lost some, may have lost some: it is counted."""
        before_ns, self._published_ns[subscription] = self._published_ns[subscription], published_ns
        if not len(columns) or not before_ns or published_ns <= before_ns:
            return
        counts = np.bincount(columns.row)
        rows = np.flatnonzero(counts > _FEW)
        rows = rows[rows < self._granted.size]
        rows = rows[counts[rows] >= self._granted[rows]]
        rows = rows[self._granted[rows] > _FEW]
        if not rows.size:
            return
        sampling_ns = self._sampling_ns[rows]
        may_be_more = (sampling_ns == 0) | ((published_ns - before_ns) // np.maximum(sampling_ns, 1) > self._granted[rows])
        rows = rows[may_be_more]
        told = columns.row[overflown(columns.status)]
        self._report.full += int(np.count_nonzero(~np.isin(rows, told)))
