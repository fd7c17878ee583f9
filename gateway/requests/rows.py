"""Rows of the past in pieces of a bounded size, whatever is asked for."""

from collections.abc import AsyncIterator, Iterator
from typing import Final, Protocol

import numpy as np

from gateway.core.blocks import TagIds
from gateway.core.tags import TagTable
from gateway.live.history.answers import SPAN_NS, HistoryAnswer
from gateway.live.history.files import Kind

ROWS_AT_ONCE: Final = 2_000
_MOST_TAGS: Final = 50
_MOST_SPANS: Final = 10_000
_SECOND_NS: Final = 1_000_000_000


class History(Protocol):
    """What is needed of the historian."""

    async def query(self, tags: TagIds, begin_ns: int, end_ns: int, kind: Kind, most: int) -> HistoryAnswer:
        """Return at most so many rows of these tags."""
        ...


async def pieces(
    history: History, table: TagTable, tags: TagIds, begin_ns: int, end_ns: int, kind: Kind
) -> AsyncIterator[HistoryAnswer]:
    """Yield what is known of the tags, about 2,000 rows at a time: some tags after the other, each in the order of time."""
    for some, begin, end in _spans(table, tags, begin_ns, end_ns, kind):
        waiting = [(some, begin, end)]
        while waiting:
            group, first, last = waiting.pop()
            found = await history.query(group, first, last, kind, 2 * ROWS_AT_ONCE)
            if found.is_cut and group.size > 1:
                waiting += [(group[group.size // 2 :], first, last), (group[: group.size // 2], first, last)]
            elif found.is_cut and last - first > 1:
                middle = (first + last) // 2
                waiting += [(group, middle, last), (group, first, middle)]
            elif len(found):
                yield found


def _spans(table: TagTable, tags: TagIds, begin: int, end: int, kind: Kind) -> Iterator[tuple[TagIds, int, int]]:
    """Yield groups of tags and spans that have about `ROWS_AT_ONCE` rows, as far as intervals tell."""
    at = 0
    while at < tags.size:
        step = SPAN_NS[kind] if kind != "samples" else table.tags[int(tags[at])].interval_ns or _SECOND_NS
        rows = max(1, (end - begin) // step)
        size = int(min(_MOST_TAGS, max(1, ROWS_AT_ONCE // rows)))
        length = max((end - begin) // _MOST_SPANS, step * ROWS_AT_ONCE) if rows > ROWS_AT_ONCE else end - begin
        for first in range(begin, end, max(1, length)):
            yield tags[at : at + size], first, min(end, first + length)
        at += size


def no_tags() -> TagIds:
    """Return the ids of no tag: what is missing of a span is known without any."""
    return np.array([], np.uint32)
