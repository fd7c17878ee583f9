"""Events of a device as a whole."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from gateway.core.events.event import Concern, Event, LogLevel, Positive


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceStateChanged(Event):
    """A change of a device's state."""

    kind: ClassVar[str] = "device"
    concerns: ClassVar[Concern] = "device"

    state: Literal["ok", "degraded", "down"]
    """The new state."""
    reason: str
    """A sentence for people, empty when ok."""

    @property
    def severity(self) -> int:
        """Return 1 for a device that is ok again, else 600."""
        return 1 if self.state == "ok" else 600

    @property
    def log_level(self) -> LogLevel:
        """Return `info` for a device that is ok again, else `warning`."""
        return "info" if self.state == "ok" else "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplesLost(Event):
    """Samples that were lost on the device's side, without sequence numbers of ours."""

    kind: ClassVar[str] = "samples_lost"
    concerns: ClassVar[Concern] = "device"
    severity: ClassVar[int] = 500

    reason: str
    """How they were lost, and what to do."""
    at_least: Positive
    """How many are known to be lost."""
