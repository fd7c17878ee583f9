"""What a user can say about windows, limits, detection and publishing."""

from collections import Counter
from itertools import pairwise
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from gateway.core.config_types import DURATION_SCHEMA, ConfigModel, DurationNs, ValueRange, default, duration_ns
from gateway.stages.alarms.config import LIMITS, MOST_ALARMS, AlarmConfig, Delay, OnDelay
from gateway.stages.bands import Band, Deadband, Number
from gateway.stages.detector_choice import Detectors


class TagPolicy(ConfigModel):
    """When a tag is reported and when it is in alarm. The same keys are columns of a tag file."""

    deadband: Deadband = default("0")
    """Change against the last value sent that is worth a message: in engineering units, `1%` of the last value sent, or
    `1% of range` of the tag."""
    valid_range: ValueRange | None = None
    """What the sensor can measure: -50 to 400. A value outside is published as uncertain, `range_low` or `range_high`."""
    max_silence: DurationNs = default("60s")
    """Longest time without a message for this tag, even when nothing changes."""
    hihi: Number | None = None
    """Alarm when the value is at or above this, engineering units."""
    hi: Number | None = None
    """Alarm when the value is at or above this, engineering units."""
    lo: Number | None = None
    """Alarm when the value is at or below this, engineering units."""
    lolo: Number | None = None
    """Alarm when the value is at or below this, engineering units."""
    hysteresis: Band = default("1%")
    """An alarm clears once the value is further than this inside its limit: engineering units, or percent of the tag's
    `range`; without one, of the span of its values so far. Percent of a `rate` alarm are of its limit."""
    on_delay: OnDelay = default("0s")
    """How long a value must be beyond a limit before that is an alarm."""
    off_delay: Delay = default("auto")
    """How long a value must be back before an alarm clears. `auto`: at once where `hysteresis` is in engineering units, and
    for discrete values; else 30s, or twelve polls where that is longer, at most 5min: noise on a limit is one alarm."""
    alarms: Annotated[tuple[AlarmConfig, ...], Field(max_length=MOST_ALARMS)] = ()
    """Further alarms, each with keys of its own: `[{deviation: 5, set_point: wanted, on_delay: 10s, severity: 700}]`."""
    anomaly: Detectors = default("on")
    """`on`: the detector `own_range` compares the tag with everything that it has done before, without tuning; `off`: none;
    a number: the detector `ewma` with this z-score of a window's mean against its recent past; or a list of detectors with
    their settings: `[{own_range: {warmup: 1d}}, {ewma: {threshold: 6, memory: 10min}}]`."""

    publish: bool = True
    """`false`: the tag is read, may be used in formulas and have alarms, and is not sent itself."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        given = [(n, v) for n in reversed(LIMITS) for one in (self, *self.alarms) if (v := getattr(one, n)) is not None]
        for (low_name, low), (high_name, high) in pairwise(given):
            if low >= high and low_name != high_name:
                raise ValueError(f"{low_name} ({low:g}) must lie below {high_name} ({high:g})")
        for name, count in Counter(one.condition for one in self.all_alarms).items():
            if count > 1:
                raise ValueError(f"there are two alarms {name}; expected a key name with another name in one of them")
        return self

    @property
    def all_alarms(self) -> tuple[AlarmConfig, ...]:
        """Return every alarm of the tag: those of the keys `hihi` to `lolo` as if they stood in `alarms`."""
        own = [AlarmConfig(**{name: v}) for name in LIMITS if (v := getattr(self, name)) is not None]
        return (*own, *self.alarms)


OF_NUMBERS: Final = {
    key: field.get_default(call_default_factory=True)
    for key, field in TagPolicy.model_fields.items()
    if key not in ("max_silence", "publish")
} | {"anomaly": ()}
"""Keys that mean something for numbers only, and what leaves each out."""


class PolicyDefaults(ConfigModel):
    """Values for tags that do not say otherwise."""

    deadband: Deadband | None = None
    """See the tag's key of this name."""
    max_silence: DurationNs | None = None
    """See the tag's key of this name."""
    hysteresis: Band | None = None
    """See the tag's key of this name."""
    on_delay: OnDelay | None = None
    """See the tag's key of this name."""
    off_delay: Delay | None = None
    """See the tag's key of this name."""
    anomaly: Detectors | None = None
    """See the tag's key of this name."""


class WindowConfig(ConfigModel):
    """How samples become windows."""

    length: Annotated[int, duration_ns("1s", "60s"), DURATION_SCHEMA] = default("1s")
    """Length of a window: whole seconds that divide a minute."""
    grace: Annotated[int, duration_ns("0s", "60s"), DURATION_SCHEMA] = default("500ms")
    """How long a window waits for samples that are on their way. Later ones are published as `late` says."""
    late: Literal["merge", "replace"] = "merge"
    """What becomes of samples that come later. `merge`: a supplement, which consumers merge with the window. `replace`: the
    whole window again over all its samples, which takes the place of the one before; so do summaries. Then the outbox does
    not merge old windows near its ceilings, since what is merged cannot be replaced."""
    late_keep: Annotated[int, duration_ns("1s", "1d"), DURATION_SCHEMA] = default("5min")
    """With `late: replace`: how long after its end a window can be replaced, as far as 250,000 rows reach (windows times
    tags, 120 bytes each; as many for summaries). What comes later still is a supplement."""

    @model_validator(mode="after")
    def _divides_a_minute(self) -> Self:
        if 60_000_000_000 % self.length or self.length % 1_000_000_000:
            raise ValueError("length must be whole seconds that divide a minute: 1s, 2s, 3s, 4s, 5s, 6s, 10s, 12s, 15s ...")
        return self


class DetectionConfig(ConfigModel):
    """Times of the detector `ewma` where it is not given others: each tag is compared with its own recent past."""

    memory: Annotated[int, duration_ns("10s", "7d"), DURATION_SCHEMA] = default("5min")
    """Time constant of a tag's recent past: of the moving mean and variance of the detector `ewma`."""
    warmup: Annotated[int, duration_ns("5s", "7d"), DURATION_SCHEMA] = default("60s")
    """How long a tag is learned before it can be called anomalous."""


class PublishConfig(ConfigModel):
    """What is sent upstream."""

    windows: Literal["changed", "all", "anomalous", "none"] = "changed"
    """`changed`: report by exception (deadband, quality change, max_silence). `all`: every window that has samples.
    `anomalous`: only around alarms and anomalies. `none`: no windows. Summaries, events and values come in any case."""
    around: Literal["device", "tag"] = "device"
    """With `windows: anomalous`: around an event of a tag all tags of its device are sent, or only that tag."""
    pre_trigger: Annotated[int, duration_ns("0s", "1h"), DURATION_SCHEMA] = default("10s")
    """With `windows: anomalous`: so long before the event windows are sent as well, as far as 250,000 rows reach (windows
    times tags, 110 bytes each)."""
    post_trigger: Annotated[int, duration_ns("0s", "1h"), DURATION_SCHEMA] = default("10s")
    """With `windows: anomalous`: so long after its end windows go on."""
    summaries: bool = True
    """One message a minute and device with the merged statistics of all its tags."""
    stats: Annotated[int, duration_ns("1s", "7d"), DURATION_SCHEMA] = default("60s")
    """How often each device's counters (requests, timeouts, round trip ...) are published."""
