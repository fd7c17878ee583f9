"""Inspection of an outbox from outside, whether its gateway runs or not: read-only, takes no lock, changes nothing."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.core.errors import ConfigError
from gateway.core.messages import Lane, Loss, Message
from gateway.outbox.database.compression import Compression, is_sound
from gateway.outbox.database.encryption import encryption_of
from gateway.outbox.database.schema import LOSSES, READABLE, VERSION, identify
from gateway.outbox.database.sqlite_errors import translated
from gateway.outbox.records import LANES_BY_WORTH

_ROWS: Final = (
    "SELECT m.id, m.lane, m.topic, m.boot, m.seq, m.start_ms, m.end_ms, m.checksum, m.payload, m.coded, m.windows,"
    " m.first_seq, t.name, b.name"
    " FROM message m LEFT JOIN topic t ON t.id = m.topic LEFT JOIN boot b ON b.id = m.boot ORDER BY m.id"
)
_ROW: Final = _ROWS.replace("ORDER BY m.id", "WHERE m.id = ?")


@dataclass(frozen=True, slots=True)
class StoredRow:
    """One row. message: None when its checksum is wrong, it belongs to nothing known or its payload cannot be read."""

    id: int
    lane: int
    message: Message | None


class Inspection:
    """One consistent view of a database, as of its opening."""

    def __init__(self, path: Path, db: sqlite3.Connection, compression: Compression) -> None:
        self._path, self._db, self._compression = path, db, compression
        self.encrypted = db.execute("SELECT count(*) FROM seal").fetchone()[0] > 0

    @property
    def locked(self) -> bool:
        """Return whether payloads are encrypted and no key was given."""
        return self.encrypted and self._compression.encryption is None

    def file_bytes(self) -> int:
        """Return the size of the database and its write-ahead log, bytes."""
        parts = (self._path.with_name(self._path.name + part) for part in ("", "-wal"))
        return sum(part.stat().st_size for part in parts if part.exists())

    def oldest_ms(self) -> dict[int, int | None]:
        """Return for each lane (-1: loss messages) when what came first starts, ms UTC; None where nothing waits."""
        query = "SELECT start_ms FROM message WHERE lane = ? ORDER BY id LIMIT 1"
        found = ((lane, self._db.execute(query, (int(lane),)).fetchone()) for lane in LANES_BY_WORTH)
        return {int(lane): row[0] if row else None for lane, row in found}

    def totals(self) -> dict[int, tuple[int, int]]:
        """Return messages and payload bytes by lane (-1: loss messages), as the gateway counts them."""
        return {lane: (count, size) for lane, count, size in self._db.execute("SELECT lane, messages, bytes FROM total")}

    def losses(self) -> list[Loss]:
        """Return the losses that are not yet announced."""
        return [Loss(*row) for row in self._db.execute(LOSSES)]

    def counts(self) -> tuple[int, dict[tuple[str, str], int]]:
        """Return the id up to which messages are not counted, and how many later ones each (boot, topic) should have."""
        query = "SELECT b.name, t.name, e.messages FROM extent e JOIN topic t ON t.id = e.topic JOIN boot b ON b.id = e.boot"
        counts = {(boot, topic): count for boot, topic, count in self._db.execute(query)}
        return self._db.execute("SELECT up_to FROM uncounted").fetchone()[0], counts

    def flaw(self) -> str:
        """Return what SQLite itself finds wrong with the file, indexes included, or an empty text. Reads all of it."""
        with translated():
            found = str(self._db.execute("PRAGMA integrity_check(1)").fetchone()[0])
        return "" if found == "ok" else found

    def rows(self) -> Iterator[StoredRow]:
        """Yield every row by id; payloads are empty when `locked`. Raises DamagedError where it cannot be read."""
        locked = self.locked
        with translated():
            for row in self._db.execute(_ROWS):
                yield self._row(row, locked)

    def newest(self, count: int) -> list[StoredRow]:
        """Return the newest `count` rows of each topic, by topic and id. Reads few of the payloads."""
        ids: dict[int, list[int]] = {}
        with translated():
            for id, topic in self._db.execute("SELECT id, topic FROM message ORDER BY id DESC"):
                some = ids.setdefault(topic, [])
                if len(some) < count:
                    some.append(id)
            rows = [self._db.execute(_ROW, (id,)).fetchone() for some in ids.values() for id in reversed(some)]
        found = [self._row(row, self.locked) for row in rows]
        return sorted(found, key=lambda f: f.message.topic if f.message else "")

    def _row(self, columns: Sequence[Any], locked: bool) -> StoredRow:
        *row, topic, boot = columns
        return StoredRow(row[0], row[1], self._message(row, topic, boot, locked) if topic and boot else None)

    def _message(self, row: list[Any], topic: str, boot: str, locked: bool) -> Message | None:
        _, lane, _, _, seq, start_ms, end_ms, _, kept, coded, *_ = row
        if not is_sound(row):
            return None
        try:
            payload = b"" if locked else self._compression.decode(topic, boot, seq, kept, coded)
        except ValueError:
            return None
        return Message(topic, boot, seq, Lane(max(0, lane)), start_ms, end_ms, payload)


@contextmanager
def inspection(path: Path, key_file: str = "") -> Iterator[Inspection]:
    """Open a database for reading. key_file: as `outbox.key_file`.

    Raises ConfigError when there is none, it is not ours or of another version, or the key is not its; DamagedError when it
    is broken; Retryable when it cannot be read.
    """
    compression = Compression(encryption=encryption_of(key_file))
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
        if not READABLE <= version <= VERSION:
            raise ConfigError(
                f"{path}: schema {version}, this gateway reads {VERSION}; start the gateway once to bring it up"
            )
        db.execute("BEGIN")
        proofs = db.execute("SELECT proof FROM seal").fetchall()
        if compression.encryption is not None and not all(compression.encryption.matches(proof) for (proof,) in proofs):
            raise ConfigError(f"outbox.key_file: {key_file} is not the key of {path}")
        yield Inspection(path, db, compression)
