"""Compression and encryption of payloads, each row by itself, so that a damaged one costs no other.

The only file that knows zstandard.
"""

import zlib
from collections.abc import Sequence
from typing import Final

import zstandard

from gateway.outbox.database.encryption import Encryption

COMPRESSED: Final = 1
ENCRYPTED: Final = 2
"""Flags in the first byte of what is kept, where the column `coded` is 1; 0 is a payload as it is."""

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


def checksum(numbers: Sequence[object], kept: bytes, coded: int) -> int:
    """CRC-32 over a row's numbers (id to end_ms) and what is kept: SQLite itself does not notice flipped bits in content."""
    return zlib.crc32(kept, zlib.crc32(repr((*numbers, coded) if coded else tuple(numbers)).encode()))


def checked(numbers: Sequence[object], windows: object, first_seq: object) -> Sequence[object]:
    """Return the numbers of a row that its checksum is over; those of a merged window are two more."""
    return numbers if windows == 1 and not first_seq else (*numbers, windows, first_seq)


def is_sound(row: Sequence[object]) -> bool:
    """Whether a row (id to end_ms, checksum, what is kept, coded, windows, first_seq) is as it was written."""
    *numbers, check, kept, coded, windows, first_seq = row
    if not (isinstance(kept, bytes) and isinstance(coded, int)):
        return False
    return check == checksum(checked(numbers, windows, first_seq), kept, coded)


class Compression:
    """The form in which payloads are kept. Not for two threads at once."""

    def __init__(self, compress: bool = True, encryption: Encryption | None = None) -> None:
        """compress: new rows. encryption: for new rows, and to read those that are encrypted."""
        words = zstandard.ZstdCompressionDict(_WORDS, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        self._pack = zstandard.ZstdCompressor(level=_LEVEL, dict_data=words) if compress else None
        self._unpack = zstandard.ZstdDecompressor(dict_data=words)
        self.encryption = encryption

    def encode(self, topic: str, boot: str, seq: int, payload: bytes) -> tuple[bytes, int]:
        """Return what to keep of a payload, and the column `coded`."""
        form, kept = 0, payload
        if self._pack is not None and len(packed := self._pack.compress(payload)) + 1 < len(payload):
            form, kept = COMPRESSED, packed
        if self.encryption is not None:
            form |= ENCRYPTED
            kept = self.encryption.encrypt(kept, _about(topic, boot, seq, form))
        return (bytes((form,)) + kept, 1) if form else (payload, 0)

    def decode(self, topic: str, boot: str, seq: int, kept: bytes, coded: int) -> bytes:
        """Return the payload again. Raises ValueError when it is not what was kept for this message, or there is no key."""
        if not coded:
            return kept
        form, content = kept[0] if kept else 0, kept[1:]
        if not 0 < form <= COMPRESSED | ENCRYPTED:
            raise ValueError("kept in an unknown form")
        if form & ENCRYPTED:
            if self.encryption is None:
                raise ValueError("it is encrypted")
            content = self.encryption.decrypt(content, _about(topic, boot, seq, form))
        try:
            return self._unpack.decompress(content) if form & COMPRESSED else content
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from error


def _about(topic: str, boot: str, seq: int, form: int) -> bytes:
    """Return what an encrypted payload is bound to: in another row it cannot be decrypted."""
    return f"{boot}\0{topic}\0{seq}\0{form}".encode()
