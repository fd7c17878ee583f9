"""Payload formats: one document, and the ways to write it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import cbor2
import orjson
import zstandard

FormatName = Literal["json", "json+zstd", "cbor", "columns", "columns+zstd", "columns+cbor", "plain"]

LARGEST_DOCUMENT_BYTES: Final = 16 << 20
_LARGEST_OBJECTS_BYTES: Final = 64 << 20
_OBJECT_BYTES, _ARRAY_BYTES, _VALUE_BYTES = 232, 64, 60
"""Of memory: what an object of JSON, an array and a value take at least once they are read."""
_MOST_CBOR_CONTAINERS: Final = 1_000_000
_NOT_CONTAINERS: Final = bytes(byte for byte in range(256) if not 0x80 <= byte < 0xC0)
_MOST_DEPTH: Final = 100
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"  # RFC 8878, 3.1.1
_CBOR_MAP: Final = 5  # major type in the top three bits (RFC 8949, 3.1)
_compressor: Final = zstandard.ZstdCompressor(level=3)
_decompressor: Final = zstandard.ZstdDecompressor()


@dataclass(frozen=True, slots=True)
class Format:
    """One way to write a document."""

    content_type: str
    """Its media type."""
    write: Callable[[bytes], bytes]
    """Returns the payload of a document that is given as JSON text."""
    columns: bool = False
    """Rows of windows and summaries are written as columns (`encoding.columns`)."""
    plain: bool = False
    """The value of a tag goes without anything around it, where a layout has a topic for each tag."""


def _same(document: bytes) -> bytes:
    return document


def _cbor(document: bytes) -> bytes:
    return cbor2.dumps(orjson.loads(document))


FORMATS: Final[dict[FormatName, Format]] = {
    "json": Format("application/json", _same),
    "json+zstd": Format("application/json+zstd", _compressor.compress),
    "cbor": Format("application/cbor", _cbor),
    "plain": Format("application/json", _same, plain=True),
    "columns": Format("application/json", _same, columns=True),
    "columns+zstd": Format("application/json+zstd", _compressor.compress, columns=True),
    "columns+cbor": Format("application/cbor", _cbor, columns=True),
}


def read_document(payload: bytes) -> Any:
    """Return the document in a payload of any format.

    Which one it is, its first bytes say (a document is never a bare number or text). Raises ValueError, also for a document
    of more than 16 MiB, one that would take more than 64 MiB of memory, and one of more than 100 levels: whoever publishes
    may write anything.
    """
    if payload.startswith(_ZSTD_MAGIC):
        payload = _decompressed(payload)
    if len(payload) > LARGEST_DOCUMENT_BYTES:
        raise ValueError(f"a document of {len(payload)} bytes; expected {LARGEST_DOCUMENT_BYTES} at most")
    if payload and payload[0] >> 5 == _CBOR_MAP:
        return _read_cbor(payload)
    if (needed := _memory_bytes(payload)) > _LARGEST_OBJECTS_BYTES:
        raise ValueError(f"a document that would take {needed} bytes of memory; expected {_LARGEST_OBJECTS_BYTES} at most")
    try:
        document = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    if _is_deeper(document, _MOST_DEPTH):
        raise ValueError(f"a document of more than {_MOST_DEPTH} levels")
    return document


def _memory_bytes(payload: bytes) -> int:
    """Return about how much memory a JSON text takes once it is read. Too much where braces and commas stand in texts."""
    values = payload.count(b",")
    return payload.count(b"{") * _OBJECT_BYTES + payload.count(b"[") * _ARRAY_BYTES + values * _VALUE_BYTES + len(payload)


def _read_cbor(payload: bytes) -> Any:
    """Return a CBOR document of the types that JSON has, which are all that a gateway writes. Raises ValueError.

    Tags stand for everything else, references and numbers of any length among it. A container takes one byte here and 64 in
    memory, so every byte that could begin one counts.
    """
    if (count := len(payload.translate(None, _NOT_CONTAINERS))) > _MOST_CBOR_CONTAINERS:
        raise ValueError(f"a document of as many as {count} containers; expected {_MOST_CBOR_CONTAINERS} at most")
    try:
        document = cbor2.loads(payload, max_depth=_MOST_DEPTH, semantic_decoders=_NO_TAGS, tag_hook=_refuse_tag)
        orjson.dumps(document)
    except (cbor2.CBORDecodeError, RecursionError) as error:
        raise ValueError(f"not CBOR: {error}") from None
    except orjson.JSONEncodeError as error:  # bytes, keys that are numbers, integers of more than 64 bits
        raise ValueError(f"not a document that JSON could carry: {error}") from None
    return document


def _refuse_tag(*_: Any) -> Any:
    raise ValueError("a tag, which no gateway writes")


_NO_TAGS: Final = dict.fromkeys(range(300), _refuse_tag)
"""For each tag that cbor2 would decode by itself: up to 261 (networks) and 258 (sets); others get to `tag_hook`."""


def _is_deeper(document: Any, most: int) -> bool:
    level = [document] if isinstance(document, dict | list) else []
    for _ in range(most):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _decompressed(payload: bytes) -> bytes:
    try:
        claimed = zstandard.frame_content_size(payload)
        if claimed > LARGEST_DOCUMENT_BYTES:
            raise ValueError(f"not zstd: it claims {claimed} bytes")
        return _decompressor.decompress(payload, max_output_size=LARGEST_DOCUMENT_BYTES)
    except zstandard.ZstdError as error:
        raise ValueError(f"not zstd: {error}") from None
