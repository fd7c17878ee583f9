"""From the reply to a request, or its absence, to samples. Pure."""

from collections.abc import Iterator, Sequence

import numpy as np

from gateway.core.blocks import ObjectBlock, SampleBlock
from gateway.core.loop_watch import Arrival
from gateway.core.quality import Quality
from gateway.sources.modbus.poll import Poll


def samples(poll: Poll, payload: bytes, arrival: Arrival) -> Iterator[SampleBlock | ObjectBlock]:
    """Yield the values of a reply; they are no better than uncertain where it is not known when it came."""
    value, quality, objects = poll.decode(payload)
    time_ns = arrival.time_ns
    if not arrival.is_known:
        quality = np.minimum(quality, np.uint8(Quality.UNCERTAIN_TIME))
    if value.size:
        times = np.full(value.size, time_ns, np.int64)
        yield SampleBlock(poll.numeric_tags, times, value, quality, cycle=poll.cycle)
    if objects:
        places, values, codes = zip(*objects, strict=True)
        if not arrival.is_known:
            codes = np.minimum(codes, Quality.UNCERTAIN_TIME).tolist()
        yield _objects(poll, places, values, codes, time_ns)


def bad_samples(poll: Poll, quality: Quality, time_ns: int) -> Iterator[SampleBlock | ObjectBlock]:
    """Yield one sample without a value per tag."""
    yield SampleBlock.bad(poll.tags, time_ns, quality, poll.cycle)
    if places := poll.decode.object_rows:
        yield _objects(poll, places, [None] * len(places), [quality] * len(places), time_ns)


def _objects(poll: Poll, places: Sequence[int], values: Sequence[object], codes: Sequence[int], time_ns: int) -> ObjectBlock:
    times = np.full(len(values), time_ns, np.int64)
    return ObjectBlock(poll.tags[list(places)], times, values, np.array(codes, np.uint8))
