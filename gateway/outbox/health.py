"""Health of the disk, as it is reported."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.core.clock import Clock
from gateway.core.events.delivery import OutboxState, OutboxStateChanged
from gateway.core.events.event import Event
from gateway.core.events.security import SecurityEvent
from gateway.outbox.witness import GONE


class Health:
    """The state of the disk, of which each change is reported once.

    refused: why the disk takes nothing at present, or empty.
    """

    def __init__(self, clock: Clock, report: Callable[[Event], None]) -> None:
        """report: see `Outbox`."""
        self.refused = ""
        self.since_ns = 0
        """Since when messages are in memory only, UTC, while `refused`."""
        self.on_changed: Callable[[], None] = lambda: None
        """Called when `refused` has changed."""
        self._clock, self._report = clock, report

    def refuse(self, error: Exception, since_ns: int) -> None:
        """Record that the disk takes nothing, so that what was put since then (UTC) is in memory only."""
        if not self.refused:
            self.refused = str(error) or type(error).__name__
            self.since_ns = since_ns
            self.report("refused", reason=self.refused, since=since_ns // 1_000_000)
            self.on_changed()

    def recover(self) -> None:
        """Record that the disk has taken something."""
        if self.refused:
            self.refused, self.since_ns = "", 0
            self.report("recovered")
            self.on_changed()

    def seal_broken(self, path: Path, reason: str, kept: Path | None) -> None:
        """Report that somebody without the key has changed the file, or that part of it is older than the rest."""
        text = f"{reason}; what is sealed is copied to a new file, the rest is in {kept or 'no file any more'}"
        now_ns = self._clock.now_ns()
        self._report(SecurityEvent(time_ns=now_ns, what="seal_broken", source=str(path), result="refused", reason=text))

    def vanished(self, lost: int, unknown: int) -> None:
        """Report that the file lacks messages that it had when the gateway stopped."""
        self.report("vanished", reason=GONE, lost=lost, unknown=unknown)

    def report(self, state: OutboxState, **fields: Any) -> None:
        """Report an event `outbox`."""
        self._report(OutboxStateChanged(time_ns=self._clock.now_ns(), state=state, **fields))
