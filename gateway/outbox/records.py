"""What passes between memory, loop and store."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from gateway.core.messages import Lane, Loss
from gateway.core.ports.outbox import Delivery
from gateway.core.ports.watermarks import StoredWatermark

LOSS_LANE: Final = -1
"""Where loss messages are filed: they travel with the events and are dropped after everything else."""

LANES_BY_WORTH: Final = (Lane.WINDOW, Lane.SUMMARY, Lane.EVENT, LOSS_LANE)
"""The order of dropping."""

OVERHEAD_BYTES: Final = 512
"""Memory of a message beside its payload: four small objects and their places in tables (measured, rounded up)."""


@dataclass(slots=True, eq=False)
class Entry(Delivery):
    """A message that memory knows. lane: as filed, `LOSS_LANE` for loss messages. put_at: monotonic seconds.
    kept: bytes of the payload as the store keeps it, once it does. windows, first_seq: as in `Row`.

    It is held (a loss message before its first commit), waiting, in flight or done, and beside that
    unwritten, being written or stored.
    """

    lane: int
    put_at: float
    held: bool = False
    in_flight: bool = False
    done: bool = False
    writing: bool = False
    stored: bool = False
    kept: int = 0
    windows: int = 1
    first_seq: int = 0

    @property
    def cost(self) -> int:
        """Bytes of memory."""
        return len(self.message.payload) + OVERHEAD_BYTES

    @property
    def row(self) -> "Row":
        """What the database has of it, or would have."""
        m = self.message
        numbers = m.seq, m.start_ms, m.end_ms, self.kept, self.windows, self.first_seq
        return Row(self.id, self.lane, m.topic, m.boot, *numbers)


class Row(NamedTuple):
    """A message in the database without its payload; size: bytes of the payload as it is kept. windows: how many messages
    it stands for, more than one when they were merged, and then first_seq: the first number of these."""

    id: int
    lane: int
    topic: str
    boot: str
    seq: int
    start_ms: int
    end_ms: int
    size: int
    windows: int = 1
    first_seq: int = 0


LossKey = tuple[str, str, str]
"""Boot, topic, cause."""


@dataclass(frozen=True, slots=True)
class Change:
    """One transaction: deletions first, so that an insert may take the place of what is deleted. settled: keys of losses to
    forget, before `losses` are written over what is there."""

    inserts: Sequence[Entry] = ()
    deletes: Sequence[Row] = ()
    losses: Sequence[Loss] = ()
    settled: Sequence[LossKey] = ()
    watermarks: Mapping[str, StoredWatermark] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.inserts or self.deletes or self.losses or self.settled or self.watermarks)


class Wanted(NamedTuple):
    """Backlog to load: events and loss messages or all others, with ids above `after`, or below it when newest_first."""

    events: bool
    newest_first: bool
    after: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """A batch of backlog in the order of leaving. broken: rows whose checksum is wrong. up_to: rows to this id are all in
    here; complete: and there are none after."""

    found: Sequence[Entry]
    broken: Sequence[Row]
    up_to: int
    complete: bool


@dataclass(slots=True)
class Totals:
    """Messages and bytes of their payloads, as kept, in the database, by filed lane."""

    messages: dict[int, int] = field(default_factory=lambda: dict.fromkeys(LANES_BY_WORTH, 0))
    size: dict[int, int] = field(default_factory=lambda: dict.fromkeys(LANES_BY_WORTH, 0))

    def after(self, inserts: Iterable[Entry], deletes: Iterable[Row]) -> "Totals":
        """These totals once a transaction is through."""
        new = Totals(dict(self.messages), dict(self.size))
        for entry in inserts:
            new.messages[entry.lane] += 1
            new.size[entry.lane] += entry.kept
        for gone in deletes:
            new.messages[gone.lane] -= 1
            new.size[gone.lane] -= gone.size
        return new


@dataclass(frozen=True, slots=True)
class PreviousBoot:
    """A boot that ended without a clean stop. started_ms: UTC."""

    boot: str
    started_ms: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes on disk. used: pages in use; file: the database file; wal: its write-ahead log; free: left to this user."""

    used: int
    file: int
    wal: int
    free: int


@dataclass(frozen=True, slots=True)
class Stats:
    """The outbox in numbers. messages: not yet delivered, memory and disk together.

    memory_bytes: what waits in memory. disk_bytes: the files. lost: messages given up since the start; thinned: merged into
    others. refused: why the disk takes nothing at present, empty when it does.
    """

    messages: int
    memory_bytes: int
    disk_bytes: int
    lost: int
    thinned: int
    refused: str
