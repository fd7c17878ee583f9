"""From the bytes of a connection to complete chunks (OPC UA Part 6, 6.7.2 and 7.1.2): pure, each byte is copied once.

A chunk is refused at its header, before its body is waited for.
"""

from typing import Final

CHUNK_BYTES: Final = 65_535
"""The longest chunk that we announce in Hello."""
_MOST_BYTES: Final = {b"ACK": 64, b"ERR": 4_352, b"OPN": 32_768, b"MSG": 65_536, b"CLO": 256}
"""Of a chunk by the type of its message, header included; Error has a reason of up to 4,096 bytes (Part 6, 7.1.2.5)."""
_HEADER_BYTES: Final = 8
_FINAL_ONLY: Final = frozenset({b"ACK", b"ERR", b"CLO"})


class BadChunk(ValueError):
    """The other end sends what is no chunk of OPC UA, or one that is longer than it may be."""


class ChunkBuffer:
    """The bytes of one connection that are not processed yet: at most one chunk and what one read of the socket brings."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._at = 0

    def append(self, data: bytes) -> None:
        """Add what was received."""
        del self._data[: self._at]
        self._at = 0
        self._data += data

    def next_chunk(self) -> bytes | None:
        """Return the next complete chunk, None when more bytes are needed. Raises BadChunk, as soon as a header shows it."""
        size = self._size_of_next()
        if size is None or len(self._data) - self._at < size:
            return None
        begin, self._at = self._at, self._at + size
        return bytes(memoryview(self._data)[begin : self._at])

    def _size_of_next(self) -> int | None:
        head = bytes(self._data[self._at : self._at + _HEADER_BYTES])
        kind = head[:3]
        if len(kind) == 3 and kind not in _MOST_BYTES:
            raise BadChunk(f"the server sends what is not OPC UA ({head.hex(' ')})")
        if len(head) < _HEADER_BYTES:
            return None
        if head[3:4] not in (b"F" if kind in _FINAL_ONLY else b"FCA"):
            raise BadChunk(f"the server sends a chunk of an unknown kind ({head.hex(' ')})")
        size = int.from_bytes(head[4:], "little")
        if not _HEADER_BYTES < size <= _MOST_BYTES[kind]:
            raise BadChunk(f"the server sends a chunk of {size:,} bytes; {_MOST_BYTES[kind]:,} were agreed")
        return size
