"""How the disk is, as the world is told of it."""

from collections.abc import Callable
from typing import Final

from gateway.core.clock import Clock
from gateway.core.messages import Event

SEVERITY: Final = {"refused": 700, "recovered": 1, "damaged": 800, "rescued": 300, "moved": 400}
"""Of what is told, 1 to 1000 (OPC UA Part 9, 5.5.2), by `state`."""


class Health:
    """Tells of each change once. refused: why the disk takes nothing at present, or empty."""

    def __init__(self, clock: Clock, report: Callable[[Event], None]) -> None:
        """report: see `Outbox`."""
        self.refused = ""
        self._clock, self._report = clock, report

    def refuse(self, error: Exception) -> None:
        """The disk takes nothing."""
        if not self.refused:
            self.refused = str(error) or type(error).__name__
            self.tell("refused", reason=self.refused)

    def recover(self) -> None:
        """The disk has taken something."""
        if self.refused:
            self.refused = ""
            self.tell("recovered")

    def tell(self, state: str, **detail: object) -> None:
        """Report an event `outbox`."""
        detail = {"state": state, **detail, "severity": SEVERITY[state]}
        self._report(Event("outbox", self._clock.now_ns(), detail=detail))
