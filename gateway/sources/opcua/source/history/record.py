"""Record of a device's history as JSON, and what it means to the next run. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from gateway.core.blocks import Times
from gateway.sources.opcua.source.history.gap import Gap
from gateway.sources.opcua.source.history.gaps import Gaps

BEFORE_LIMITS_NS: Final = 60_000_000_000
"""Files of before there were limits: nothing later than this after `newest` was handed on."""
MOST_ROWS: Final = 200_000
"""Rows of gaps that are kept; of older gaps beyond only from when to when they go."""
_LATEST: Final = 2**62

Read = Mapping[int, tuple[int, int]]
"""By number of a gap: from when to when its samples may have been handed on. All before were, none after."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit of a device, and what has changed since the state of this `number`. Source times in ns."""

    number: int
    newest: int
    """The newest of the samples that were handed on and cannot be lost with the process."""
    until: int
    """Nothing later was handed on; 0 where nothing was handed on since."""
    read: Read = field(default_factory=dict)

    def as_json(self, urls: Sequence[str]) -> dict[str, Any]:
        """Return it as JSON for `restored`."""
        read = {str(number): list(span) for number, span in self.read.items()}
        return {"number": self.number, "urls": urls, "newest": self.newest, "limit": self.until, "read": read}


@dataclass(slots=True, eq=False)
class Restored:
    """What the run before has left."""

    number: int
    after: Times
    """Per row, up to when everything was handed on, or may have been."""
    skipped: tuple[int, int]
    """From when on, and for how long, it may have been or not."""
    gaps: list[Gap]
    read: Read = field(default_factory=dict)
    """The progress of these gaps that only the limit names."""


def state_of(limit: Limit, urls: Sequence[str], keys: Sequence[str], gaps: Gaps) -> dict[str, Any]:
    """Return the state. With a limit the times of the nodes say nothing, and are left out."""
    state = limit.as_json(urls) | {"exact": not limit.until, "skipped": list(gaps.skipped)}
    if not limit.until:
        state["nodes"] = {key: time for key, time in zip(keys, gaps.handed_on.tolist(), strict=True) if time}
    room, kept = MOST_ROWS, []
    for gap in reversed(gaps.unfinished()):
        one = _gap(gap, keys, room)
        room -= len(one["nodes"])
        kept.append(one)
    return state | {"gaps": kept[::-1]}


def _gap(gap: Gap, keys: Sequence[str], room: int) -> dict[str, Any]:
    rows = gap.unread(_LATEST)
    skipped = [gap.skipped_from_ns, gap.skipped_ns]
    if len(rows) > room:
        lost = Gap(gap.after, gap.before, gap.counts, gap.skipped_from_ns, gap.skipped_ns)
        lost.skip_span(int(gap.after[rows].min()), int(gap.before[rows].max()))
        skipped, rows = [lost.skipped_from_ns, lost.skipped_ns], []
    columns = (gap.after[rows].tolist(), gap.before[rows].tolist(), gap.counts[rows].tolist())
    nodes = {keys[row]: list(three) for row, three in zip(rows, zip(*columns, strict=True), strict=True)}
    return {
        "number": gap.number,
        "skipped": skipped,
        "nodes": nodes,
        "aside": [keys[row] for row in rows if row in gap.aside],
    }


def restored(state: Any, limits: Any, urls: Sequence[str], keys: Sequence[str]) -> Restored | None:
    """Return what state and limit say together, None where there is neither.

    Raises ValueError, TypeError, KeyError and AttributeError for what makes no sense.
    """
    for one in (state, limits):
        if one is not None and not set(one["urls"]) & set(urls):
            raise ValueError("it is of another server")
    rows = len(keys)
    limit = _limit_of(limits) if limits is not None else None
    if state is None or (limit is not None and limit.number > state.get("number", 0)):
        if limit is None:
            return None
        return Restored(limit.number, np.full(rows, limit.until, np.int64), (limit.newest, limit.until - limit.newest), [])
    own = _limit_in(state)
    if limit is not None and limit.number == own.number:
        own = Limit(own.number, max(own.newest, limit.newest), max(own.until, limit.until), {**own.read, **limit.read})
    gaps = [_restored_gap(one, own.read, keys) for one in state.get("gaps", ())]
    skipped_from, skipped = (_time(one) for one in state.get("skipped", (0, 0)))
    if own.until:
        begin = min(skipped_from or own.newest, own.newest)
        return Restored(own.number, np.full(rows, own.until, np.int64), (begin, own.until - begin), gaps, own.read)
    nodes = state["nodes"]
    after = np.array([_time(nodes.get(key, 0)) for key in keys], np.int64)
    return Restored(own.number, after, (skipped_from, skipped), gaps, own.read)


def _limit_of(content: Any) -> Limit:
    read = {int(number): (_time(begin), _time(end)) for number, (begin, end) in content["read"].items()}
    return Limit(_time(content["number"]), _time(content["newest"]), _time(content["limit"]), read)


def _limit_in(content: Any) -> Limit:
    if "limit" in content:
        return _limit_of(content)
    if content["exact"]:
        return Limit(0, 0, 0)
    newest = _time(content["newest"])
    return Limit(0, newest, newest + BEFORE_LIMITS_NS)


def _restored_gap(content: Any, read: Read, keys: Sequence[str]) -> Gap:
    """Return a gap with its progress: what may have been handed on before a crash is skipped. Refused nodes had none."""
    columns = [[_time(one) for one in content["nodes"].get(key, (0, 0, 0))] for key in keys]
    after, before, counts = (np.array(column, np.int64) for column in zip(*columns, strict=True))
    skipped_from, skipped = (_time(one) for one in content["skipped"])
    number = _time(content["number"])
    gap = Gap(after, before, counts, skipped_from, skipped, number, is_resumed=True)
    if number in read:
        begin, end = read[number]
        aside = set(content["aside"])
        gap.advance([row for row, key in enumerate(keys) if key not in aside], end)
        gap.skip_span(begin, end)
    return gap


def _time(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < _LATEST:
        raise ValueError(f"{value!r} is no time")
    return value


def uncertain(left: Restored, newest_ns: int) -> Restored:
    """Return what is left to a run when anything may have been handed on after `left` was written: nothing is read back.

    newest_ns: no sample of the run before was later. All in between is reported as skipped, that of open gaps as well.
    """
    begin_ns = left.skipped[0] if left.skipped[1] else int(left.after.max(initial=0)) or newest_ns
    end_ns = max(newest_ns, begin_ns)
    for gap in left.gaps:
        if rows := gap.unread(_LATEST):
            gap.skip_span(int(gap.after[rows].min()), int(gap.before[rows].max()))
            gap.skip(rows)
    after = np.full(left.after.size, end_ns, np.int64)
    return Restored(left.number, after, (begin_ns, end_ns - begin_ns), left.gaps, left.read)


def lost(rows: int, newest_ns: int, most_ns: int) -> Restored:
    """Return the same when nothing is known of the run before: all that would have been read back is skipped."""
    return Restored(0, np.full(rows, newest_ns, np.int64), (newest_ns - most_ns, most_ns), [])
