"""One alarm of one tag, a sample at a time, in plain Python: what the columns of `stages/alarms` are compared with."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.support.oracle import Sample


class Said(NamedTuple):
    """What an alarm says."""

    time: int
    state: str
    quality: str
    value: float
    onset: int


@dataclass
class AlarmOracle:
    """A value holds until the next sample; delays are timers that are looked at before each sample."""

    kind: str
    limit: float
    tag: int = 0
    other: int = -1
    normal: tuple[float, ...] = ()
    band: float = 0.0
    share: float = 0.0
    most_band: float = math.inf
    on_delay: int = 0
    off_delay: int = 0
    level: str = "off"
    latch: bool = False
    active: bool = False
    since: int = 0
    since_value: float = math.nan
    since_quality: str = "bad"
    onset: int = 0
    low: float = math.inf
    high: float = -math.inf
    first: float = math.nan
    second: float = math.nan
    first_time: int = 0
    found: list[Said] = field(default_factory=list)

    def sees(self, sample: Sample) -> None:
        """Take one sample of the tag, or of the second one."""
        if sample.tag not in (self.tag, self.other):
            return
        value = sample.value if sample.usable else math.nan
        if sample.tag == self.tag and math.isfinite(value):
            self.low, self.high = min(self.low, value), max(self.high, value)
        distance, usable = self._distance(sample, value)
        level = self._level(distance) if usable else "bad"
        self.waits_until(sample.time)
        if level == self.level:
            return
        quality = "bad" if not usable else "good" if sample.quality >= 0xC0 else "uncertain"
        was, self.level = self.level, level
        self.since, self.since_value, self.since_quality = sample.time, value, quality
        is_over = level != "bad" and self._delay() == 0 and (level == "on") != self.active
        if self.active and "bad" in (was, level) and not is_over:
            self.found.append(Said(sample.time, "active", quality, value, self.onset))
        self.waits_until(sample.time)

    def waits_until(self, time: int) -> None:
        """Let time pass without a sample."""
        if self.level == "bad" or (self.level == "on") == self.active or self.since + self._delay() > time:
            return
        self.active = self.level == "on"
        if self.active:
            self.onset = self.since
        state = "active" if self.active else "cleared"
        self.found.append(Said(self.since + self._delay(), state, self.since_quality, self.since_value, self.onset))

    def _delay(self) -> int:
        return self.on_delay if self.level == "on" else self.off_delay

    def _distance(self, sample: Sample, value: float) -> tuple[float, bool]:
        match self.kind:
            case "hihi" | "hi":
                return value, sample.usable
            case "lo" | "lolo":
                return -value, sample.usable
            case "off_normal":
                return (math.nan if math.isnan(value) else 0.0 if value in self.normal else 1.0), sample.usable
            case "rate_of_change":
                return self._rate(sample, value), sample.usable
        if sample.tag == self.tag:
            self.first = value
        else:
            self.second = value
        distance = abs(self.first - self.second)
        return distance, not math.isnan(distance)

    def _rate(self, sample: Sample, value: float) -> float:
        rate = math.nan
        passed_s = (sample.time - self.first_time) / 1e9
        if math.isfinite(self.first) and not math.isnan(value) and passed_s > 0:
            rate = abs(value - self.first) / passed_s
        if math.isfinite(value):
            self.first, self.first_time = value, sample.time
        return rate

    def _level(self, distance: float) -> str:
        on = 0.5 if self.kind == "off_normal" else -self.limit if self.kind in ("lo", "lolo") else self.limit
        span = self.share * self.high - self.share * self.low if self.share and self.high >= self.low else 0.0
        band = min(self.band + span, self.most_band) if self.share else self.band
        if distance >= on:
            self.latch = True
        elif distance < on - band:
            self.latch = False
        return "on" if self.latch else "off"
