"""The alarms alone: what they cost when nothing happens, and when everything does (CPU time of this process)."""

import time
from collections.abc import Iterator

import numpy as np

from gateway.core.blocks import SampleBlock
from gateway.core.quality import Quality
from gateway.core.tags import Tag, TagTable
from gateway.stages.alarms.alarms import Alarms
from gateway.stages.config import TagPolicy
from tests.bench.figures import Bench, Figure

_S = 1_000_000_000
_TAGS, _PER, _SAMPLES, _WINDOWS = 10_000, 100, 10, 6


def _cost(policy: TagPolicy, spread: float, *, crossing: int = 0) -> tuple[float, float]:
    """(CPU us per tag and window, events per window). crossing: every so many windows one tag in a hundred is in alarm."""
    table = TagTable(
        tuple(f"d{n}" for n in range(_TAGS // _PER)), tuple(Tag(n, n // _PER, f"t{n % _PER}") for n in range(_TAGS))
    )
    alarms, rng = Alarms(table, [policy] * _TAGS, 0), np.random.default_rng(1)
    ids = [table.ids_of(device) for device in range(_TAGS // _PER)]
    good, began, events = np.full(_PER, Quality.GOOD, np.uint8), 0.0, 0
    for window in range(_WINDOWS + 1):
        values = rng.normal(100, spread if window else 6 * spread, (_SAMPLES, _TAGS))
        if crossing and window % crossing:
            values[:, ::100] += 1000
        stamps = [np.full(_PER, window * _S + k * _S // _SAMPLES + 1, np.int64) for k in range(_SAMPLES)]
        blocks = [
            SampleBlock(own, stamps[k], values[k, n * _PER : (n + 1) * _PER], good)
            for k in range(_SAMPLES)
            for n, own in enumerate(ids)
        ]
        if window == 1:  # the first one warms up, and shows the span of the values
            began, events = time.process_time(), 0
        for block in blocks:
            events += len(alarms.push(block, (window + 1) * _S))
        events += len(alarms.tick((window + 1) * _S, (window + 1) * _S))
    return (time.process_time() - began) / (_TAGS * _WINDOWS) * 1e6, events / _WINDOWS


def _alarms() -> Iterator[Figure]:
    on = f"{_TAGS:,} tags, blocks of {_PER} rows, {_SAMPLES} samples a window, four limits each"
    four = {"hihi": 400, "hi": 300, "lo": -300, "lolo": -400}
    us, _ = _cost(TagPolicy(**four), 1.0)
    yield Figure("alarms_us_per_tag_window", us, "us", f"{on}, none reached", "<= 0.15 with all detectors")
    us, events = _cost(TagPolicy(**four, off_delay="0s"), 1.0, crossing=2)
    yield Figure(
        "alarms_busy_us_per_tag_window", us, "us", f"{on}; one tag in a hundred in and out: {events:.0f} events a window"
    )
    us, _ = _cost(TagPolicy(alarms=[{"rate": 1e9}]), 1.0)
    yield Figure("alarms_rate_us_per_tag_window", us, "us", "the same tags with a rate of change each: every sample counts")


BENCHES = (Bench(("alarms_us_per_tag_window", "alarms_busy_us_per_tag_window", "alarms_rate_us_per_tag_window"), _alarms),)
