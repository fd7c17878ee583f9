"""The history files of a gateway: segments of samples, minutes and ten minutes, within a ceiling. Blocking, for threads."""

import errno
import os
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import numpy as np

from gateway.live.history.chunks import Chunk, Series, chosen_frames
from gateway.live.history.config import HistoryFilesConfig
from gateway.live.history.segments import (
    SUFFIX,
    Segment,
    SegmentWriter,
    SeriesName,
    StoredChunk,
    cut,
    drop_last,
    is_empty,
    last_is_sound,
    read_frames,
    read_segment,
)

Kind = Literal["samples", "minutes", "ten_minutes"]
KINDS: Final[tuple[Kind, ...]] = ("samples", "minutes", "ten_minutes")
_NAME: Final = re.compile(r"(samples|minutes|ten_minutes)-(\d{12})\.gwh")
_LARGEST_SEGMENT: Final = 64 * 2**20
_SMALLEST_SEGMENT: Final = 2**18
"""Three of them are within the 5 % of the smallest ceiling that samples always have."""
MOST_SEGMENTS: Final = 5_000
"""Files of one kind: each start begins a new one."""


@dataclass(frozen=True, slots=True)
class FoundFrame:
    """A frame of a file, as it was read."""

    data: bytes
    """Its bytes."""
    names: Sequence[SeriesName]
    """Device and tag of each series of its file."""
    series: Series
    """The series of its file that were asked for, ascending."""


@dataclass(slots=True, eq=False)
class _Tier:
    """The files of one kind, oldest first."""

    segments: list[Segment] = field(default_factory=list)
    writer: SegmentWriter | None = None
    number: int = 0

    @property
    def bytes(self) -> int:
        return sum(segment.size for segment in self.segments)


class HistoryFiles:
    """All files of one folder. One thread writes; others may read meanwhile.

    Attributes:
        damage: what was found damaged since this was last emptied, for people.
    """

    def __init__(self, path: Path) -> None:
        """Begin without having looked at the folder."""
        self._path = path
        self._lock = threading.Lock()
        self._tiers: dict[Kind, _Tier] = {kind: _Tier() for kind in KINDS}
        self.damage: list[str] = []

    def open(self, *, is_writer: bool = True) -> None:
        """Read which files there are. Raises OSError.

        is_writer: make the folder when missing, and cut damaged ends off.
        """
        if is_writer:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._path.is_symlink():
                raise OSError(errno.ELOOP, "the folder of the history is a symbolic link", str(self._path))
        tiers: dict[Kind, _Tier] = {kind: _Tier() for kind in KINDS}
        alike: dict[tuple[SeriesName, ...], list[SeriesName]] = {}
        for name in sorted(os.listdir(self._path)):
            if (match := _NAME.fullmatch(name)) is None:
                continue
            kind: Kind = next(kind for kind in KINDS if kind == match[1])
            segment = self._read(self._path / name, is_writer=is_writer)
            tiers[kind].number = max(tiers[kind].number, int(match[2]))
            if segment is not None:
                segment.names = alike.setdefault(tuple(segment.names), segment.names)
                tiers[kind].segments.append(segment)
        with self._lock:
            self._tiers = tiers

    def _read(self, path: Path, *, is_writer: bool) -> Segment | None:
        try:
            segment = read_segment(path)
            if not segment.damage and not last_is_sound(segment):
                drop_last(segment)
            if segment.damage:
                self.damage.append(f"{path.name}: {segment.damage}")
                if is_writer and segment.size:
                    cut(segment)
                elif is_writer and is_empty(path):
                    path.unlink()
        except OSError as error:
            self.damage.append(f"{path.name}: {error.strerror or error}")
            return None
        return segment if segment.chunks else None

    def add(self, kind: Kind, chunk: Chunk, names: Sequence[SeriesName], config: HistoryFilesConfig, now_ns: int) -> None:
        """Append a chunk, durably, and remove what is above the ceilings. names: of all series. Raises OSError.

        Where less is free than is left to others nothing is written: that is an OSError too (ENOSPC).
        """
        self._check_room(config, len(chunk.data))
        tier = self._tiers[kind]
        largest = min(_LARGEST_SEGMENT, max(_SMALLEST_SEGMENT, config.max_bytes // 64))
        if tier.writer is not None and tier.writer.segment.size + len(chunk.data) > largest:
            tier.writer.close()
            tier.writer = None
        if tier.writer is None:
            path = self._path / f"{kind}-{tier.number + 1:012d}{SUFFIX}"
            writer = SegmentWriter(path)
            tier.number += 1
            with self._lock:
                tier.writer = writer
                tier.segments.append(writer.segment)
        known = len(tier.writer.segment.names)
        if known < len(names):
            tier.writer.add_names(names[known:])
        tier.writer.add(chunk)
        self._remove(config, now_ns)

    def _check_room(self, config: HistoryFilesConfig, size: int) -> None:
        found = os.statvfs(self._path)
        free, total = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
        if free - size < min(config.keep_free, total // 5):
            raise OSError(errno.ENOSPC, f"{free >> 20} MiB are free, which are left to others (history.files.keep_free)")

    def _remove(self, config: HistoryFilesConfig, now_ns: int) -> None:
        """Remove the oldest files above the ceilings: ten minutes come first, then minutes, then samples."""
        reserve = config.max_bytes // 20
        left = config.max_bytes
        kinds: tuple[tuple[Kind, int, int], ...] = (
            ("ten_minutes", config.max_bytes * 3 // 10, 0),
            ("minutes", config.max_bytes, reserve),
            ("samples", config.max_bytes, 0),
        )
        for kind, share, others in kinds:
            tier = self._tiers[kind]
            most = min(share, left - others)
            while tier.segments and self._is_surplus(tier, most, now_ns - config.max_age):
                segment = tier.segments[0]
                if tier.writer is not None and tier.writer.segment is segment:
                    tier.writer.close()
                    tier.writer = None
                with self._lock:
                    del tier.segments[0]
                segment.path.unlink(missing_ok=True)
            left -= tier.bytes

    def _is_surplus(self, tier: _Tier, most: int, oldest_ns: int) -> bool:
        segment = tier.segments[0]
        is_open = tier.writer is not None and tier.writer.segment is segment
        too_old = not is_open and segment.end < oldest_ns
        return too_old or tier.bytes > most or len(tier.segments) > MOST_SEGMENTS

    def close(self) -> None:
        """Close the files that are written."""
        for tier in self._tiers.values():
            if tier.writer is not None:
                tier.writer.close()
                tier.writer = None

    @property
    def bytes(self) -> int:
        """Return the disk space of all files."""
        with self._lock:
            return sum(tier.bytes for tier in self._tiers.values())

    def begin(self, kind: Kind) -> int | None:
        """Return the earliest time of a kind, None without rows."""
        with self._lock:
            return min((chunk.begin for one in self._tiers[kind].segments for chunk in one.chunks), default=None)

    def names(self) -> set[SeriesName]:
        """Return device and tag of every series of all files."""
        with self._lock:
            return {name for tier in self._tiers.values() for one in tier.segments for name in one.names}

    def count(self, kind: Kind, names: set[SeriesName], begin: int, end: int) -> int:
        """Return how many frames `find` yields."""
        return sum(len(wanted) for _, _, _, wanted in self._wanted(kind, names, begin, end))

    def _wanted(
        self, kind: Kind, names: set[SeriesName], begin: int, end: int
    ) -> Iterator[tuple[Segment, Sequence[SeriesName], Series, list[tuple[StoredChunk, int, int]]]]:
        """Yield each file with its names, the series that are wanted of it, and its frames that may have rows."""
        with self._lock:
            tier = self._tiers[kind]
            segments = [(one, list(one.chunks), list(one.names)) for one in tier.segments if one.end >= begin]
        for segment, chunks, own in segments:
            series = np.array([number for number, name in enumerate(own) if name in names], np.uint32)
            if series.size:
                yield (
                    segment,
                    own,
                    series,
                    [
                        (chunk, place, size)
                        for chunk in chunks
                        if chunk.begin < end and chunk.end >= begin
                        for place, size in chosen_frames(chunk.frames, series, begin, end)
                    ],
                )

    def find(self, kind: Kind, names: set[SeriesName], begin: int, end: int) -> Iterator[FoundFrame]:
        """Yield the frames that may have rows of these tags from begin to before end, oldest file first.

        A file that cannot be read counts as damage.
        """
        for segment, own, series, wanted in self._wanted(kind, names, begin, end):
            try:
                for data in read_frames(segment, wanted):
                    yield FoundFrame(data, own, series)
            except FileNotFoundError:
                continue  # removed meanwhile: it was the oldest
            except OSError as error:
                self.damage.append(f"{segment.path.name}: {error.strerror or error}")
