"""Reader of what a damaged database still has, once it was set aside. It is only read, never changed."""

import sqlite3
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gateway.core.messages import Loss
from gateway.core.ports.watermarks import StoredWatermark
from gateway.outbox.database.compression import Binding, Compression
from gateway.outbox.database.encryption import Encryption
from gateway.outbox.database.message_rows import message_of, select
from gateway.outbox.database.schema import LOSSES
from gateway.outbox.database.seal import FACTS, Seal, SealState, binding_of, opened
from gateway.outbox.database.topic_counts import TopicCount, TopicCounts, TopicKey, checksum
from gateway.outbox.database.watermarks import rescued
from gateway.outbox.records import LANES_BY_WORTH, Entry

BATCH_BYTES: Final = 2**20

_WIDEST_GAP: Final = 2**51
_NEXT: Final = select("WHERE id > ? ORDER BY id LIMIT ?")
_NEXT_OF_VERSION_2: Final = _NEXT.replace("m.windows, m.first_seq", "1, 0")
_NEXT_OF_VERSION_1: Final = _NEXT_OF_VERSION_2.replace("m.coded", "0")
_LOSSES_OF_VERSION_2: Final = LOSSES.replace(", windows, from_seq", "")
_EXTENTS: Final = "SELECT topic, boot, messages, first_seq, last_seq, start_ms, end_ms, checksum FROM extent"
_MESSAGES: Final = "SELECT sum(messages) FROM total HAVING count(*) = {}"
_BEYOND: Final = 2**50
"""Taken for the last id of a file where that cannot be read: above all that may be found in it."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """What a damaged file still says of itself."""

    losses: Sequence[Loss] = ()
    """Not yet announced."""
    messages: int | None = None
    """How many it had, None when that is not known."""
    topic_counts: TopicCounts = field(default_factory=dict)
    """Whose they were, as far as that can be read, but for rows up to `uncounted_to`."""
    uncounted_to: int = 0
    last_id: int = _BEYOND
    """No row has a higher id."""
    watermarks: Mapping[str, StoredWatermark] = field(default_factory=dict)
    """Of sources, all of them uncertain."""


def accounts(path: Path, encryption: Encryption | None) -> Accounts:
    """Return what a damaged file says of itself. Never raises. May be called from any thread.

    Of a sealed file whose seal does not fit, only what nobody would forge: up to which id it goes, and watermarks, which
    count as uncertain.
    """
    losses: list[Loss] = []
    messages: int | None = None
    found: dict[TopicKey, TopicCount] = {}
    uncounted_to, last_id = 0, _BEYOND
    watermarks: dict[str, StoredWatermark] = {}
    with suppress(sqlite3.Error), closing(_opened(path)) as db:
        for query in (LOSSES, _LOSSES_OF_VERSION_2):
            with suppress(sqlite3.Error):
                losses = [Loss(*row) for row in db.execute(query)]
                break
        messages = _number(db, _MESSAGES.format(len(LANES_BY_WORTH)))
        last_id = _or(_number(db, "SELECT coalesce(max(id), 0) FROM message"), _BEYOND)
        watermarks = rescued(db)
        uncounted_to = _or(_number(db, "SELECT up_to FROM uncounted"), 0)
        with suppress(sqlite3.Error):
            topics = dict(db.execute("SELECT id, name FROM topic"))
            boots = dict(db.execute("SELECT id, name FROM boot"))
            for topic, boot, *numbers, check in db.execute(_EXTENTS):
                extent = TopicCount(*numbers)
                if topic in topics and boot in boots and check == checksum(topic, boot, extent):
                    found[topics[topic], boots[boot]] = extent
        if not _is_as_sealed(db, encryption):
            return Accounts(last_id=last_id, watermarks=watermarks)
    return Accounts(losses, messages, found, uncounted_to, last_id, watermarks)


def _sealed_in(db: sqlite3.Connection, encryption: Encryption | None) -> SealState | None:
    """Return the state of the seal, None where there is none or it cannot be read."""
    with suppress(sqlite3.Error):
        if encryption is not None:
            return opened(encryption, db.execute("SELECT state FROM seal_state").fetchall())
    return None


def _binding_in(db: sqlite3.Connection, encryption: Encryption | None, sealed: SealState | None) -> Binding | None:
    if state := sealed or _sealed_in(db, encryption):
        return state.binding
    with suppress(sqlite3.Error):
        if encryption is not None:
            return binding_of(encryption, db.execute("SELECT file FROM seal").fetchall())
    return None


def _is_as_sealed(db: sqlite3.Connection, encryption: Encryption | None) -> bool:
    """Return whether a file says what was sealed; true also for a file that never was."""
    if encryption is None:
        return True
    if (state := _sealed_in(db, encryption)) is None:
        return not (_number(db, "SELECT count(*) FROM seal_state") or _number(db, "SELECT count(*) FROM seal"))
    try:
        return Seal(encryption, state.file_id).facts(db.execute(FACTS)) == state.facts
    except sqlite3.Error:
        return False


def _number(db: sqlite3.Connection, query: str) -> int | None:
    """Return what a query answers, if that is a number."""
    with suppress(sqlite3.Error):
        for (answer,) in db.execute(query):
            return answer if isinstance(answer, int) else None
    return None


def _or(number: int | None, default: int) -> int:
    return default if number is None else number


def readable(
    path: Path, like: Compression, sealed: SealState | None, held: Callable[[int], bool]
) -> Generator[list[Entry], None, None]:
    """Yield batches of messages in id order whose checksum is right, none that is `held`; damaged pages are skipped.

    The tree is entered again behind each damaged place, so its other pages are reached; what hung on a damaged inner page
    is not. Never raises on a damaged file.
    May be read from any thread, one at a time. like: has the key, and whether plain rows are taken; sealed: the state of its
    seal where that is known from before.
    """
    with suppress(sqlite3.Error), closing(_opened(path)) as db:
        key = like.encryption
        compression = Compression(encryption=key, binding=_binding_in(db, key, sealed), takes_plain=like.takes_plain)
        known = {column for _, column, *_ in db.execute("PRAGMA table_info(message)")}
        query = _NEXT if "windows" in known else _NEXT_OF_VERSION_2 if "coded" in known else _NEXT_OF_VERSION_1
        topics = dict(db.execute("SELECT id, name FROM topic"))
        boots = dict(db.execute("SELECT id, name FROM boot"))
        db.text_factory = bytes  # noise need not be UTF-8
        batch: list[Entry] = []
        size = 0
        for row in _rows(db, query):
            id, lane, topic, boot, *_, windows, first_seq = row
            if topic not in topics or boot not in boots or held(id):
                continue
            try:
                message = message_of(row, topics[topic], boots[boot], compression)
            except ValueError:
                continue
            batch.append(Entry(id, message, False, lane, 0.0, windows=windows, first_seq=first_seq))
            size += len(message.payload)
            if size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA writable_schema = ON")  # so SQLite reads a file that is shorter than its header says
    return db


def _rows(db: sqlite3.Connection, query: str) -> Iterator[Any]:
    after = 0
    while True:
        try:
            for row in db.execute(query, (after, -1)):
                if row[0] <= after:
                    break  # a damaged page led back: as good as unreadable
                yield row
                after = row[0]
            else:
                return
        except sqlite3.DatabaseError:
            pass  # a damaged page: stepped over
        gap = _gap(db, query, after)
        if gap is None:
            return
        after += gap


def _gap(db: sqlite3.Connection, query: str, after: int) -> int | None:
    """How many ids to step over until rows can be read again; None when there are no more."""
    bad, good = 0, 1
    while not _leads_on(db, query, after + good):
        bad, good = good, good * 2
        if good > _WIDEST_GAP:
            return None
    while good - bad > 1:
        middle = (bad + good) // 2
        bad, good = (bad, middle) if _leads_on(db, query, after + middle) else (middle, good)
    return good


def _leads_on(db: sqlite3.Connection, query: str, after: int) -> bool:
    try:
        rows = db.execute(query, (after, 1)).fetchall()
    except sqlite3.DatabaseError:
        return False
    return not rows or rows[0][0] > after
