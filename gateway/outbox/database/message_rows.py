"""Rows of the table `message`: their columns, their checksum, the message in them. Pure."""

import zlib
from collections.abc import Sequence
from typing import Any, Final

from gateway.core.messages import Lane, Message
from gateway.outbox.database.compression import BOUND, MOST_PAYLOAD_BYTES, Compression, Place
from gateway.outbox.records import LANES_BY_WORTH

MOST_KEPT_BYTES: Final = MOST_PAYLOAD_BYTES + 64
"""What a row can take in any form: form, salt, nonce and tag beside the payload."""

_TAG_BYTES: Final = 4
_CHECKSUM_BITS: Final = 32


def select(rest: str, most_bytes: int = MOST_KEPT_BYTES, more: str = "") -> str:
    """Return a query for rows as `message_of` reads them, and `more` columns; a larger payload than `most_bytes` is NULL.

    rest: what follows the name of the table, which is `m` where several are joined.
    """
    names = "m.id, m.lane, m.topic, m.boot, m.seq, m.start_ms, m.end_ms, m.checksum"
    payload = f"length(m.payload), CASE WHEN length(m.payload) <= {most_bytes} THEN m.payload END"
    return " ".join(("SELECT", f"{names}, {payload}, m.coded, m.windows, m.first_seq{more}", "FROM message m", rest))


def checksum(numbers: Sequence[object], kept: bytes, coded: int) -> int:
    """CRC-32 over a row's numbers (id to end_ms) and what is kept: SQLite itself does not notice flipped bits in content.

    Of a bound row 31 bits of its authentication tag stand above it, so that the seal over all rows tells two contents of one
    row apart by this column.
    """
    crc = zlib.crc32(kept, zlib.crc32(repr((*numbers, coded) if coded else tuple(numbers)).encode()))
    if coded and kept and kept[0] & BOUND:
        return (int.from_bytes(kept[-_TAG_BYTES:], "big") >> 1 << _CHECKSUM_BITS) | crc
    return crc


def checked(numbers: Sequence[object], windows: object, first_seq: object) -> Sequence[object]:
    """Return the numbers of a row that its checksum is over; those of a merged window are two more."""
    return numbers if windows == 1 and not first_seq else (*numbers, windows, first_seq)


def message_of(row: Sequence[Any], topic: str, boot: str, compression: Compression, *, locked: bool = False) -> Message:
    """Return the message in a row, given as `select` has it; its payload is empty when `locked`, for want of a key.

    Raises ValueError saying why it cannot be used; UnsealedError where it is not sealed as its file is.
    """
    id, lane, _, _, seq, start_ms, end_ms, check, size, kept, coded, windows, first_seq = row
    if kept is None and isinstance(size, int) and size > MOST_KEPT_BYTES:
        raise ValueError(f"larger than {MOST_PAYLOAD_BYTES // 2**20} MiB: {size} bytes")
    numbers = (id, lane, *row[2:7])
    if not (isinstance(kept, bytes) and all(isinstance(n, int) for n in (*numbers, coded, windows, first_seq))):
        raise ValueError("values of the wrong type")
    if check != checksum(checked(numbers, windows, first_seq), kept, coded):
        raise ValueError("checksum wrong")
    if lane not in LANES_BY_WORTH:
        raise ValueError(f"lane {lane}, which there is none")
    payload = b""
    if not locked:
        payload = compression.decode(Place(topic, boot, seq, (id, lane, start_ms, end_ms, windows, first_seq)), kept, coded)
    return Message(topic, boot, seq, Lane(max(0, lane)), start_ms, end_ms, payload)
