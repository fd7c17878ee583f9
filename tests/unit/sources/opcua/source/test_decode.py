"""Data values to samples: cases, and a slow oracle over arbitrary mixes."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.quality import Quality as Q
from gateway.sources.opcua.config.device import OpcUaTag
from gateway.sources.opcua.source.decode import TagColumns, decode, shortest_decimals
from gateway.sources.opcua.status.codes import quality_of
from tests.support.opcua_fake import DAY_NS, values

S = 1_000_000_000
TOLERANCE = 5 * S


def columns(*scales: tuple[float, float], first_tag: int = 0) -> TagColumns:
    tags = [OpcUaTag(name=f"t{i}", node="i=1", scale=scale, offset=offset) for i, (scale, offset) in enumerate(scales)]
    return TagColumns.of(first_tag, tags)


PLAIN = columns((1, 0), (1, 0), (1, 0))


def one(value, kind=11, tags=PLAIN, **more):
    block, _ = decode(values([0], [value], kind=kind, **more), tags, TOLERANCE)
    return float(block.value[0]), Q(int(block.quality[0])), int(block.time[0])


@pytest.mark.parametrize(
    ("kind", "value", "number", "quality"),
    [
        (1, True, 1.0, Q.GOOD),
        (1, False, 0.0, Q.GOOD),
        (2, -128, -128.0, Q.GOOD),
        (7, 2**32 - 1, 2.0**32 - 1, Q.GOOD),
        (8, -(2**53), -(2.0**53), Q.GOOD),
        (8, -(2**63), -(2.0**63), Q.UNCERTAIN_ROUNDED),
        (8, 2**53 + 1, 2.0**53, Q.UNCERTAIN_ROUNDED),
        (9, 2**64 - 1, 2.0**64, Q.UNCERTAIN_ROUNDED),
        (10, 23.450000762939453, 23.45, Q.GOOD),
        (11, 23.450000762939453, 23.450000762939453, Q.GOOD),
        (11, math.nan, math.nan, Q.BAD_NOT_A_NUMBER),
        (10, math.inf, math.nan, Q.BAD_NOT_A_NUMBER),
        (0, None, math.nan, Q.BAD),
    ],
)
def test_types_become_numbers_or_a_reason(kind, value, number, quality):
    assert one(value, kind)[:2] == (pytest.approx(number, nan_ok=True, abs=0, rel=0), quality)


@pytest.mark.parametrize(
    ("status", "kind", "value", "quality"),
    [
        (0x808C0000, 11, 5.0, Q.BAD_SENSOR_FAILURE),
        (0x80340000, 0, None, Q.BAD_ADDRESS),
        (0x40900000, 11, 5.0, Q.UNCERTAIN_LAST_USABLE),
        (0x40900000, 0, None, Q.BAD),
        (0x00960000, 11, 5.0, Q.GOOD_LOCAL_OVERRIDE),
    ],
)
def test_status_and_value_together(status, kind, value, quality):
    number, got, _ = one(value, kind, status=status)
    assert got is quality
    assert math.isnan(number) == (quality < 0x40)


def test_scaling_divides_where_the_scale_is_decimal():
    tags = columns((0.1, 0), (2, 1), (-0.01, 0.5), first_tag=40)
    block, _ = decode(values([2, 0, 1], [250, 234, 7], kind=4), tags, TOLERANCE)
    assert block.tag.tolist() == [42, 40, 41]
    assert block.value.tolist() == [-2.0, 23.4, 15.0]


def test_a_scaled_value_that_overflows_is_not_a_number():
    assert one(1e308, tags=columns((1e10, 0)))[1] is Q.BAD_NOT_A_NUMBER


@pytest.mark.parametrize(
    ("source", "server", "clock_off", "time", "quality"),
    [
        (DAY_NS - S, 0, 0, DAY_NS - S, Q.GOOD),
        (DAY_NS - 3600 * S, 0, 0, DAY_NS - 3600 * S, Q.GOOD),
        (0, DAY_NS - 2 * S, 0, DAY_NS - 2 * S, Q.GOOD),
        (0, 0, 0, DAY_NS, Q.GOOD),
        (DAY_NS + S, 0, S, DAY_NS, Q.GOOD),
        (DAY_NS + 6 * S, 0, 0, DAY_NS, Q.UNCERTAIN_CLOCK),
        (DAY_NS - S, 0, 5 * S, DAY_NS - S, Q.GOOD),
        (DAY_NS - S, 0, 5 * S + 1, DAY_NS, Q.UNCERTAIN_CLOCK),
        (DAY_NS - 3600 * S, 0, -3600 * S, DAY_NS, Q.UNCERTAIN_CLOCK),
        (DAY_NS - S, 0, -DAY_NS, DAY_NS - S, Q.GOOD),
    ],
)
def test_source_times(source, server, clock_off, time, quality):
    """The last row: a server that does not tell its time is believed."""
    assert one(1.0, source_ns=source, server_ns=server, server_clock_ns=DAY_NS + clock_off)[1:] == (quality, time)


@pytest.mark.parametrize(
    ("late", "by_gateway", "is_late", "time", "quality"),
    [
        (0, False, True, DAY_NS - 9 * S, Q.UNCERTAIN_CLOCK),
        (5 * S, False, True, DAY_NS - 9 * S, Q.GOOD),
        (5 * S, True, False, DAY_NS - 5 * S, Q.UNCERTAIN_TIME),
        (0, True, False, DAY_NS, Q.GOOD),
    ],
)
def test_what_was_received_late_gets_no_later_time_than_its_source_says(late, by_gateway, is_late, time, quality):
    """The clock seems to be 9 s behind; a stand-still of the process of 5 s explains it within the tolerance."""
    given = replace(values([0], [1.0], source_ns=DAY_NS - 9 * S, server_clock_ns=DAY_NS - 9 * S), late_ns=late)
    block, _ = decode(given, PLAIN, TOLERANCE, by_gateway=by_gateway, is_late=is_late)
    assert (int(block.time[0]), Q(int(block.quality[0]))) == (time, quality)


@pytest.mark.parametrize(("status", "quality"), [(0x808C0000, Q.BAD_SENSOR_FAILURE), (0x40930000, Q.UNCERTAIN_SENSOR)])
def test_a_wrong_clock_demotes_only_good_values(status, quality):
    assert one(1.0, status=status, server_clock_ns=DAY_NS + 60 * S)[1:] == (quality, DAY_NS)


@given(
    st.lists(
        st.one_of(
            st.floats(width=32, allow_nan=False, allow_infinity=False),
            st.floats(-1e5, 1e5).map(np.float32),
            st.integers(-(10**9), 10**9).map(lambda n: np.float32(n / 1000)),
        ),
        max_size=50,
    )
)
def test_shortest_decimals_name_the_same_float32(numbers):
    single = np.array(numbers, np.float32)
    assert shortest_decimals(single).tolist() == [float(str(number)) for number in single]


def test_special_float32_stay_what_they_are():
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, 3.4028235e38], np.float32)
    np.testing.assert_array_equal(shortest_decimals(special).astype(np.float32), special)


VALUE = st.one_of(
    st.tuples(st.just(1), st.booleans()),
    st.tuples(st.just(6), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.just(8), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just(9), st.integers(0, 2**64 - 1)),
    st.tuples(st.just(11), st.floats()),
    st.tuples(st.just(12), st.text(max_size=3)),
    st.tuples(st.just(255), st.lists(st.integers(), max_size=2)),
    st.tuples(st.just(0), st.none()),
)
STATUS = st.sampled_from([0, 0, 0, 0x480, 0x00960000, 0x40900000, 0x808C0000, 0x80340000])
SCALED = columns((1, 0), (0.1, 5), (3, -1))


def oracle(row, kind, value, status):
    """(number and quality, or None where there is no sample; value and quality of the object, or None)."""
    quality = quality_of(status)
    if quality < 0x40:
        return (math.nan, quality), None
    if kind == 0:
        return (math.nan, Q.BAD), None
    if kind in (12, 255):
        return None, (value, quality)
    number = [float(value), float(value) / 10 + 5, float(value) * 3 - 1][row]
    if not math.isfinite(number):
        return (math.nan, Q.BAD_NOT_A_NUMBER), None
    rounded = kind in (8, 9) and abs(value) > 2**53
    sample = number, min(quality, Q.UNCERTAIN_ROUNDED) if rounded else quality
    return sample, (value, quality) if rounded and row == 0 else None


@given(st.lists(st.tuples(st.integers(0, 2), VALUE, STATUS), min_size=1, max_size=30))
def test_any_mix_equals_the_slow_way(mix):
    """Numbers as samples, the rest beside them, both in their order; an integer that is too large as both."""
    rows, pairs, statuses = zip(*mix, strict=True)
    data = values(rows, [value for _, value in pairs], kind=[kind for kind, _ in pairs], status=statuses)
    block, objects = decode(data, SCALED, TOLERANCE)
    expected = [(row, *oracle(row, *pair, status)) for row, pair, status in mix]
    samples = [(row, *sample) for row, sample, _ in expected if sample]
    assert block.tag.tolist() == [row for row, _, _ in samples]
    np.testing.assert_array_equal(block.value, [number for _, number, _ in samples])
    assert block.quality.tolist() == [quality for _, _, quality in samples]
    beside = [(row, *told) for row, _, told in expected if told]
    if objects is None:
        assert not beside
    else:
        assert list(zip(objects.tag.tolist(), objects.value, objects.quality.tolist(), strict=True)) == beside


def test_a_text_keeps_its_time_and_a_wrong_clock_makes_it_uncertain():
    data = values([0, 1], ["idle", 1.0], kind=[12, 11], source_ns=DAY_NS - S)
    block, objects = decode(data, PLAIN, TOLERANCE)
    assert (block.tag.tolist(), objects.tag.tolist(), objects.value) == ([1], [0], ["idle"])
    assert (objects.time.tolist(), objects.quality.tolist()) == ([DAY_NS - S], [Q.GOOD])
    _, late = decode(values([0], ["idle"], kind=12, server_clock_ns=DAY_NS + 60 * S), PLAIN, TOLERANCE)
    assert (late.time.tolist(), late.quality.tolist()) == ([DAY_NS], [Q.UNCERTAIN_CLOCK])
