"""A small number that goes on counting over restarts."""

import os
from pathlib import Path

import structlog

log = structlog.get_logger("counter")


class BdSeqCounter:
    """Counts 0, 1 ... modulus - 1 and again from 0, kept in a file of its own.

    A file that cannot be read counts as new, one that cannot be written costs the memory of this run only: neither stops
    anything.
    """

    def __init__(self, path: Path, modulus: int) -> None:
        self._path = path
        self._modulus = modulus
        self._last: int | None = None
        self._told = False

    def next(self) -> int:
        """The next number, written to disk before it is returned. Blocks for one small write."""
        if self._last is None:
            self._last = self._read()
        self._last = (self._last + 1) % self._modulus
        try:
            self._write(self._last)
        except OSError as error:
            if not self._told:
                log.warning("cannot be kept", file=str(self._path), reason=error.strerror)
            self._told = True
        return self._last

    def _read(self) -> int:
        try:
            return int(self._path.read_text()) % self._modulus
        except (OSError, ValueError):
            return -1

    def _write(self, number: int) -> None:
        fresh = self._path.with_name(self._path.name + ".new")
        with fresh.open("w") as file:
            file.write(f"{number}\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
