"""What a run notes beside the database, which takes nothing at that moment, for the next one. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, field, replace
from typing import Any, Final

import orjson

from gateway.core.messages import Loss

MOST_BYTES: Final = 3_900
"""Together with what else the lock's file holds one block, which can be written on a full disk as well."""

_MOST_RUNS: Final = 8
_MOST_LOSSES: Final = MOST_BYTES // len('["","",0,0,0,0,0,"","",0,0]')
"""No more find a place, however short they are."""
_LOSS_TYPES: Final = [str, str, int, int, int, int, int, str, str, int, int]


@dataclass(frozen=True, slots=True)
class NotedRun:
    """A run whose messages were in memory only. Its end, or that of this state, takes the note away."""

    boot: str
    """Its name."""
    started_ms: int
    """UTC."""
    since_ms: int
    """From when on messages were in memory only, UTC."""
    last_ms: int
    """When that was noted last, UTC."""


@dataclass(frozen=True, slots=True)
class RunNotes:
    """Runs that may have lost messages, and losses that a stop has caused."""

    runs: Sequence[NotedRun] = ()
    losses: Sequence[Loss] = ()
    is_cut: bool = False
    """There were more losses than there is room for."""
    key: str = field(default="", compare=False)
    """Names the note: what was taken over once is not taken over again."""

    def __bool__(self) -> bool:
        return bool(self.runs or self.losses)

    def with_run(self, run: NotedRun) -> "RunNotes":
        """Return the notes with this run as it is now."""
        others = [one for one in self.runs if one.boot != run.boot]
        return replace(self, runs=[*others, run][-_MOST_RUNS:])

    def without(self, boots: Iterable[str]) -> "RunNotes":
        """Return the notes without some runs."""
        gone = set(boots)
        return replace(self, runs=[one for one in self.runs if one.boot not in gone])

    def written(self) -> bytes:
        """Return the notes as text of at most `MOST_BYTES`; losses that find no place are left out, the smallest first."""
        largest = sorted(self.losses, key=lambda loss: -loss.count)[:_MOST_LOSSES]
        counts = range(len(largest) + 1)
        # halved, and not one loss less at a time: with many losses that took seconds
        fitting = bisect_right(counts, MOST_BYTES, key=lambda count: len(self._text(largest[:count])))
        return self._text(largest[: fitting - 1]) if fitting else b""

    def _text(self, losses: Sequence[Loss]) -> bytes:
        if not self:
            return b""
        fields = {"runs": [astuple(run) for run in self.runs], "losses": [astuple(loss) for loss in losses]}
        return orjson.dumps(fields | {"is_cut": self.is_cut or len(losses) < len(self.losses), "key": self.key})


def read(text: bytes) -> RunNotes | None:
    """Return notes from their text, empty ones without any; None where something else stands there."""
    if not text.strip(b" \n\0"):
        return RunNotes()
    try:
        fields: dict[str, Any] = orjson.loads(text.strip(b" \n\0"))
        runs = [NotedRun(str(run[0]), *map(int, run[1:4])) for run in fields["runs"]]
        losses = [Loss(*loss) for loss in fields["losses"] if list(map(type, loss)) == _LOSS_TYPES]
        return RunNotes(runs, losses, bool(fields["is_cut"]), str(fields["key"]))
    except (ValueError, KeyError, TypeError, IndexError):
        return None
