"""Inspection of an outbox from outside, whether its gateway runs or not: read-only, takes no lock, changes nothing."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.core.errors import ConfigError
from gateway.core.messages import Loss, Message
from gateway.outbox.database.compression import Compression
from gateway.outbox.database.encryption import encryption_of
from gateway.outbox.database.message_rows import MOST_KEPT_BYTES, message_of, select
from gateway.outbox.database.schema import LOSSES, READABLE, SEALED, VERSION, identify
from gateway.outbox.database.seal import FACTS, CheckPass, Seal, opened, row_digests
from gateway.outbox.database.sqlite_errors import DamagedError, translated
from gateway.outbox.records import LANES_BY_WORTH

_NAMED: Final = "LEFT JOIN topic t ON t.id = m.topic LEFT JOIN boot b ON b.id = m.boot"
_ROWS: Final = select(f"{_NAMED} ORDER BY m.id", more=", t.name, b.name")
_ROW: Final = select(f"{_NAMED} WHERE m.id = ?", more=", t.name, b.name")


_NONE: Final = "there is none, and with a key the gateway takes no messages in clear (see outbox.accept_plain)"
_LOSS_TYPES: Final = [str, str, int, int, int, int, int, str, str, int, int]
_MOST_BYTES: Final = MOST_KEPT_BYTES + 2**16


@dataclass(frozen=True, slots=True)
class StoredRow:
    """One row."""

    id: int
    lane: int
    message: Message | None
    """None when it cannot be used."""
    reason: str = ""
    """Why it cannot be used."""


class Inspection:
    """One consistent view of a database, as of its opening."""

    def __init__(self, path: Path, db: sqlite3.Connection, compression: Compression) -> None:
        self._path, self._db, self._compression = path, db, compression
        self.encrypted = db.execute("SELECT count(*) FROM seal").fetchone()[0] > 0
        self._state, self._is_new = None, True
        if db.execute("PRAGMA user_version").fetchone()[0] >= SEALED:
            found = db.execute("SELECT state FROM seal_state").fetchall()
            self.encrypted, self._is_new = self.encrypted or bool(found), not (found or self.encrypted)
            if compression.encryption is not None:
                self._state = opened(compression.encryption, found)
                compression.binding = self._state.binding if self._state else None

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
        query = "SELECT start_ms FROM message WHERE lane = {} ORDER BY id LIMIT 1"
        found = ((lane, self._numbers(query.format(int(lane)))) for lane in LANES_BY_WORTH)
        return {int(lane): rows[0][0] if rows else None for lane, rows in found}

    def totals(self) -> dict[int, tuple[int, int]]:
        """Return messages and payload bytes by lane (-1: loss messages), as the gateway counts them."""
        rows = self._numbers("SELECT lane, messages, bytes FROM total")
        return {lane: (count, size) for lane, count, size in rows if lane in LANES_BY_WORTH}

    def losses(self) -> list[Loss]:
        """Return the losses that are not yet announced."""
        rows = self._db.execute(LOSSES).fetchall()
        losses = [Loss(*row) for row in rows if list(map(type, row)) == _LOSS_TYPES]
        if len(losses) != len(rows):
            raise DamagedError(f"{self._path}: a loss has values of the wrong type")
        return losses

    def counts(self) -> tuple[int, dict[tuple[str, str], int]]:
        """Return the id up to which messages are not counted, and how many later ones each (boot, topic) should have."""
        query = "SELECT b.name, t.name, e.messages FROM extent e JOIN topic t ON t.id = e.topic JOIN boot b ON b.id = e.boot"
        counts = {(str(boot), str(topic)): count for boot, topic, count in self._db.execute(query) if isinstance(count, int)}
        up_to = self._numbers("SELECT up_to FROM uncounted")
        if len(up_to) != 1:
            raise DamagedError(f"{self._path}: the counts are missing")
        return up_to[0][0], counts

    def _numbers(self, query: str) -> list[tuple[int, ...]]:
        rows: list[tuple[int, ...]] = self._db.execute(query).fetchall()
        if not all(isinstance(number, int) for row in rows for number in row):
            raise DamagedError(f"{self._path}: values of the wrong type ({query})")
        return rows

    def flaw(self) -> str:
        """Return what SQLite itself finds wrong with the file, indexes included, or an empty text. Reads all of it."""
        with translated():
            found = str(self._db.execute("PRAGMA integrity_check(1)").fetchone()[0])
        return "" if found == "ok" else found

    def seal_flaw(self) -> str:
        """Return what is wrong with the seal over all rows, or an empty text. Reads all of them. Needs the key."""
        key, state = self._compression.encryption, self._state
        if key is None:
            return ""
        if self._is_new:
            return _NONE if any(count for count, _ in self.totals().values()) else ""
        if state is None:
            return "it is missing, or was made by somebody else"
        seal, check = Seal(key, state.file_id), CheckPass()
        with translated():
            if seal.facts(self._db.execute(FACTS)) != state.facts:
                return "runs, losses, counts or watermarks are not those that were sealed"
            self._db.create_function("seal_row", -1, seal.row, deterministic=True)
            for row in self._db.execute(row_digests(state.plain_to, "1 ORDER BY id")):
                check.add([row])
        return check.flaw(state) if state.is_bound else ""

    def rows(self) -> Iterator[StoredRow]:
        """Yield every row by id; payloads are empty when `locked`. Raises DamagedError where it cannot be read."""
        locked = self.locked
        with translated():
            for row in self._db.execute(_ROWS):
                yield self._row(row, locked)

    def newest(self, count: int) -> Iterator[StoredRow]:
        """Yield the newest `count` rows of each topic, by topic and id. Reads few of the payloads, one at a time."""
        ids: dict[int, list[int]] = {}
        with translated():
            for id, topic in self._db.execute("SELECT id, topic FROM message ORDER BY id DESC"):
                some = ids.setdefault(topic, [])
                if len(some) < count:
                    some.append(id)
            names = dict(self._db.execute("SELECT id, name FROM topic"))
            for topic in sorted(ids, key=lambda topic: str(names.get(topic, ""))):
                for id in reversed(ids[topic]):
                    yield self._row(self._db.execute(_ROW, (id,)).fetchone(), self.locked)

    def _row(self, found: Sequence[Any], locked: bool) -> StoredRow:
        *row, topic, boot = found
        if not (isinstance(topic, str) and isinstance(boot, str)):
            return StoredRow(row[0], row[1], None, "it belongs to no known topic or run")
        try:
            return StoredRow(row[0], row[1], message_of(row, topic, boot, self._compression, locked=locked))
        except ValueError as error:
            return StoredRow(row[0], row[1], None, str(error))


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
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_BYTES)
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
