"""The two files in which a device's history is kept, and how they survive a power cut. Called on threads."""

import os
import threading
import zlib
from pathlib import Path
from typing import Any, Final

import orjson

MOST_BYTES: Final = 64 * 2**20
_BLOCK: Final = 4096


class Notebook:
    """A whole file, `NAME.json`, replaced now and then, and `NAME.note` with what has changed since.

    The note is written in place, 4 kB to a block that is allocated already: that costs a flash 4.2 kB (ext4, measured), a
    new file under an old name 66 kB. It has two places, written in turn and each with a check sum, so that a torn one leaves
    the other. A write has reached the disk when it returns. Raises OSError; ValueError when a file makes no sense.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._whole = folder / f"{name}.json"
        self._note = folder / f"{name}.note"
        self._writing = threading.Lock()
        self._asked = self._done = 0
        self._place = 0

    def __str__(self) -> str:
        return str(self._whole)

    def load(self) -> tuple[Any, Any]:
        """The whole and the note, each None where there is none."""
        whole = orjson.loads(_read(self._whole)) if self._whole.is_file() else None
        if not self._note.is_file():
            return whole, None
        content = _read(self._note)
        places = [_checked(content[at : at + _BLOCK]) for at in (0, _BLOCK)]
        written = [(note["serial"], place) for place, note in enumerate(places) if note is not None]
        if not written:
            raise ValueError(f"{self._note} is damaged")
        self._asked, place = max(written)
        self._place = 1 - place
        return whole, places[place]

    def ticket(self) -> int:
        """To be drawn in the order in which contents were made: an older one never takes the place of a newer one, although
        a thread goes on when the task that waits for it is cancelled."""
        self._asked += 1
        return self._asked

    def replace(self, content: bytes, ticket: int) -> None:
        """Write the whole file anew."""
        with self._writing:
            if ticket < self._done:
                return
            folder = self._whole.parent
            folder.mkdir(parents=True, exist_ok=True)
            new = self._whole.with_suffix(".new")
            with new.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._whole)
            _sync(folder)
            self._done = ticket

    def note(self, content: dict[str, Any], ticket: int) -> None:
        """Write the note. Raises ValueError when it is too large for its place."""
        block = _block(content | {"serial": ticket})
        with self._writing:
            if ticket < self._done:
                return
            if not self._note.is_file() or self._note.stat().st_size != 2 * _BLOCK:
                self._begin()
            with self._note.open("r+b", buffering=0) as file:
                file.seek(self._place * _BLOCK)
                file.write(block)
                os.fdatasync(file.fileno())
            self._place = 1 - self._place
            self._done = ticket

    def _begin(self) -> None:
        self._note.parent.mkdir(parents=True, exist_ok=True)
        with self._note.open("wb") as file:
            file.write(b" " * 2 * _BLOCK)
            file.flush()
            os.fsync(file.fileno())
        _sync(self._note.parent)

    def discard(self) -> None:
        """What cannot be renewed shall not be believed either."""
        with self._writing:
            self._note.unlink(missing_ok=True)
            self._whole.unlink(missing_ok=True)
            _sync(self._whole.parent)


def _read(path: Path) -> bytes:
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path} is larger than {MOST_BYTES} bytes")
    return path.read_bytes()


def _sync(folder: Path) -> None:
    """A new name survives a power cut only when its folder is on the disk, too."""
    place = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(place)
    finally:
        os.close(place)


def _block(content: dict[str, Any]) -> bytes:
    text = orjson.dumps(content)
    block = b"%08x %s" % (zlib.crc32(text), text)
    if len(block) > _BLOCK:
        raise ValueError(f"a note of {len(block)} bytes is too large")
    return block.ljust(_BLOCK)


def _checked(block: bytes) -> Any:
    try:
        if zlib.crc32(text := block[9:].rstrip()) != int(block[:8], 16):
            return None
        note = orjson.loads(text)
    except ValueError:
        return None
    return note if isinstance(note, dict) and isinstance(note.get("serial"), int) else None
