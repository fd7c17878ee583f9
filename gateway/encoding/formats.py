"""Payload formats: one document, three ways to write it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import cbor2
import orjson
import zstandard

FormatName = Literal["json", "json+zstd", "cbor"]

_LARGEST_DOCUMENT_BYTES: Final = 16 * 2**20
_MOST_VALUES: Final = 1_500_000
"""Commas and opening brackets in a JSON document: what a hostile one makes of memory grows with them."""
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


def _same(document: bytes) -> bytes:
    return document


def _cbor(document: bytes) -> bytes:
    return cbor2.dumps(orjson.loads(document))


FORMATS: Final[dict[FormatName, Format]] = {
    "json": Format("application/json", _same),
    "json+zstd": Format("application/json+zstd", _compressor.compress),
    "cbor": Format("application/cbor", _cbor),
}


def read_document(payload: bytes) -> Any:
    """Return the document in a payload of any format.

    Which one it is, its first bytes say (a document is never a bare number or text). Raises ValueError, also for more than
    16 MiB, whatever a compressed payload claims, and for more than 1.5 million values in JSON.
    """
    if len(payload) > _LARGEST_DOCUMENT_BYTES:
        raise ValueError(f"larger than 16 MiB: {len(payload)} bytes")
    if payload.startswith(_ZSTD_MAGIC):
        payload = _decompressed(payload)
    elif payload and payload[0] >> 5 == _CBOR_MAP:
        try:
            return cbor2.loads(payload)
        except (cbor2.CBORDecodeError, RecursionError) as error:
            raise ValueError(f"not CBOR: {error}") from None
    if payload.count(b",") + payload.count(b"[") + payload.count(b"{") > _MOST_VALUES:
        raise ValueError(f"more than {_MOST_VALUES} values")
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None


def _decompressed(payload: bytes) -> bytes:
    try:
        claimed = zstandard.frame_content_size(payload)
        if claimed > _LARGEST_DOCUMENT_BYTES:
            raise ValueError(f"not zstd: it claims {claimed} bytes")
        return _decompressor.decompress(payload, max_output_size=_LARGEST_DOCUMENT_BYTES)
    except zstandard.ZstdError as error:
        raise ValueError(f"not zstd: {error}") from None
