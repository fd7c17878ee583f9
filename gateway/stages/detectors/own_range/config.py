"""Settings of the detector `own_range`, and its numbers, which are the same for every tag."""

from typing import Annotated, Final

from gateway.core.config_types import DURATION_SCHEMA, ConfigModel, default, duration_ns

SECOND_NS: Final = 1_000_000_000
LEAST_STEP_NS: Final = 8 * SECOND_NS
"""Windows are joined to steps of at least this length: what lasts for less is no anomaly."""
HOLD_NS: Final = 11 * SECOND_NS
"""A step is judged once windows have ended this long after it, so that samples that come late are part of it."""
BLOCK_STEPS: Final = 24
"""Steps of which the largest value of a feature counts as one block maximum."""
LEAST_BLOCKS: Final = 10
"""Block maxima that a feature needs before it can fire."""
RETURN_DAYS: Final = 40.0
"""A value that this tag should show less than once in so many days is an anomaly; longer for steps below five minutes."""
RETURN_STEP_S: Final = 300.0
RETURN_POWER: Final = 0.25
"""The return period of shorter steps is longer by this power of their number, since neighbours depend on each other."""
LEAST_MARGIN: Final = 0.15
"""Share of (record - mean block maximum) beyond the record that is asked for however long the history is."""
LEAST_SPAN: Final = 0.05
"""Share of the whole range of a feature beyond its record that is asked for: one that repeats exactly has no tail."""
CALM_STEPS: Final = 24
"""Steps without anything unusual after which an anomaly is over."""
CONFIRM_S: Final = 90.0
"""An anomaly that one kind of feature alone has shown for this long is an alarm."""
ADVISORY: Final = 200
ALARM: Final = 500


class OwnRangeSettings(ConfigModel):
    """Settings of the detector `own_range` for one tag."""

    warmup: Annotated[int, duration_ns("0s", "30d"), DURATION_SCHEMA] = default("1h")
    """How long the tag is learned before it can be called anomalous. Never less than 264 steps (a step is a window, or as
    many as make 8 s), that is 36 minutes with windows of 1 s."""
    rebase: Annotated[int, duration_ns("10min", "365d"), DURATION_SCHEMA] = default("8h")
    """How long an anomaly may last. Then what the tag does is taken as its normal behaviour, and the event says so."""
