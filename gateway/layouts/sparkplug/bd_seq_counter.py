"""The counter of CONNECT packets that Sparkplug calls bdSeq (3.0.0, 6.4.19), kept over restarts."""

from pathlib import Path
from typing import Final

import structlog

from gateway.core.private_files import write_private

log = structlog.get_logger("sparkplug")

_MODULUS: Final = 256


class BdSeqCounter:
    """Counts 0 to 255 and again from 0, kept in a file of its own.

    A file that cannot be read counts as new, one that cannot be written costs the memory of this run only: neither stops
    anything.
    """

    def __init__(self, path: Path) -> None:
        """Read nothing yet."""
        self._path = path
        self._last: int | None = None
        self._is_logged = False

    def next(self) -> int:
        """Return the next number, written to disk before. Blocks for one small write."""
        if self._last is None:
            self._last = self._read()
        self._last = (self._last + 1) % _MODULUS
        try:
            self._write(self._last)
        except OSError as error:
            if not self._is_logged:
                log.warning("cannot be kept", file=str(self._path), reason=error.strerror)
            self._is_logged = True
        return self._last

    def _read(self) -> int:
        try:
            return int(self._path.read_text()) % _MODULUS
        except (OSError, ValueError):
            return -1

    def _write(self, number: int) -> None:
        write_private(self._path, f"{number}\n".encode())
