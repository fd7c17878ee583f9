"""Watermarks in memory: a dictionary is the disk, so that the next run in a test finds what the last one left."""

from collections.abc import Callable

from gateway.core.clock import Clock, SystemClock
from gateway.core.ports.plugin import SourceServices
from gateway.core.ports.watermarks import StoredWatermark

Disk = dict[str, StoredWatermark]


class FakeWatermarks:
    """The `Watermarks` port over a `Disk`. What was put reaches it by `flush` or `commit`."""

    def __init__(self, disk: Disk | None = None) -> None:
        self.disk: Disk = {} if disk is None else disk
        self.refuses = False
        """The disk takes nothing."""
        self.commits = 0
        self._newest: Disk = dict(self.disk)
        self._changed: set[str] = set()
        self._refreshes: list[Callable[[], None]] = []

    def load(self, key: str) -> StoredWatermark | None:
        return self._newest.get(key)

    def put(self, key: str, value: bytes) -> None:
        self._newest[key] = StoredWatermark(value)
        self._changed.add(key)

    def is_durable(self, key: str) -> bool:
        return key in self._newest and key not in self._changed

    async def flush(self, key: str) -> bool:
        if not self.is_durable(key) and not self.commit():
            self._newest[key] = StoredWatermark(self._newest[key].value, is_certain=False)
            for old in self.disk:
                self.disk[old] = StoredWatermark(self.disk[old].value, is_certain=False)
            return False
        return True

    def before_commit(self, refresh: Callable[[], None]) -> None:
        self._refreshes.append(refresh)

    def commit(self) -> bool:
        """A commit of the outbox that happens now. Returns whether the disk took it."""
        if self.refuses:
            return False
        for refresh in self._refreshes:
            refresh()
        self.commits += bool(self._changed)
        self.disk.update({key: self._newest[key] for key in self._changed})
        self._changed.clear()
        return True


def services(clock: Clock | None = None) -> SourceServices:
    """What a plug-in's `build` is given where nothing is kept."""
    return SourceServices(clock or SystemClock(), FakeWatermarks())
