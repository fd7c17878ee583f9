"""Notices that configuration or trust are other ones than before, also between two runs, and publishes security events."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from stat import S_ISREG
from typing import Final, Literal

from gateway.core.clock import Clock
from gateway.core.events.event import Event
from gateway.core.events.security import SecurityEvent, SecurityMatter
from gateway.core.ports.watermarks import Watermarks

_INTERVAL_S: Final = 10.0
_MOST_FILES: Final = 1000
_MOST_BYTES: Final = 2**20
_MOST_EVENTS: Final = 20
_CONFIGURATION, _TRUST = "security/configuration", "security/trust"


class ChangeWatch:
    """Compares the configuration's hash at the start, and the files that say which peers are trusted every ten seconds.

    What was there last is kept in the outbox's file. Nothing is reported where nothing was kept: that is a first start.
    """

    def __init__(self, places: Sequence[Path], store: Watermarks, report: Callable[[Event], None], clock: Clock) -> None:
        """places: files and folders of trusted certificates and revocation lists."""
        self._places = places
        self._store = store
        self._report = report
        self._clock = clock

    def report_configuration(self, new_hash: str, folder: Path) -> None:
        """Report the configuration that runs from now on, if it is another one than that of the run before."""
        before = self._kept(_CONFIGURATION)
        if before != new_hash:
            self._store.put(_CONFIGURATION, new_hash.encode())
            if before:
                self._report_change("configuration_changed", folder, f"configuration {new_hash}, before {before}")

    def follow(self, places: Sequence[Path]) -> None:
        """Look at the trusted files of another configuration from now on; those that it names anew are reported as added."""
        self._places = places

    def report_refused(self, folder: Path, problem: str) -> None:
        """Report a configuration that is not taken, because it has a problem."""
        self._report_change("configuration_changed", folder, problem, is_accepted=False)

    async def run(self) -> None:
        """Compare the trusted files for ever."""
        while True:
            self.update(await asyncio.to_thread(trusted_files, self._places))
            await self._clock.sleep(_INTERVAL_S)

    def update(self, files: Mapping[str, str]) -> None:
        """Report each file that is new, changed or gone. files: their digests by path."""
        kept = self._kept(_TRUST)
        text = json.dumps(files, sort_keys=True)
        if text == kept:
            return
        self._store.put(_TRUST, text.encode())
        if not kept:
            return
        before: dict[str, str] = json.loads(kept)
        changes = [(path, "added" if path not in before else "changed") for path in files if files[path] != before.get(path)]
        changes += [(path, "removed") for path in before if path not in files]
        for path, what in changes[:_MOST_EVENTS]:
            digest = files.get(path) or before[path]
            self._report_change("trust_changed", Path(path), f"{what} (SHA-256 of the file {digest})")
        if len(changes) > _MOST_EVENTS:
            more = f"{len(changes) - _MOST_EVENTS} more files were added, changed or removed"
            self._report_change("trust_changed", Path(changes[-1][0]).parent, more)

    def _kept(self, key: str) -> str:
        stored = self._store.load(key)
        return stored.value.decode() if stored else ""

    def _report_change(self, what: SecurityMatter, source: Path, reason: str, *, is_accepted: bool = True) -> None:
        result: Literal["refused", "accepted"] = "accepted" if is_accepted else "refused"
        now_ns = self._clock.now_ns()
        self._report(SecurityEvent(time_ns=now_ns, what=what, source=str(source), result=result, reason=reason))


def trusted_files(places: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of each file in these places, by path. Blocks for reading them; what cannot be read is left out."""
    found: dict[str, str] = {}
    for place in dict.fromkeys(places):
        try:
            paths = sorted(islice(place.rglob("*"), _MOST_FILES)) if place.is_dir() else [place]
        except OSError:
            continue
        for path in paths:
            if (digest := _digest(path)) and len(found) < _MOST_FILES:
                found[str(path)] = digest
    return found


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file's first megabyte, empty where it is none or cannot be read."""
    try:
        if not S_ISREG(path.stat().st_mode):  # a pipe would keep us waiting for ever
            return ""
        with path.open("rb") as file:
            return hashlib.sha256(file.read(_MOST_BYTES)).hexdigest()
    except OSError:
        return ""
