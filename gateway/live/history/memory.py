"""Chunks in memory, within a ceiling of bytes and age."""

from collections import deque
from collections.abc import Iterator

from gateway.live.history.chunks import Chunk, Series, chosen_frames


class ChunkMemory:
    """The newest chunks of one kind.

    Attributes:
        bytes: memory that they take.
        forgotten_ns: the latest time of all rows that were forgotten, 0 for none.
    """

    def __init__(self, max_bytes: int, max_age_ns: int) -> None:
        """Begin without chunks. max_age_ns: 0 for no limit of age."""
        self._max_bytes = max_bytes
        self._max_age = max_age_ns
        self._chunks: deque[Chunk] = deque()
        self.bytes = 0
        self.forgotten_ns = 0

    def add(self, chunk: Chunk) -> None:
        """Add a chunk; the oldest ones go where there are too many bytes."""
        self._chunks.append(chunk)
        self.bytes += chunk.size
        while self._chunks and self.bytes > self._max_bytes:
            self._drop()

    def forget(self, now_ns: int) -> None:
        """Forget chunks of which every row is too old."""
        while self._max_age and self._chunks and self._chunks[0].end < now_ns - self._max_age:
            self._drop()

    def _drop(self) -> None:
        chunk = self._chunks.popleft()
        self.bytes -= chunk.size
        self.forgotten_ns = max(self.forgotten_ns, chunk.end)

    @property
    def rows(self) -> int:
        """Return how many rows all chunks have."""
        return sum(chunk.rows for chunk in self._chunks)

    @property
    def begin(self) -> int | None:
        """Return the earliest time of all rows, None without rows."""
        return min((chunk.begin for chunk in self._chunks), default=None)

    def find(self, series: Series, begin: int, end: int) -> Iterator[bytes]:
        """Yield the frames that may have rows of the series (ascending) from begin to before end, oldest chunk first."""
        for chunk in list(self._chunks):
            for place, size in chosen_frames(chunk.frames, series, begin, end):
                yield chunk.data[place : place + size]
