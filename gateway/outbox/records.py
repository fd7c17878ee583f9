"""Records that pass between memory, commit loop and store."""

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
    """A message that memory knows.

    It is held, waiting, in flight or done, and beside that unwritten, being written or stored.
    """

    lane: int
    """As filed: a `Lane`, or `LOSS_LANE` for loss messages."""
    put_at: float
    """Monotonic seconds."""
    held: bool = False
    """A loss message before its first commit."""
    in_flight: bool = False
    done: bool = False
    writing: bool = False
    stored: bool = False
    kept: int = 0
    """Bytes of the payload as the store keeps it, once it does."""
    windows: int = 1
    """As in `Row`."""
    first_seq: int = 0
    """As in `Row`."""

    @property
    def cost(self) -> int:
        """Return the memory that it takes, bytes."""
        return len(self.message.payload) + OVERHEAD_BYTES

    @property
    def row(self) -> "Row":
        """Return what the database has of it, or would have."""
        m = self.message
        numbers = m.seq, m.start_ms, m.end_ms, self.kept, self.windows, self.first_seq
        return Row(self.id, self.lane, m.topic, m.boot, *numbers)


class Row(NamedTuple):
    """A message in the database without its payload."""

    id: int
    lane: int
    topic: str
    boot: str
    seq: int
    start_ms: int
    end_ms: int
    size: int
    """Bytes of the payload as it is kept."""
    windows: int = 1
    """How many messages it stands for; more than one when they were merged."""
    first_seq: int = 0
    """The first number of these, where they were merged."""


LossKey = tuple[str, str, str]
"""Boot, topic, cause."""


@dataclass(frozen=True, slots=True)
class Change:
    """One transaction. Deletions come first, so that an insert may take the place of what is deleted."""

    inserts: Sequence[Entry] = ()
    deletes: Sequence[Row] = ()
    losses: Sequence[Loss] = ()
    superseded: Sequence[LossKey] = ()
    """Keys of losses to forget, before `losses` are written over what is there."""
    watermarks: Mapping[str, StoredWatermark] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.inserts or self.deletes or self.losses or self.superseded or self.watermarks)


class LoadRequest(NamedTuple):
    """Backlog to load: events and loss messages or all others, with ids above `after`, or below it when newest_first."""

    events: bool
    newest_first: bool
    after: int


class Broken(NamedTuple):
    """A row that cannot be used."""

    row: Row
    reason: str
    kept: bytes
    """What is kept of its payload, empty where that is too large to be looked at."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A batch of backlog in the order of leaving."""

    found: Sequence[Entry]
    broken: Sequence[Broken]
    """Rows that cannot be used; they are to be deleted."""
    up_to: int
    """All rows up to this id are in here."""
    complete: bool
    """And there are none after it."""


@dataclass(slots=True)
class Totals:
    """Messages and bytes of their payloads, as kept, in the database, by filed lane."""

    messages: dict[int, int] = field(default_factory=lambda: dict.fromkeys(LANES_BY_WORTH, 0))
    size: dict[int, int] = field(default_factory=lambda: dict.fromkeys(LANES_BY_WORTH, 0))

    def after(self, inserts: Iterable[Entry], deletes: Iterable[Row]) -> "Totals":
        """Return these totals as they are after a transaction."""
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
    """A boot that ended without a clean stop."""

    boot: str
    started_ms: int
    """UTC."""
    memory_ms: int | None = 0
    """How long before its end messages were in memory only, beyond the commit interval; None: not known."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes on disk."""

    used: int
    """Pages in use."""
    file: int
    """The database file."""
    wal: int
    """Its write-ahead log."""
    free: int
    """What the file system has left for this user."""
    disk: int = 0
    """The whole file system, 0 where that is not known."""


@dataclass(frozen=True, slots=True)
class Stats:
    """The outbox in numbers."""

    messages: int
    """Not yet delivered, memory and disk together."""
    memory_bytes: int
    """What waits in memory."""
    disk_bytes: int
    """The database file."""
    lost: int
    """Messages given up since the start."""
    thinned: int
    """Messages merged into others since the start."""
    refused: str
    """Why the disk takes nothing at present, empty when it does."""
    memory_since_ms: int = 0
    """Since when messages are in memory only, ms UTC, while the disk takes nothing."""
    stored: Mapping[int, int] = field(default_factory=dict)
    """Messages in the database, by lane."""
