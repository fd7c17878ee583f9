"""Events of the process: what limits and detectors find in the values of a tag."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from gateway.core.events.event import Concern, Count, Event, Measured

State = Literal["active", "cleared"]
"""Whether a condition holds from now on, or no more."""
AlarmKind = Literal["hihi", "hi", "lo", "lolo", "deviation", "rate_of_change", "off_normal", "discrepancy"]
Priority = Literal["high", "medium", "low"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitAlarm(Event):
    """A configured alarm of a tag that begins, ends or is said again (with tag)."""

    kind: ClassVar[str] = "alarm"
    concerns: ClassVar[Concern] = "tag"

    state: State
    """active: beyond the limit for the on-delay; cleared: back inside by more than the hysteresis for the off-delay."""
    condition: str
    """Name of the condition: its kind, unless it has a name of its own."""
    severity: int
    """How urgent, 1 to 1000."""
    value: Measured
    """The sample that passed the limit or came back, engineering units; null where an alarm is said again or removed."""
    limit: float
    """The configured limit: of the value, of its distance or rate; of a discrete tag a value that is normal."""
    alarm: AlarmKind | None = None
    """Which kind of alarm it is."""
    priority: Priority | None = None
    """The severity as one of three: low to 333, medium to 666, high above."""
    onset: int | None = None
    """When the value passed the limit, ms since the epoch: before `ts` by the on-delay. The same until it is cleared."""
    quality: Literal["good", "uncertain", "bad"] | None = None
    """Quality of the value. bad: the alarm stays as it was until there is a usable value."""
    message: str | None = None
    """The configured text."""
    reason: str | None = None
    """Why it is said, if not because of the value: the reason of a bad quality, `removed`, `shelved`, `unshelved`, `held`,
    `re_alarm`."""
    first_out: str | None = None
    """Of an alarm that begins: tag and condition of the first alarm of its device within `alarms.group`; its own, if it is
    that."""
    refresh: bool | None = None
    """true: nothing has changed; it is said again for those who know nothing yet."""

    @property
    def condition_state(self) -> tuple[str, bool]:
        """Return the limit, and whether it is passed."""
        return self.condition, self.state == "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmFlood(Event):
    """More changes of alarms than are published in a minute; each is counted here once, and its alarm said later."""

    kind: ClassVar[str] = "alarm_flood"
    severity: ClassVar[int] = 600

    start: int
    """Time of the first that is counted, ms since the epoch."""
    end: int
    """Time of the last, ms since the epoch."""
    raised: Count
    """Alarms that began."""
    cleared: Count
    """Alarms that ended."""
    quality: Count
    """Active alarms whose quality changed."""
    conditions: Count
    """How many different alarms these were."""
    top: Sequence[str]
    """Those that changed most often, ten at most: device/tag condition: count."""


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
    reason: str | None = None
    """Why it has cleared without a window: `tag removed or changed`, by a reload."""

    @property
    def condition_state(self) -> tuple[str, bool]:
        """Return `anomaly` with the detector, and whether it lasts."""
        return f"anomaly {self.detector}", self.state == "active"
