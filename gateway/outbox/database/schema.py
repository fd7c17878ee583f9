"""The database's tables, how older ones become newer ones, and what a file is before SQLite touches it."""

import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from gateway.core.errors import ConfigError
from gateway.outbox.database.sqlite_errors import DamagedError

APPLICATION_ID: Final = 0x47574F42
"""`GWOB` in the file's header: this is our database."""

PAGE_BYTES: Final = 4096
JOURNAL_LIMIT_BYTES: Final = 4 * 2**20
CHECKPOINT_PAGES: Final = 1000

SIGN: Final = f"PRAGMA application_id = {APPLICATION_ID}"
"""For a new file, before anything else: outside the log, so that a half-made file is known as ours."""

SETTINGS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA busy_timeout = 2000",
    f"PRAGMA journal_size_limit = {JOURNAL_LIMIT_BYTES}",
    f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}",
    "PRAGMA cell_size_check = ON",
    "PRAGMA trusted_schema = OFF",
)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        "CREATE TABLE boot (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, started_ms INTEGER NOT NULL,"
        " clean INTEGER NOT NULL)",
        "CREATE TABLE topic (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
        # lane: a Lane, or -1 for loss messages; checksum: see `Store`
        "CREATE TABLE message (id INTEGER PRIMARY KEY, lane INTEGER NOT NULL, topic INTEGER NOT NULL, boot INTEGER NOT NULL,"
        " seq INTEGER NOT NULL, start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL, checksum INTEGER NOT NULL,"
        " payload BLOB NOT NULL)",
        "CREATE INDEX message_by_lane ON message (lane)",
        # running totals: a start with millions of messages must not count them
        "CREATE TABLE total (lane INTEGER PRIMARY KEY, messages INTEGER NOT NULL, bytes INTEGER NOT NULL)",
        "INSERT INTO total VALUES (-1, 0, 0), (0, 0, 0), (1, 0, 0), (2, 0, 0)",
        # losses that are not yet announced
        "CREATE TABLE loss (boot TEXT NOT NULL, topic TEXT NOT NULL, cause TEXT NOT NULL, first_seq INTEGER NOT NULL,"
        " last_seq INTEGER NOT NULL, count INTEGER NOT NULL, start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL,"
        " detail TEXT NOT NULL, PRIMARY KEY (boot, topic, cause)) WITHOUT ROWID",
    ),
    (
        # see `compression`; values of 0 and 1 stand in the row's header, so nothing behind a long payload is read
        "ALTER TABLE message ADD COLUMN coded INTEGER NOT NULL DEFAULT 0",
        # one row if payloads are encrypted: proof of the key
        "CREATE TABLE seal (proof BLOB NOT NULL)",
    ),
    (
        # how many messages a merged window stands for and the first of their numbers; 1 and 0 stand in the row's header
        "ALTER TABLE message ADD COLUMN windows INTEGER NOT NULL DEFAULT 1",
        "ALTER TABLE message ADD COLUMN first_seq INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE loss ADD COLUMN windows INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE loss ADD COLUMN from_seq INTEGER NOT NULL DEFAULT 0",
        # see `topic_counts`; topic, boot: ids. Rows up to `uncounted` are not in there: counting them would delay the start
        "CREATE TABLE extent (topic INTEGER NOT NULL, boot INTEGER NOT NULL, messages INTEGER NOT NULL,"
        " first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL,"
        " checksum INTEGER NOT NULL,"
        " PRIMARY KEY (topic, boot)) WITHOUT ROWID",
        "CREATE TABLE uncounted (up_to INTEGER NOT NULL)",
        "INSERT INTO uncounted SELECT coalesce(max(id), 0) FROM message",
        # where the wall clock was set back: the first id after, and the time it showed then
        "CREATE TABLE turn (id INTEGER PRIMARY KEY, wall_ms INTEGER NOT NULL)",
    ),
    (
        # what sources have handed on, see the port `Watermarks`; in the order of the keys, so small ones share a page
        "CREATE TABLE watermark (key TEXT PRIMARY KEY, value BLOB NOT NULL, certain INTEGER NOT NULL,"
        " checksum INTEGER NOT NULL) WITHOUT ROWID",
    ),
    (
        # one row if payloads are encrypted: see `seal`
        "CREATE TABLE seal_state (state BLOB NOT NULL)",
        # the file's id, encrypted: without the state on its page no row could be read
        "ALTER TABLE seal ADD COLUMN file BLOB NOT NULL DEFAULT x''",
    ),
    (
        # the number of the last commit that has changed messages, in one of the rows: see `witness`
        "ALTER TABLE total ADD COLUMN commits INTEGER NOT NULL DEFAULT 0",
    ),
)
"""What leads from each version to the next. Released ones are never changed, only added to."""

VERSION: Final = len(MIGRATIONS)

SEALED: Final = 5
"""From this version on encrypted files have a seal over all rows."""

FOREIGN_PARTS: Final = "SELECT type || ' ' || name FROM sqlite_schema WHERE type IN ('trigger', 'view')"
"""What no gateway makes, and what would run inside it."""

READABLE: Final = 3
"""Files from this version on have all that is read from outside (`gateway outbox`): later ones added watermarks, a seal."""

LOSSES: Final = (
    "SELECT topic, boot, first_seq, last_seq, count, start_ms, end_ms, cause, detail, windows, from_seq FROM loss"
)
"""The losses that are not yet announced, in the order of `Loss`'s fields."""


def steps(version: int, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> Iterator[tuple[str, ...]]:
    """Yield the transactions that lead from `version` to the newest, each a row of statements."""
    for number, statements in enumerate(migrations[version:], version + 1):
        yield "BEGIN IMMEDIATE", *statements, f"PRAGMA user_version = {number}", "COMMIT"


def identify(path: Path) -> bool:
    """Look at a file's header (SQLite file format, 1.3) without changing anything: true for ours, false for none yet.

    Raises DamagedError when it is no SQLite database, ConfigError when it is another
    program's or a newer gateway's.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would keep us waiting for ever
            raise ConfigError(f"{path} is no regular file, so no outbox")
        with path.open("rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        return False
    if not header:
        return False
    if len(header) < 100 or not header.startswith(b"SQLite format 3\0"):
        raise DamagedError(f"{path} is not an SQLite database")
    version, application = int.from_bytes(header[60:64], "big", signed=True), int.from_bytes(header[68:72], "big")
    if application != APPLICATION_ID or version < 0:
        raise ConfigError(f"outbox.path: {path} is another program's database; set another path or move the file away")
    if version > VERSION:
        raise ConfigError(
            f"outbox.path: {path} was written by a newer gateway (schema {version}, this one knows {VERSION}); "
            f"run that version, or move the file away to start empty"
        )
    return True
