"""Tags and lengths of DER (X.690), read and written. Pure.

Lenient in one point: a length may have more bytes than it needs. What stands in an element is not looked at.
"""

from collections.abc import Iterator

_MOST_LENGTH_BYTES = 4
_HIGH_TAG = 0x1F


class NotDer(Exception):
    """These bytes are no element, or end too early."""


def element(content: bytes) -> tuple[int, bytes, bytes]:
    """Return tag, content and the whole of the first element. Raises NotDer."""
    if len(content) < 2 or content[0] & _HIGH_TAG == _HIGH_TAG:
        raise NotDer
    length, header = content[1], 2
    if length & 0x80:
        size = length & 0x7F
        header += size
        if not 1 <= size <= _MOST_LENGTH_BYTES or len(content) < header:
            raise NotDer
        length = int.from_bytes(content[2:header], "big")
    end = header + length
    if len(content) < end:
        raise NotDer
    return content[0], content[header:end], content[:end]


def elements(content: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield tag, content and the whole of each element, until the content ends. Raises NotDer."""
    while content:
        one = element(content)
        yield one
        content = content[len(one[2]) :]


def encoded(tag: int, content: bytes) -> bytes:
    """Return an element with the shortest length."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content
