"""Events that only layout sparkplug leads to."""

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from gateway.core.events.event import Concern, Event, LogLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class BirthRefused(Event):
    """A birth that the broker does not take (layout sparkplug); the data of its device are set aside."""

    kind: ClassVar[str] = "birth"
    concerns: ClassVar[Concern] = "device or gateway"
    severity: ClassVar[int] = 700
    log_level: ClassVar[LogLevel] = "warning"

    state: Literal["refused"] = "refused"
    """Always refused."""
    name: str
    """The device, which may be no longer configured."""
    reason: str
    """What the broker says."""


SPARKPLUG_EVENTS: Final[tuple[type[Event], ...]] = (BirthRefused,)
