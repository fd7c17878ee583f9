"""Events of the process: what limits and detectors find in the values of a tag."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from gateway.core.events.event import Concern, Event, Measured

State = Literal["active", "cleared"]
"""Whether a condition holds from now on, or no more."""
LimitName = Literal["hihi", "hi", "lo", "lolo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitAlarm(Event):
    """A configured limit that a sample passed or left (with tag)."""

    kind: ClassVar[str] = "alarm"
    concerns: ClassVar[Concern] = "tag"

    state: State
    """active: at or beyond the limit; cleared: back inside by more than the hysteresis."""
    condition: LimitName
    """Which limit."""
    severity: int
    """800 for hihi and lolo, 500 for hi and lo."""
    value: Measured
    """The sample that passed the limit, engineering units."""
    limit: float
    """The configured limit, engineering units."""

    @property
    def condition_state(self) -> tuple[str, bool]:
        """Return the limit, and whether it is passed."""
        return self.condition, self.state == "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly(Event):
    """A tag that behaves unlike itself: it begins, is confirmed (active again, more severe), or is over."""

    kind: ClassVar[str] = "anomaly"
    concerns: ClassVar[Concern] = "tag"

    state: State
    """active: the score reached the threshold; cleared: it is over."""
    detector: str
    """Name of the detector."""
    severity: int = 400
    """How severe, 1 to 1000: of `own_range` 200 for an advisory and 500 for an alarm, 400 of others."""
    value: Measured
    """What was evaluated, engineering units."""
    score: Measured
    """How unusual it is: of `ewma` the distance from `expected` in standard deviations, of `own_range` in margins beyond all
    that was seen before (from 1 it counts)."""
    expected: Measured
    """What the detector expected instead of `value`, engineering units."""
    causes: tuple[str, ...] | None = None
    """What is unusual, the strongest first, three at most, in words."""
    rebased: bool | None = None
    """true: it has not ended by itself, but lasted so long that it is taken as normal from now on."""

    @property
    def condition_state(self) -> tuple[str, bool]:
        """Return `anomaly` with the detector, and whether it lasts."""
        return f"anomaly {self.detector}", self.state == "active"
