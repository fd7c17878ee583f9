"""Every tag is read exactly once, within the limits, in few requests."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sources.modbus import KIND
from gateway.sources.modbus.plan import Request, Span, cover, plan_device, split
from tests.support.modbus_fake import entry

spans = st.lists(st.tuples(st.integers(0, 400), st.sampled_from([1, 2, 4])), min_size=1, max_size=60).map(
    lambda places: [Span(start, count, row) for row, (start, count) in enumerate(places)]
)


def check(request: Request) -> None:
    """The request reads all of its spans and begins and ends with one."""
    assert request.start == min(span.start for span in request.spans)
    assert request.start + request.count == max(span.end for span in request.spans)


@given(spans, st.integers(4, 125), st.integers(0, 20))
def test_every_span_is_covered_once_within_the_limits(wanted: list[Span], most: int, gap: int) -> None:
    requests = cover("holding", wanted, most, gap)
    assert sorted(row for request in requests for row in request.rows) == list(range(len(wanted)))
    for request in requests:
        check(request)
        assert request.count <= most
        needed = {place for span in request.spans for place in range(span.start, span.end)}
        ordered = sorted(needed)
        assert all(after - before - 1 <= gap for before, after in pairwise(ordered))


@given(spans)
def test_halves_share_the_tags_and_read_no_more_than_before(wanted: list[Span]) -> None:
    for request in cover("holding", wanted, 125, 16):
        if len(request.spans) == 1:
            with pytest.raises(ValueError, match="one tag"):
                split(request)
            continue
        left, right = split(request)
        assert left.rows + right.rows == request.rows
        assert abs(len(left.rows) - len(right.rows)) <= 1
        for half in (left, right):
            check(half)
            assert half.count <= request.count


def test_neighbours_share_a_request_and_a_wide_gap_parts_them() -> None:
    found = cover("holding", [Span(0, 2, 0), Span(2, 2, 1), Span(20, 1, 2), Span(38, 1, 3)], 125, 16)
    assert [(request.start, request.count) for request in found] == [(0, 21), (38, 1)]


def test_a_hundred_contiguous_floats_are_two_requests() -> None:
    device = entry([{"address": f"holding:{2 * row}", "type": "float32"} for row in range(100)])
    assert [(r.start, r.count) for _, r in plan_device(device.config, device.tags)] == [(0, 124), (124, 76)]


def test_tables_and_intervals_are_kept_apart() -> None:
    tags = [{"address": "holding:0"}, {"address": "input:1"}, {"address": "coil:2"}, {"address": "discrete:3"},
            {"address": "holding:1", "interval": "100ms"}]  # fmt: skip
    device = entry(tags)
    plan = plan_device(device.config, device.tags)
    assert [interval for interval, _ in plan] == [10**8] + 4 * [10**9]
    assert sorted(request.table for _, request in plan) == ["coil", "discrete", "holding", "holding", "input"]


def test_bits_are_read_over_sixteen_times_as_many() -> None:
    device = entry([{"address": "coil:0"}, {"address": "coil:33"}, {"address": "coil:67"}], max_gap=2)
    assert [(r.start, r.count) for _, r in plan_device(device.config, device.tags)] == [(0, 34), (67, 1)]


def test_a_tag_wider_than_the_device_allows_is_wrong() -> None:
    tags = [{"address": "holding:0"}, {"address": "holding:4", "type": "float32"}, {"address": "coil:4"}]
    device = entry(tags, max_registers=1, max_bits=1)
    wrong = [KIND.check(device.config, tag) for tag in device.tags]
    assert wrong[0] is wrong[2] is None
    assert wrong[1] is not None
    assert wrong[1][0] == "type"
    assert "max_registers (1)" in wrong[1][1]
    assert "at least 2" in wrong[1][2]


def test_the_plan_is_readable() -> None:
    device = entry([{"address": "holding:100", "type": "float32"}, {"address": "holding:102"}], unit=7)
    assert KIND.plan([device]) == ["device0: unit 7 at tcp://127.0.0.1:502, holding 100..102, 2 tags, every 1s"]


def test_the_kind_knows_floats_and_intervals() -> None:
    device = entry([{"address": "holding:0", "type": "float32", "scale": "0.1"}, {"address": "coil:0", "interval": "5s"}])
    assert [KIND.is_single(device.config, tag) for tag in device.tags] == [True, False]
    shifted = entry([{"address": "holding:0", "type": "float32", "offset": "1e9"}])
    assert not KIND.is_single(shifted.config, shifted.tags[0])
    assert [KIND.interval_ns(device.config, tag) for tag in device.tags] == [10**9, 5 * 10**9]
