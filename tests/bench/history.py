"""The historian alone: size and time of a sample, one tag's hour, what 35 days of 10,000 tags take."""

import asyncio
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import SampleBlock
from gateway.core.clock import SystemClock
from gateway.core.quality import Quality
from gateway.core.tags import Tag, TagTable
from gateway.live.history.chunks import rolled_up, seal, shortened
from gateway.live.history.columns import SPANS, HistoryColumns
from gateway.live.history.config import HistoryConfig
from gateway.live.history.historian import Historian
from gateway.live.history.open_rows import SEAL_ROWS
from tests.bench.figures import Bench, Figure

_S = 1_000_000_000
_TAGS, _PER = 10_000, 100
_T0 = 1_700_000_000 * _S
_KINDS = ("quantised", "float32 noise", "mixed", "float64 noise")


def _values(kind: str, tags: int, times: int, seed: int = 1) -> NDArray[np.float64]:
    """[times, tags]: measured values as plants have them, to a tenth, or noise without any pattern."""
    rng = np.random.default_rng(seed)
    base = rng.normal(100, 30, tags)
    if kind == "quantised":
        drift: NDArray[np.float64] = np.rint((base + rng.normal(0, 0.3, (times, tags)).cumsum(axis=0)) * 10) / 10
        return drift
    noise = rng.normal(100, 1, (times, tags))
    if kind == "mixed":  # of each device half of the tags are quantised, in turn with float32
        noise[:, ::2] = _values("quantised", tags, times, seed)[:, ::2]
        noise[:, 1::2] = noise[:, 1::2].astype(np.float32)
        return noise
    return noise.astype(np.float32).astype(np.float64) if kind == "float32 noise" else noise


def _suffix(kind: str) -> str:
    return {"quantised": "", "float64 noise": "_noise", "float32 noise": "_float32"}.get(kind, f"_{kind}")


def _blocks(kind: str, times: int) -> Iterator[SampleBlock]:
    """Yield the polls of 100 devices of 100 tags each, once a second with some milliseconds of jitter."""
    rng = np.random.default_rng(2)
    values, good = _values(kind, _TAGS, times), np.full(_PER, Quality.GOOD, np.uint8)
    ids = [np.arange(first, first + _PER, dtype=np.uint32) for first in range(0, _TAGS, _PER)]
    for second in range(times):
        for device, tags in enumerate(ids):
            stamp = np.full(_PER, _T0 + second * _S + int(rng.integers(0, 3_000_000)), np.int64)
            yield SampleBlock(tags, stamp, values[second, device * _PER : (device + 1) * _PER], good)


def _table() -> TagTable:
    tags = tuple(Tag(i, i // _PER, f"tag_{i}") for i in range(_TAGS))
    return TagTable(tuple(f"device_{i}" for i in range(_TAGS // _PER)), tags)


def _samples() -> Iterator[Figure]:
    seconds = SEAL_ROWS // _TAGS
    for kind in _KINDS:
        historian = Historian(HistoryConfig(), _table(), SystemClock(), lambda _: None)
        blocks = list(_blocks(kind, seconds))
        begin = time.process_time()
        for block in blocks:
            historian.samples(block)
        chunk = seal(HistoryColumns.joined(historian._samples.take(), ("value",)))
        took = time.process_time() - begin
        suffix = _suffix(kind)
        on = f"{kind}, 10,000 tags x {seconds} s in blocks of 100 rows, times with jitter"
        aim = {"": "<= 1.0", "_noise": "<= 6.5"}.get(suffix, "")
        yield Figure(f"historian_bytes_per_sample{suffix}", len(chunk.data) / chunk.rows, "B", on, aim)
        yield Figure(f"historian_us_per_sample{suffix}", took / chunk.rows * 1e6, "us", on, "0.024")


def _query() -> Iterator[Figure]:
    """One tag of 10,000, its last hour, all of it compressed."""
    historian = Historian(HistoryConfig(memory="256MB"), _table(), SystemClock(), lambda _: None)
    seconds = SEAL_ROWS // _TAGS
    rows = HistoryColumns.joined([_columns(block) for block in _blocks("quantised", seconds)], ("value",))
    for part in range(3600 // seconds):
        moved = HistoryColumns(rows.series, rows.time + part * seconds * _S, rows.quality, rows.values)
        historian._memory["samples"].add(seal(moved))
    took = []
    for tag in range(0, _TAGS, 1_000):
        begin = time.perf_counter()
        found = asyncio.run(historian.query(np.array([tag], np.uint32), _T0, _T0 + 3600 * _S))
        took.append((time.perf_counter() - begin) * 1e3)
        assert len(found) == 3600 // seconds * seconds
    yield Figure(
        "historian_hour_of_a_tag_ms", float(np.median(took)), "ms", "one of 10,000 tags at 1 Hz, from memory", "<= 100"
    )


def _columns(block: SampleBlock) -> HistoryColumns:
    return HistoryColumns(block.tag, block.time, block.quality, {"value": block.value})


def _spans() -> Iterator[Figure]:
    """What minutes and ten minutes of 10,000 tags take in 35 days."""
    tags, minutes = 1_000, 60
    for kind in _KINDS:
        seconds = _values(kind, tags, minutes * 60).T.reshape(tags, minutes, 60)
        folded = [f(axis=2).ravel() for f in (seconds.min, seconds.max, seconds.mean)]
        folded.append(np.full(tags * minutes, 60.0))
        columns = HistoryColumns(
            np.repeat(np.arange(tags, dtype=np.uint32), minutes),
            np.tile(_T0 - _T0 % (600 * _S) + np.arange(minutes) * 60 * _S, tags),
            np.full(tags * minutes, Quality.GOOD, np.uint8),
            dict(zip(SPANS, folded, strict=True)),
        )
        tens = seal(shortened(rolled_up(columns, 600 * _S)))
        by_ten = [columns.take((columns.time - columns.time[0]) // (600 * _S) == part) for part in range(6)]
        chunks = [seal(shortened(part)) for part in by_ten]
        each = sum(len(chunk.data) for chunk in chunks) / len(columns)
        gib = 10_000 * 35 * 1440 / 2**30
        suffix = _suffix(kind)
        on = f"{kind}: minimum, maximum, mean, count, quality"
        yield Figure(f"historian_bytes_per_minute{suffix}", each, "B", on)
        yield Figure(f"historian_minutes_35d_gib{suffix}", each * gib, "GiB", f"10,000 tags, {kind}")
        ten = len(tens.data) / tens.rows * gib / 10
        yield Figure(f"historian_ten_minutes_35d_gib{suffix}", ten, "GiB", f"10,000 tags, {kind}")


BENCHES = (
    Bench(("historian_bytes_per_sample", "historian_us_per_sample"), _samples),
    Bench(("historian_hour_of_a_tag_ms",), _query),
    Bench(("historian_bytes_per_minute", "historian_minutes_35d_gib", "historian_ten_minutes_35d_gib"), _spans),
)
