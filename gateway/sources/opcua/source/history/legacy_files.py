"""The two files in which versions before watermarks kept a device's history: taken over once, then removed."""

import zlib
from pathlib import Path
from typing import Any, Final

import orjson
import structlog

log = structlog.get_logger("opcua")

MOST_BYTES: Final = 64 * 2**20
_BLOCK: Final = 4096


class LegacyFiles:
    """`NAME.json`, written anew now and then, and `NAME.note` with what had changed since.

    The note has two places of 4 kB, which were written in turn, each with a checksum; the one with the higher serial number
    counts.
    """

    def __init__(self, folder: Path, name: str) -> None:
        """Name the files; reads nothing."""
        self._whole = folder / f"{name}.json"
        self._note = folder / f"{name}.note"

    def __str__(self) -> str:
        return str(self._whole)

    @property
    def exist(self) -> bool:
        """Return whether there is one of the two. A folder that cannot be read has none."""
        try:
            return self._whole.is_file() or self._note.is_file()
        except OSError:
            return False

    def load(self) -> tuple[Any, Any]:
        """Return the whole and the note, each None where there is none. Raises OSError, and ValueError for nonsense."""
        whole = orjson.loads(_read(self._whole)) if self._whole.is_file() else None
        if not self._note.is_file():
            return whole, None
        content = _read(self._note)
        notes = [note for at in (0, _BLOCK) if (note := _checked(content[at : at + _BLOCK])) is not None]
        if not notes:
            raise ValueError(f"{self._note} is damaged")
        return whole, max(notes, key=lambda note: int(note["serial"]))

    def remove(self) -> None:
        """Remove both: what they say is in the outbox, or is not true any more. What cannot be removed is logged."""
        try:
            self._note.unlink(missing_ok=True)
            self._whole.unlink(missing_ok=True)
        except OSError as error:
            log.warning("a file is of no use any more and cannot be removed", file=str(self._whole), reason=error.strerror)


def _read(path: Path) -> bytes:
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path} is larger than {MOST_BYTES} bytes")
    return path.read_bytes()


def _checked(block: bytes) -> Any:
    try:
        if zlib.crc32(text := block[9:].rstrip()) != int(block[:8], 16):
            return None
        note = orjson.loads(text)
    except ValueError:
        return None
    return note if isinstance(note, dict) and isinstance(note.get("serial"), int) else None
