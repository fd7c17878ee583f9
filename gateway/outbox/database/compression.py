"""Compression and encryption of payloads, each row by itself, so that a damaged one costs no other.

The only file that knows zstandard.
"""

from typing import Final, NamedTuple

import zstandard

from gateway.outbox.database.encryption import Encryption

MOST_PAYLOAD_BYTES: Final = 16 * 2**20
"""The largest payload that is kept: a window of some 100,000 tags. What claims to be larger is not opened."""

COMPRESSED: Final = 1
ENCRYPTED: Final = 2
BOUND: Final = 4
"""Flags in the first byte of what is kept, where the column `coded` is 1; 0 is a payload as it is. BOUND: encrypted, and
bound to its row in its file; ENCRYPTED alone is bound to its message only (before schema 5, and in dead letters)."""

_FORMS: Final = (COMPRESSED, ENCRYPTED, COMPRESSED | ENCRYPTED, BOUND, COMPRESSED | BOUND)
_LEVEL: Final = 1

_WORDS: Final = (
    b'{"stats":{"requests":,"timeouts":,"round_trip_ms":{"boot":"","seq":,"ts":,"dur":600000,"hist":false,"windows":60,'
    b'"first_seq":"kind":"alarm","tag":"","state":"cleared","condition":"hihi","severity":,"value":,"limit":'
    b'"kind":"loss","topic":"","of_boot":"","first_seq":,"last_seq":,"count":,"start":,"end":,"cause":"thinned","detail":""}'
    b'{"n":0,"good":0,"min":null,"max":null,"mean":null,"std":null,"first":null,"last":null,"q":"bad","reason":'
    b'"not_connected"},","used":10,"q":"uncertain","reason":"partial"},'
    b'{"boot":"019","seq":1,"ts":17,"dur":1000,"hist":false,"tags":{"temperature":{"n":10,"good":10,"min":1.0,"max":2.0,'
    b'"mean":1.5,"std":0.1,"first":1.0,"last":2.0,"q":"good"},"pressure":{"n":1,"good":1,"min":'
)
"""Words of our payloads, for the compressor to refer to (RFC 8878, 5): it halves what one or two tags take. Files were
written with them, so they are never changed; other words need another flag."""


class UnsealedError(ValueError):
    """What is kept was not written into this row of this file by somebody with the key."""


class Place(NamedTuple):
    """Which message a payload is of, and where it stands."""

    topic: str
    boot: str
    seq: int
    row: tuple[int, ...] = ()
    """Of a row in a database: id, lane, start_ms, end_ms, windows, first_seq; empty elsewhere."""


class Binding(NamedTuple):
    """What the rows of a sealed file are bound to."""

    file_id: bytes
    plain_to: int
    """Rows up to this id may be from before the file was sealed, or sealed before schema 5."""
    takes_plain: bool
    """Those rows may be plain."""


class Compression:
    """The form in which payloads are kept. Not for two threads at once."""

    def __init__(
        self,
        compress: bool = True,
        encryption: Encryption | None = None,
        binding: Binding | None = None,
        *,
        takes_plain: bool = False,
    ) -> None:
        """compress: new rows. encryption: for new rows, and to read those that are encrypted. binding: of a sealed file.

        takes_plain: with a key, rows of a file without a seal may be plain.
        """
        words = zstandard.ZstdCompressionDict(_WORDS, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        self._pack = zstandard.ZstdCompressor(level=_LEVEL, dict_data=words) if compress else None
        self._unpack = zstandard.ZstdDecompressor(dict_data=words)
        self.encryption = encryption
        self.binding = binding
        self.takes_plain = takes_plain

    def encode(self, place: Place, payload: bytes) -> tuple[bytes, int]:
        """Return what to keep of a payload, and the column `coded`."""
        form, kept = 0, payload
        if self._pack is not None and len(packed := self._pack.compress(payload)) + 1 < len(payload):
            form, kept = COMPRESSED, packed
        if self.encryption is not None:
            form |= BOUND if self.binding is not None and place.row else ENCRYPTED
            kept = self.encryption.encrypt(kept, self._about(place, form))
        return (bytes((form,)) + kept, 1) if form else (payload, 0)

    def decode(self, place: Place, kept: bytes, coded: int) -> bytes:
        """Return the payload again, at most `MOST_PAYLOAD_BYTES`.

        Raises ValueError when it is not what was kept for this message, is larger, or there is no key; of these
        UnsealedError where it has the form of a payload but is not sealed as it should be.
        """
        form, content = (kept[:1] or b"\0")[0] if coded else 0, kept[1:] if coded else kept
        if coded and form not in _FORMS:
            raise ValueError("kept in an unknown form")
        if place.row and self.encryption is not None and not self._is_taken(form, place.row[0]):
            raise UnsealedError("not sealed, and there is a key")
        if form & (ENCRYPTED | BOUND):
            content = self._decrypted(place, form, content)
        if not form & COMPRESSED:
            _check_size(len(content))
            return content
        try:
            _check_size(zstandard.frame_content_size(content))  # the library makes room for what the frame claims
            return self._unpack.decompress(content)
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from error

    def _is_taken(self, form: int, id: int) -> bool:
        """Return whether a row may be in this form, where there is a key."""
        if self.binding is None:
            return bool(form & (ENCRYPTED | BOUND)) or self.takes_plain
        is_old = id <= self.binding.plain_to
        return bool(form & BOUND) or (is_old and (bool(form & ENCRYPTED) or self.binding.takes_plain))

    def _decrypted(self, place: Place, form: int, content: bytes) -> bytes:
        if self.encryption is None:
            raise ValueError("it is encrypted")
        if form & BOUND and (self.binding is None or not place.row):
            raise UnsealedError("it is of another file")
        try:
            return self.encryption.decrypt(content, self._about(place, form))
        except ValueError as error:
            raise UnsealedError(str(error)) from error

    def _about(self, place: Place, form: int) -> bytes:
        """Return what an encrypted payload is bound to: elsewhere it cannot be decrypted."""
        topic, boot, seq, row = place
        if form & BOUND and self.binding is not None:
            return self.binding.file_id + repr((boot, topic, seq, *row, form)).encode()
        return f"{boot}\0{topic}\0{seq}\0{form}".encode()


def _check_size(size: int) -> None:
    """Check the size of a payload; -1 is unknown, which no payload of ours is. Raises ValueError."""
    if not 0 <= size <= MOST_PAYLOAD_BYTES:
        claimed = f"{size} bytes" if size >= 0 else "a size that it does not name"
        raise ValueError(f"larger than {MOST_PAYLOAD_BYTES // 2**20} MiB: {claimed}")
