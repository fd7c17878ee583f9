"""Segment files: chunks one after the other, each with its length and checksum. Blocking; called from threads."""

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import orjson
from numpy.typing import NDArray

from gateway.core.private_files import open_private
from gateway.live.history.chunks import FRAME_TYPE, Chunk
from gateway.live.history.columns import Damaged

SUFFIX: Final = ".gwh"
_MAGIC: Final = b"GWHIST1\n"
_RECORD: Final = struct.Struct("<4sBIII")
"""Mark, kind, bytes, frames, checksum (CRC-32) of what follows."""
_MARK: Final = b"\xf5REC"
_NAMES, _CHUNK = 0, 1
MOST_RECORD_BYTES: Final = 1 << 28
_MOST_NAMES_BYTES: Final = 1 << 26
SeriesName = tuple[str, str]
"""Device and tag."""


@dataclass(slots=True, eq=False)
class StoredChunk:
    """A chunk in a file, without its bytes."""

    frames: NDArray[np.void]
    """`FRAME_TYPE`, as in `Chunk`."""
    at: int
    """Where its frames begin in the file."""
    begin: int
    """Earliest time, ns."""
    end: int
    """Latest time, ns."""


@dataclass(slots=True, eq=False)
class Segment:
    """One file, as far as it is sound."""

    path: Path
    """Where it is."""
    size: int = len(_MAGIC)
    """Bytes that are sound."""
    names: list[SeriesName] = field(default_factory=list)
    """Device and tag of each series of this file."""
    chunks: list[StoredChunk] = field(default_factory=list)
    """Its chunks, in the order in which they were written."""
    damage: str = ""
    """What is wrong behind `size`, empty for nothing."""

    @property
    def end(self) -> int:
        """Return the latest time of all rows, 0 without rows."""
        return max((chunk.end for chunk in self.chunks), default=0)


class SegmentWriter:
    """Appends to one new file. Every method raises OSError."""

    def __init__(self, path: Path) -> None:
        """Make the file, for its user only; one that is there already is an error."""
        self.segment = Segment(path)
        self._fd = open_private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND)
        try:
            _write(self._fd, _MAGIC)
            _sync_folder(path.parent)
        except OSError:
            self.close()
            raise

    def add_names(self, names: Sequence[SeriesName]) -> None:
        """Append names of further series."""
        body = zlib.compress(orjson.dumps(names), 1)
        self._append(_NAMES, body, 0)
        self.segment.names += names

    def add(self, chunk: Chunk) -> None:
        """Append a chunk, and have the disk take it."""
        head = chunk.frames.tobytes()
        at = self.segment.size + _RECORD.size + len(head)
        self._append(_CHUNK, head + chunk.data, len(chunk.frames))
        os.fdatasync(self._fd)
        self.segment.chunks.append(StoredChunk(chunk.frames, at, chunk.begin, chunk.end))

    def _append(self, kind: int, body: bytes, frames: int) -> None:
        record = _RECORD.pack(_MARK, kind, len(body), frames, zlib.crc32(body, kind)) + body
        try:
            _write(self._fd, record)
        except OSError:
            # Half a record would hide what is written behind it.
            os.ftruncate(self._fd, self.segment.size)
            raise
        self.segment.size += len(record)

    def close(self) -> None:
        """Close the file; more than once does no harm."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


def read_segment(path: Path) -> Segment:
    """Return what a file has, whatever its content: what follows the first damage is not read. Raises OSError.

    The bytes of frames are not read, so damage in them is found when they are (`read_frames`).
    """
    segment = Segment(path)
    with os.fdopen(open_private(path, os.O_RDONLY), "rb") as file:
        length = os.fstat(file.fileno()).st_size
        if file.read(len(_MAGIC)) != _MAGIC:
            segment.size, segment.damage = 0, "no history file"
            return segment
        while segment.size < length and not segment.damage:
            try:
                _read_record(file.fileno(), segment, length)
            except (struct.error, ValueError, zlib.error, MemoryError, RecursionError) as error:
                segment.damage = str(error) or "damaged"
    return segment


def _read_record(fd: int, segment: Segment, length: int) -> None:
    """Add the record at `segment.size`. Raises ValueError and others for what is none."""
    mark, kind, size, frames, crc = _RECORD.unpack(os.pread(fd, _RECORD.size, segment.size))
    at = segment.size + _RECORD.size
    if mark != _MARK or kind not in (_NAMES, _CHUNK) or size > MOST_RECORD_BYTES:
        raise Damaged("a record is damaged")
    if at + size > length:
        raise Damaged("the last record is cut off")
    if kind == _NAMES:
        body = os.pread(fd, size, at)
        if zlib.crc32(body, kind) != crc:
            raise Damaged("a list of names is damaged")
        segment.names += _read_names(body)
    else:
        segment.chunks.append(_read_chunk(fd, at, size, frames))
    segment.size = at + size


def _read_names(body: bytes) -> list[SeriesName]:
    unpacked = zlib.decompressobj()
    names = orjson.loads(unpacked.decompress(body, _MOST_NAMES_BYTES))
    if not isinstance(names, list):
        raise Damaged("a list of names is damaged")
    return [(str(device), str(tag)) for device, tag in names]


def _read_chunk(fd: int, at: int, size: int, frames: int) -> StoredChunk:
    head = frames * FRAME_TYPE.itemsize
    if not frames or head > size:
        raise Damaged("a record is damaged")
    places = np.frombuffer(os.pread(fd, head, at), FRAME_TYPE)
    if places.size != frames or int(places["size"].sum(dtype=np.uint64)) != size - head:
        raise Damaged("a record is damaged")
    return StoredChunk(places, at + head, int(places["begin"].min()), int(places["end"].max()))


def last_is_sound(segment: Segment) -> bool:
    """Return whether the last chunk of a file has its checksum: after a power cut it may not. Raises OSError."""
    if not segment.chunks:
        return True
    chunk = segment.chunks[-1]
    head = chunk.frames.nbytes
    start = chunk.at - head - _RECORD.size
    size = head + int(chunk.frames["size"].sum(dtype=np.uint64))
    fd = open_private(segment.path, os.O_RDONLY)
    try:
        _, kind, _, _, crc = _RECORD.unpack(os.pread(fd, _RECORD.size, start))
        return zlib.crc32(os.pread(fd, size, start + _RECORD.size), kind) == int(crc)
    finally:
        os.close(fd)


def drop_last(segment: Segment) -> None:
    """Leave the last chunk of a file out."""
    chunk = segment.chunks.pop()
    segment.size = chunk.at - chunk.frames.nbytes - _RECORD.size
    segment.damage = segment.damage or "the last record is damaged"


def cut(segment: Segment) -> None:
    """Cut off what is damaged at the end of a file. Raises OSError."""
    fd = open_private(segment.path, os.O_WRONLY)
    try:
        os.ftruncate(fd, segment.size)
    finally:
        os.close(fd)


def read_frames(segment: Segment, wanted: Sequence[tuple[StoredChunk, int, int]]) -> Iterator[bytes]:
    """Yield the bytes of frames: their chunk, their place in it and their length. Raises OSError."""
    if not wanted:
        return
    fd = open_private(segment.path, os.O_RDONLY)
    try:
        for chunk, place, size in wanted:
            yield os.pread(fd, size, chunk.at + place)
    finally:
        os.close(fd)


def is_empty(path: Path) -> bool:
    """Return whether a file has not even a beginning, as a power cut leaves one that was just made. Raises OSError."""
    with os.fdopen(open_private(path, os.O_RDONLY), "rb") as file:
        head = file.read(len(_MAGIC))
    return len(head) < len(_MAGIC) or not any(head)


def _sync_folder(folder: Path) -> None:
    """Have the disk know the names of a folder: else a power cut may cost a file that was synced."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
