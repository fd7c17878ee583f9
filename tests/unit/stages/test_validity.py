"""Values outside of what can be measured, against an oracle that looks at one sample at a time."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.blocks import SampleBlock
from gateway.core.quality import Quality
from gateway.stages.validity import Validity

LOW = np.array([-np.inf, 0.0, -5.0])
HIGH = np.array([np.inf, 10.0, np.inf])
CODES = st.sampled_from([int(code) for code in Quality])
SAMPLES = st.lists(st.tuples(st.integers(0, 2), st.floats(), CODES), max_size=20)


def block_of(rows: list[tuple[int, float, int]]) -> SampleBlock:
    tags, values, codes = zip(*rows, strict=True) if rows else ((), (), ())
    return SampleBlock(
        np.array(tags, np.uint32), np.arange(len(rows)), np.array(values, np.float64), np.array(codes, np.uint8)
    )


def one(tag: int, value: float, code: int) -> int:
    if value < LOW[tag]:
        return min(code, Quality.UNCERTAIN_RANGE_LOW)
    if value > HIGH[tag]:
        return min(code, Quality.UNCERTAIN_RANGE_HIGH)
    return code


@given(SAMPLES)
def test_a_quality_is_lowered_where_the_value_cannot_be_and_never_raised(rows: list[tuple[int, float, int]]) -> None:
    checked = Validity(LOW, HIGH).checked(block_of(rows))
    assert checked.quality.tolist() == [one(*row) for row in rows]
    for value, (_, before, _) in zip(checked.value.tolist(), rows, strict=True):
        assert value == before or (math.isnan(value) and math.isnan(before))


def test_without_limits_nothing_is_looked_at() -> None:
    block = block_of([(0, 1e308, Quality.GOOD)])
    assert Validity(LOW[:1], HIGH[:1]).checked(block) is block
    assert Validity(LOW, HIGH).checked(block) is block


def test_the_limit_bits_are_those_of_opc() -> None:
    """OPC Data Access 3.0, 6.8: the last two bits are 01 at the low limit, 10 at the high one; the substatus stays."""
    assert Quality.UNCERTAIN_RANGE_LOW == Quality.UNCERTAIN_RANGE | 1
    assert Quality.UNCERTAIN_RANGE_HIGH == Quality.UNCERTAIN_RANGE | 2
