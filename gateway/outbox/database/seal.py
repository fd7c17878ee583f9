"""The seal of an encrypted file: which rows there are, each in which version, and what all other tables say. Pure.

Rows come, go and are merged in any order, so the seal over them is a sum (modulo 2^128) of keyed hashes, one a row: what
comes is added, what goes taken away (a multiset hash: Clarke et al., Incremental Multiset Hash Functions, ASIACRYPT 2003).
The sum is encrypted, so nobody without the key can make another one that fits, only put back an older one with all its rows.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from typing import Any, Final

from gateway.outbox.database.compression import Binding
from gateway.outbox.database.encryption import Encryption

_DIGEST_BYTES: Final = 16
_MODULUS: Final = 2 ** (8 * _DIGEST_BYTES)
_STATE: Final = b"gateway outbox seal"
_FILE: Final = b"gateway outbox file"

_FACTS: Final = {
    "boot": "id, name, started_ms, clean",
    "topic": "id, name",
    "total": "lane, messages, bytes",
    "loss": "topic, boot, first_seq, last_seq, count, start_ms, end_ms, cause, detail, windows, from_seq",
    "extent": "topic, boot, messages, first_seq, last_seq, start_ms, end_ms, checksum",
    "uncounted": "up_to",
    "turn": "id, wall_ms",
    "watermark": "key, value, certain, checksum",
}
_WIDTH: Final = 11


def _facts_of(table: str, names: str) -> str:
    empty = ", NULL" * (_WIDTH - 1 - names.count(","))
    return " ".join(("SELECT", f"'{table}', {names}{empty}", "FROM", table))


FACTS: Final = " UNION ALL ".join(_facts_of(table, names) for table, names in _FACTS.items())
"""A query for everything that a file says beside its messages."""


def row_digests(plain_to: int, condition: str) -> str:
    """Return a query for ids and digests of rows: by the function `seal_row`, which is `Seal.row`.

    Rows up to `plain_to` may not be bound to their place, so all of their content is in the digest.
    """
    content = f"CASE WHEN id <= {plain_to} THEN payload END"
    numbers = "id, lane, topic, boot, seq, start_ms, end_ms, checksum, coded, windows, first_seq"
    return " ".join((f"SELECT id, seal_row({content}, {numbers})", "FROM message WHERE", condition))


@dataclass(frozen=True, slots=True)
class SealState:
    """What is kept, encrypted, and renewed with every commit."""

    file_id: bytes
    """Random: rows of another file do not fit."""
    plain_to: int = 0
    """Rows up to this id may be from before the file was sealed."""
    takes_plain: bool = True
    """They may be plain; false where only those were taken that are encrypted (schema 4)."""
    is_bound: bool = True
    """All rows are in the sum; false until those from before the file was sealed have been gone through."""
    generation: int = 0
    """How many commits there were."""
    rows: int = 0
    total: int = 0
    """Sum of the digests of all rows."""
    facts: bytes = b""
    """Digest of the other tables."""

    @property
    def binding(self) -> Binding:
        """Return what the payloads are bound to."""
        return Binding(self.file_id, self.plain_to, self.takes_plain)

    def after(self, gone: Iterable[bytes], come: Iterable[bytes]) -> "SealState":
        """Return the state once rows with these digests have gone and come."""
        if not self.is_bound:
            return self
        less, more = list(gone), list(come)
        return replace(
            self, rows=self.rows - len(less) + len(more), total=(self.total - sum_of(less) + sum_of(more)) % _MODULUS
        )

    def closed(self, encryption: Encryption) -> bytes:
        """Return the state as it is kept."""
        fields = asdict(self) | {"file_id": self.file_id.hex(), "facts": self.facts.hex()}
        return encryption.encrypt(json.dumps(fields).encode(), _STATE)


def closed_id(encryption: Encryption, file_id: bytes) -> bytes:
    """Return a file's id as it is kept beside its state."""
    return encryption.encrypt(file_id, _FILE)


def binding_of(encryption: Encryption, found: Sequence[Sequence[Any]]) -> Binding | None:
    """Return what payloads are bound to, from ids as `closed_id` returns them; no row counts as older."""
    for row in found:
        try:
            return Binding(encryption.decrypt(row[0], _FILE), 0, takes_plain=False)
        except (ValueError, TypeError):
            continue
    return None


def new_state(plain_to: int, *, takes_plain: bool) -> SealState:
    """Return the state of a file that is sealed from now on."""
    return SealState(os.urandom(_DIGEST_BYTES), plain_to, takes_plain, is_bound=not plain_to)


def opened(encryption: Encryption, found: Sequence[Sequence[Any]]) -> SealState | None:
    """Return the state in the rows of the table `seal_state`; None unless there is just one, made with this key."""
    if len(found) != 1 or not isinstance(found[0][0], bytes):
        return None
    try:
        fields = json.loads(encryption.decrypt(found[0][0], _STATE))
    except ValueError:
        return None
    return SealState(**fields | {"file_id": bytes.fromhex(fields["file_id"]), "facts": bytes.fromhex(fields["facts"])})


def sum_of(digests: Iterable[bytes]) -> int:
    """Return the sum of digests."""
    return sum(int.from_bytes(digest, "big") for digest in digests) % _MODULUS


class Seal:
    """Keyed digests of one file."""

    def __init__(self, encryption: Encryption, file_id: bytes) -> None:
        self._key = encryption.subkey(file_id)

    def row(self, content: bytes | None, *numbers: object) -> bytes:
        """Return the digest of a row, as the function `seal_row` of a query."""
        digest = blake2b(repr(numbers).encode(), key=self._key, digest_size=_DIGEST_BYTES, person=b"row")
        digest.update(content if isinstance(content, bytes) else repr(content).encode() if content is not None else b"")
        return digest.digest()

    def facts(self, rows: Iterable[Sequence[object]]) -> bytes:
        """Return the digest of what `FACTS` finds, in whatever order."""
        digest = blake2b(key=self._key, digest_size=_DIGEST_BYTES, person=b"facts")
        for row in sorted(map(repr, rows)):
            digest.update(row.encode(errors="backslashreplace") + b"\0")
        return digest.digest()


@dataclass(slots=True)
class CheckPass:
    """How far all rows have been gone through, and what was found."""

    to: int = 0
    rows: int = 0
    total: int = 0

    def add(self, digests: Sequence[tuple[int, bytes]]) -> None:
        """Add the next rows, by id."""
        self._change(digests, 1)
        self.to = max(self.to, digests[-1][0] if digests else 0)

    def changed(self, gone: Sequence[tuple[int, bytes]], come: Sequence[tuple[int, bytes]]) -> None:
        """Record what a commit has done to rows, those gone through already among them."""
        self._change([row for row in gone if row[0] <= self.to], -1)
        self._change([row for row in come if row[0] <= self.to], 1)

    def _change(self, digests: Sequence[tuple[int, bytes]], sign: int) -> None:
        self.rows += sign * len(digests)
        self.total = (self.total + sign * sum_of(digest for _, digest in digests)) % _MODULUS

    def flaw(self, state: SealState) -> str:
        """Return what is wrong once all rows were gone through, or an empty text."""
        if self.rows != state.rows:
            return f"{state.rows} messages were sealed and {self.rows} are there"
        return "" if self.total == state.total else "a message was exchanged for another or an older one"
