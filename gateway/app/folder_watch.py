"""Notices that a configuration folder has changed, by looking at it."""

import asyncio
import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Final

from gateway.core.clock import Clock

_LOOK_S: Final = 2.0
_MOST_FILES: Final = 20_000
_PLACES: Final = ("devices", "tags", "templates")

Seen = tuple[tuple[str, int, int, int], ...]
"""Path, inode, size and time of change of each file."""


class FolderWatch:
    """Looks every two seconds and asks for a reload once a change has come to rest, that is, is the same twice.

    Links are followed, so the one link that Kubernetes replaces in a ConfigMap changes every file. A look costs a system
    call for each file, on a thread; it works where notifications do not (network file systems, mounts of single files).
    """

    def __init__(self, folder: Path, is_on: Callable[[], bool], changed: Callable[[], None], clock: Clock) -> None:
        """is_on: whether to look. changed: called after a change."""
        self._folder = folder
        self._is_on = is_on
        self._changed = changed
        self._clock = clock

    async def run(self) -> None:
        """Look for ever."""
        known = latest = await asyncio.to_thread(look, self._folder)
        while True:
            await self._clock.sleep(_LOOK_S)
            seen = await asyncio.to_thread(look, self._folder) if self._is_on() else latest
            if seen == latest and seen != known:
                known = seen
                self._changed()
            latest = seen


def look(folder: Path) -> Seen:
    """Return what is in a configuration folder. Blocks; what cannot be looked at is left out."""
    paths = [folder / "gateway.yaml"]
    for place in _PLACES:
        paths += islice((folder / place).rglob("*"), _MOST_FILES)
    found = []
    for path in paths:
        try:
            of_file = os.stat(path)
        except OSError:
            continue
        found.append((str(path), of_file.st_ino, of_file.st_size, of_file.st_mtime_ns))
    return tuple(sorted(found))
