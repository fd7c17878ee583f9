"""Sample blocks as devices may send them, for hypothesis."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from hypothesis import strategies as st

from gateway.core.blocks import SampleBlock
from gateway.core.quality import USABLE_FROM, Quality
from gateway.core.tags import Tag, TagTable
from tests.support.oracle import Sample

SECOND = 1_000_000_000
TICK = SECOND // 10
"""Times are multiples of this, so that equal times are common."""
T0 = 1_700_000_000 * SECOND

GOOD = int(Quality.GOOD)
QUALITIES = st.sampled_from(
    [GOOD] * 6
    + [Quality.GOOD_LOCAL_OVERRIDE, Quality.UNCERTAIN_SENSOR, Quality.UNCERTAIN_CLOCK]
    + [Quality.BAD_TIMEOUT, Quality.BAD_SENSOR_FAILURE]
).map(int)


def table(tags: int, devices: int = 1, single: bool = False, interval_ns: int = 0) -> TagTable:
    """A table of `tags` tags spread evenly over devices, named tag0, tag1 ..."""
    per_device = -(-tags // devices)
    rows = (Tag(i, i // per_device, f"tag{i}", single=single, interval_ns=interval_ns) for i in range(tags))
    return TagTable(tuple(f"device{d}" for d in range(devices)), tuple(rows))


def block_of(samples: Sequence[Sample]) -> SampleBlock:
    """Samples as a block, in their order."""
    return SampleBlock(
        np.array([s.tag for s in samples], np.uint32),
        np.array([s.time for s in samples], np.int64),
        np.array([s.value for s in samples], np.float64),
        np.array([s.quality for s in samples], np.uint8),
    )


def cut(samples: Sequence[Sample], places: Sequence[int]) -> list[SampleBlock]:
    """The samples as several blocks, cut at some places (taken modulo their number)."""
    edges = sorted({0, len(samples), *(place % (len(samples) + 1) for place in places)})
    return [block_of(samples[a:b]) for a, b in pairwise(edges)]


def ordered_per_tag(samples: Sequence[Sample]) -> list[Sample]:
    """The same samples, those of each tag at ascending times."""
    times: dict[int, list[int]] = {}
    for s in samples:
        times.setdefault(s.tag, []).append(s.time)
    queue = {tag: iter(sorted(column)) for tag, column in times.items()}
    return [Sample(s.tag, next(queue[s.tag]), s.value, s.quality) for s in samples]


@st.composite
def values(draw: st.DrawFn) -> float:
    """Numbers as devices have them: small ones with ties, and a large offset with small noise."""
    small = draw(st.integers(-40, 40)) / 4
    return draw(st.sampled_from([small, small, 1e9 + small / 1000, -3e-7 * small]))


def _fresh_or_late(draw: st.DrawFn, late: bool) -> int:
    lag = st.integers(0, 12) if not late else st.one_of(*[st.integers(0, 12)] * 4, st.integers(0, 400))
    return draw(lag) * TICK


@st.composite
def samples(
    draw: st.DrawFn,
    tags: int = 3,
    now: int = T0,
    late: bool = True,
    most: int = 12,
    qualities: st.SearchStrategy[int] = QUALITIES,
) -> list[Sample]:
    """Samples that arrive at `now`: several tags, repeated tags, unordered times, some of them late, some bad."""
    found = []
    for _ in range(draw(st.integers(0, most))):
        quality = draw(qualities)
        value = draw(values()) if quality >= USABLE_FROM else float("nan")
        found.append(Sample(draw(st.integers(0, tags - 1)), now - _fresh_or_late(draw, late), value, quality))
    return found
