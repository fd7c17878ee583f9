"""Looking into an outbox from outside, whether its gateway runs or not: read-only, takes no lock, changes nothing."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.core.errors import ConfigError
from gateway.core.messages import Lane, Loss, Message
from gateway.outbox.faults import translated
from gateway.outbox.schema import VERSION, identify
from gateway.outbox.store import checksum

_ROWS: Final = (
    "SELECT m.id, m.lane, m.topic, m.boot, m.seq, m.start_ms, m.end_ms, m.checksum, m.payload, t.name, b.name"
    " FROM message m LEFT JOIN topic t ON t.id = m.topic LEFT JOIN boot b ON b.id = m.boot ORDER BY m.id"
)
_LOSSES: Final = "SELECT topic, boot, first_seq, last_seq, count, start_ms, end_ms, cause, detail FROM loss"


@dataclass(frozen=True, slots=True)
class Found:
    """One row. message: None when its checksum is wrong or it belongs to nothing known."""

    id: int
    message: Message | None


class Look:
    """One consistent view of a database, as of its opening."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def totals(self) -> dict[int, tuple[int, int]]:
        """Messages and payload bytes by lane (-1: loss messages), as the gateway keeps them."""
        return {lane: (count, size) for lane, count, size in self._db.execute("SELECT lane, messages, bytes FROM total")}

    def losses(self) -> list[Loss]:
        """Losses that are not yet announced."""
        return [Loss(*row) for row in self._db.execute(_LOSSES)]

    def rows(self) -> Iterator[Found]:
        """Every row by id, one at a time. Raises DamagedError where the file cannot be read."""
        with translated():
            for *numbers, check, payload, topic, boot in self._db.execute(_ROWS):
                sound = isinstance(payload, bytes) and check == checksum(numbers, payload) and topic and boot
                id, lane, _, _, seq, start_ms, end_ms = numbers
                lane = Lane(max(0, lane)) if sound else Lane.EVENT
                yield Found(id, Message(topic, boot, seq, lane, start_ms, end_ms, payload) if sound else None)


@contextmanager
def looking(path: Path) -> Iterator[Look]:
    """Open a database for reading.

    Raises ConfigError when there is none, it is not ours or of another version; DamagedError when it is broken;
    Retryable when it cannot be read.
    """
    try:
        if not identify(path):
            raise ConfigError(f"{path}: there is no outbox")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    with (
        translated(),
        closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as db,
    ):
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version != VERSION:
            raise ConfigError(
                f"{path}: schema {version}, this gateway reads {VERSION}; start the gateway once to bring it up"
            )
        db.execute("BEGIN")
        yield Look(db)
