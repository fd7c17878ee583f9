"""What becomes of tags and devices when another tag table takes the place of the one that runs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Mask, ObjectBlock, Rows, SampleBlock, TagIds
from gateway.core.tags import TagTable


@dataclass(frozen=True, slots=True, eq=False)
class TagMove:
    """The way from one tag table to the next: which tags stay, where they stand then, and which begin anew.

    Whoever holds columns by tag id gets those of the new table by `moved`.
    """

    size: int
    """Tags of the new table."""
    old: Rows
    """intp[n], ids in the old table of the tags whose device stays as it is, ascending."""
    new: Rows
    """intp[n], their ids in the new table, in the same order."""
    learnt_old: Rows
    """intp[m], ids in the old table of all tags that mean the same, those of devices that were changed too."""
    learnt_new: Rows
    """intp[m], their ids in the new table."""
    gone: TagIds
    """uint32[k], ids in the old table of the tags of devices that were changed or removed, ascending."""
    young: Mask
    """bool[size], tags of devices that were changed: their topics have had messages of the tags before."""
    devices: Mapping[int, int]
    """The row of each device that stays as it is: before and now."""
    place: Rows
    """intp[tags of the old table], the new id of each tag that stays, -1 for the others."""
    runs: tuple[tuple[int, int, int], ...]
    """What `old` and `new` say, in as few pieces as there are: first id before, first id now, how many."""
    blanks: tuple[tuple[int, int], ...]
    """First id, and the one after the last, of rows of the new table that begin anew."""
    is_in_place: bool
    """Tags that stay keep their ids, and there are as many as before."""

    @classmethod
    def between(
        cls, before: TagTable, after: TagTable, same: Collection[str], alike: Sequence[tuple[int, int]] = ()
    ) -> "TagMove":
        """Return the way between two tables.

        same: devices that are in both and stay as they are. alike: old and new id of tags of other devices that mean the
        same.
        """
        rows = {name: row for row, name in enumerate(after.devices)}
        devices = {row: rows[name] for row, name in enumerate(before.devices) if name in same}
        place = np.full(len(before), -1, np.intp)
        for row, now in devices.items():
            (first, end), (begin, _) = before.range_of(row), after.range_of(now)
            place[first:end] = np.arange(begin, begin + end - first)
        old = np.flatnonzero(place >= 0)
        young = np.zeros(len(after), np.bool_)
        for name in (name for name in before.devices if name in rows and name not in same):
            young[slice(*after.range_of(rows[name]))] = True
        pairs = np.array(alike, np.intp).reshape(-1, 2)
        learnt = np.concatenate([old, pairs[:, 0]]), np.concatenate([place[old], pairs[:, 1]])
        gone = np.flatnonzero(place < 0).astype(np.uint32)
        runs = _runs(old, place[old])
        in_place = len(before) == len(after) and all(was == now for was, now, _ in runs)
        taken = np.zeros(len(after), np.bool_)
        taken[place[old]] = True
        free = np.flatnonzero(~taken)
        blanks = [(start, start + count) for start, _, count in _runs(free, free)]
        return cls(
            len(after), old, place[old], *learnt, gone, young, devices, place, runs, tuple(blanks), is_in_place=in_place
        )

    def moved(self, column: NDArray[Any], blank: Any) -> NDArray[Any]:
        """Return a column with a row for each tag of the new table; `blank` for those that begin anew.

        `column` is used up: where no tag changes its place, it is the one that is returned, as to copy all columns of
        100,000 tags takes longer than the loop may be held.
        """
        if self.is_in_place:
            made = column if column.flags.writeable else column.copy()  # a block that was handed on has it, too
        else:
            made = np.empty(self.size, column.dtype)
            for was, now, count in self.runs:
                made[now : now + count] = column[was : was + count]
        for start, end in self.blanks:
            made[start:end] = blank
        return made

    def samples(self, block: SampleBlock) -> SampleBlock:
        """Return the samples of tags that stay, with their new ids."""
        place = self.place[block.tag]
        stay = place >= 0
        return replace(
            block,
            tag=place[stay].astype(np.uint32),
            time=block.time[stay],
            value=block.value[stay],
            quality=block.quality[stay],
        )

    def objects(self, block: ObjectBlock) -> ObjectBlock:
        """Return the values of tags that stay, with their new ids."""
        kept = block.take(np.flatnonzero(self.place[block.tag] >= 0).tolist())
        return replace(kept, tag=self.place[kept.tag].astype(np.uint32))


def _runs(old: Rows, new: Rows) -> tuple[tuple[int, int, int], ...]:
    """Return the pieces in which both go up by one."""
    if not old.size:
        return ()
    starts = np.flatnonzero((np.diff(old, prepend=old[0] - 2) != 1) | (np.diff(new, prepend=new[0] - 2) != 1))
    counts = np.diff(starts, append=old.size)
    return tuple(zip(old[starts].tolist(), new[starts].tolist(), counts.tolist(), strict=True))
