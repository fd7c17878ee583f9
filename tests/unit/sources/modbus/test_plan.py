"""Every tag is read exactly once, within the limits, in the fewest requests."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sources.modbus.config import ModbusDevice
from gateway.sources.modbus.plan import Limits, Request, Span, check_devices, cover, plan_device, split
from gateway.sources.modbus.plugin import ModbusPlugin
from tests.support.modbus_fake import entry


def as_spans(places: list[tuple[int, int]]) -> list[Span]:
    return [Span(start, count, row) for row, (start, count) in enumerate(places)]


spans = st.lists(st.tuples(st.integers(0, 400), st.sampled_from([1, 2, 4, 30])), min_size=1, max_size=60).map(as_spans)
few = st.lists(st.tuples(st.integers(0, 24), st.sampled_from([1, 1, 2, 4])), min_size=1, max_size=7).map(as_spans)
holes = st.lists(st.integers(0, 30).flatmap(lambda at: st.tuples(st.just(at), st.integers(at, at + 2))), max_size=3)


def check(request: Request) -> None:
    """The request reads all of its spans and begins and ends with one."""
    assert request.start == min(span.start for span in request.spans)
    assert request.start + request.count == max(span.end for span in request.spans)


def allowed(group: list[Span], limits: Limits) -> bool:
    """The definition: length, gaps, and no unneeded forbidden address."""
    needed = {place for span in group for place in range(span.start, span.end)}
    gaps = [range(before + 1, after) for before, after in pairwise(sorted(needed))]
    forbidden = {place for first, last in limits.forbidden for place in range(first, last + 1)}
    return (
        max(needed) - min(needed) < limits.max_count
        and all(len(gap) <= limits.max_gap for gap in gaps)
        and not any(forbidden.intersection(gap) for gap in gaps)
    )


def partitions(things: list[Span]) -> list[list[list[Span]]]:
    """All ways to put things into groups."""
    if not things:
        return [[]]
    head, rest = things[0], partitions(things[1:])
    joined = [[*p[:at], [head, *p[at]], *p[at + 1 :]] for p in rest for at in range(len(p))]
    return joined + [[[head], *p] for p in rest]


@given(few, st.integers(4, 12), st.integers(0, 6), holes)
def test_no_plan_has_fewer_requests_or_reads_less_with_as_many(
    wanted: list[Span], most: int, gap: int, forbidden: list[tuple[int, int]]
) -> None:
    """Against every possible grouping, contiguous or not."""
    limits = Limits(most, gap, tuple(forbidden))
    plans = [plan for plan in partitions(wanted) if all(allowed(group, limits) for group in plan)]
    best = min((len(p), sum(max(s.end for s in g) - min(s.start for s in g) for g in p)) for p in plans)
    found = cover("holding", wanted, limits)
    assert all(allowed(list(request.spans), limits) for request in found)
    assert (len(found), sum(request.count for request in found)) == best


@given(spans, st.integers(30, 125), st.integers(0, 20), st.lists(st.integers(0, 400), max_size=4))
def test_every_span_is_covered_once_within_the_limits(wanted: list[Span], most: int, gap: int, never: list[int]) -> None:
    limits = Limits(most, gap, tuple((place, place) for place in never))
    requests = cover("holding", wanted, limits)
    assert sorted(row for request in requests for row in request.rows) == list(range(len(wanted)))
    for request in requests:
        check(request)
        assert allowed(list(request.spans), limits)


def test_a_span_longer_than_a_request_is_an_error() -> None:
    with pytest.raises(ValueError, match="4 places do not fit a request of 3"):
        cover("holding", [Span(0, 4, 0)], Limits(3, 0))


@given(spans)
def test_halves_share_the_tags_and_read_no_more_than_before(wanted: list[Span]) -> None:
    for request in cover("holding", wanted, Limits(125, 16)):
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
    found = cover("holding", [Span(0, 2, 0), Span(2, 2, 1), Span(20, 1, 2), Span(38, 1, 3)], Limits(125, 16))
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
    wrong = [ModbusPlugin().check(device.config, tag) for tag in device.tags]
    assert wrong[0] is wrong[2] is None
    assert wrong[1] is not None
    assert wrong[1][0] == "type"
    assert "max_registers (1)" in wrong[1][1]
    assert "at least 2" in wrong[1][2]


def test_the_plan_is_readable() -> None:
    device = entry([{"address": "holding:100", "type": "float32"}, {"address": "holding:102"}], unit=7)
    assert ModbusPlugin().describe([device]) == [
        "device0: unit 7 at tcp://127.0.0.1:502, holding 100..102, 2 tags, every 1s"
    ]


def test_the_kind_knows_floats_and_intervals() -> None:
    device = entry([{"address": "holding:0", "type": "float32", "scale": "0.1"}, {"address": "coil:0", "interval": "5s"}])
    assert [ModbusPlugin().traits(device.config, tag).is_float32 for tag in device.tags] == [True, False]
    shifted = entry([{"address": "holding:0", "type": "float32", "offset": "1e9"}])
    assert not ModbusPlugin().traits(shifted.config, shifted.tags[0]).is_float32
    assert [ModbusPlugin().traits(device.config, tag).interval_ns for tag in device.tags] == [10**9, 5 * 10**9]


def test_bits_have_a_gap_of_their_own() -> None:
    tags = [{"address": "coil:0"}, {"address": "coil:4"}, {"address": "holding:0"}, {"address": "holding:4"}]
    device = entry(tags, max_gap=10, max_gap_bits=2)
    assert [(r.table, r.count) for _, r in plan_device(device.config, device.tags)] == [
        ("coil", 1), ("coil", 1), ("holding", 5)
    ]  # fmt: skip


def test_a_forbidden_range_is_never_read_over() -> None:
    tags = [{"address": f"holding:{place}"} for place in (0, 3, 6)]
    device = entry(tags, forbidden=["holding:4-5", "input:1"])
    assert [(r.start, r.count) for _, r in plan_device(device.config, device.tags)] == [(0, 4), (6, 1)]
    inside = entry([{"address": "holding:3", "type": "uint32"}], forbidden=["holding:4-5"])
    wrong = ModbusPlugin().check(inside.config, inside.tags[0])
    assert wrong is not None
    assert wrong[:2] == ("address", "holding:3 is forbidden by the device (holding:4-5)")


def test_classic_numbers_need_the_devices_word() -> None:
    tags = [{"address": "40101"}, {"address": "holding:100"}]
    plain, classic = entry(tags), entry(tags, addressing="classic")
    wrong = ModbusPlugin().check(plain.config, plain.tags[0])
    assert wrong is not None
    assert wrong[0] == "address"
    assert "holding:100 for the same place" in wrong[2]
    assert [ModbusPlugin().check(classic.config, tag) for tag in classic.tags] == [None, None]
    assert [(r.start, r.count) for _, r in plan_device(classic.config, classic.tags)] == [(100, 1)]


@pytest.mark.parametrize(("first", "second", "wrong"), [(0x0F, 0x18, 1), (0x0F, 0xF0, 0)])
def test_masks_of_one_register_share_no_bit(first: int, second: int, wrong: int) -> None:
    device = entry([{"address": "holding:7", "mask": first}, {"address": "holding:7", "mask": second}])
    found = list(ModbusPlugin().check_tags(device.config, device.tags))
    assert len(found) == wrong
    if found:
        assert found[0][:2] == (1, "mask")
        assert "0x18 overlaps with tag 't0' (0xf) in the bits 0x8" in found[0][2]


@pytest.mark.parametrize(
    ("first", "second", "wrong"),
    [
        ({"url": "tcp://plc"}, {"url": "tcp://plc:502", "unit": 2}, ""),
        ({"url": "tcp://plc"}, {"url": "udp://plc"}, ""),
        ({"url": "tcp://plc"}, {"url": "tcp://plc:503"}, ""),
        ({"url": "rtu:///dev/ttyS0"}, {"url": "rtu:///dev/ttyS0?parity=N"}, "/dev/ttyS0 is used with other options by a"),
        ({"url": "rtu:///dev/ttyS0"}, {"url": "ascii:///dev/ttyS0"}, "/dev/ttyS0 is used in another form by a"),
        ({"url": "rtu+tcp://moxa:4001"}, {"url": "rtu+tcp://moxa:4001?unit_pause=50ms"}, "moxa:4001 is used with other"),
        ({"url": "tcp://plc"}, {"url": "rtu+tcp://plc:502"}, "plc:502 is used in another form by a"),
        ({"url": "tcp://plc", "backup": "tcp://b"}, {"url": "tcp://plc"}, "a on the same connection has tcp://b:502"),
        ({"url": "tcp://plc", "backup": "tcp://b"}, {"url": "tcp://plc", "backup": "tcp://b:502"}, ""),
    ],
)
def test_a_line_is_opened_in_one_way(first: dict[str, object], second: dict[str, object], wrong: str) -> None:
    """Two connections to one serial server would talk into each other."""
    devices = [ModbusDevice.model_validate({"name": name} | keys) for name, keys in (("a", first), ("b", second))]
    found = check_devices(devices)
    assert [wrong in message for _, _, message, _ in found] == ([True] if wrong else [])


@pytest.mark.parametrize(
    ("keys", "tag", "words"),
    [
        ({"requests": ("holding:0-9",)}, {"address": "holding:9", "type": "float32"}, "none of the device's requests"),
        ({"requests": ("holding:0-9",)}, {"address": "input:3"}, "none of the device's requests"),
        ({"wide_registers": ("holding:10-19",)}, {"address": "holding:19", "type": "float64"}, "ends outside"),
    ],
)
def test_a_tag_that_lies_in_no_allowed_range_is_refused(keys: dict[str, object], tag: dict[str, object], words: str) -> None:
    one = entry([tag], **keys)
    fault = ModbusPlugin().check(one.config, one.tags[0])
    assert fault is not None
    assert words in fault.message


def test_registers_of_16_and_32_bits_never_share_a_request() -> None:
    tags = [{"address": f"holding:{place}", "type": "float32" if place >= 100 else "uint16"} for place in range(90, 112)]
    one = entry(tags, wide_registers=("holding:100-119",))
    requests = [request for _, request in plan_device(one.config, one.tags)]
    assert [(request.start, request.count, request.octets) for request in requests] == [(90, 10, 2), (100, 12, 4)]


def test_fixed_requests_are_asked_for_as_a_whole() -> None:
    one = entry(
        [{"address": "holding:3"}, {"address": "holding:8"}, {"address": "coil:2"}], requests=("holding:0-9", "coil:0-7")
    )
    requests = [request for _, request in plan_device(one.config, one.tags)]
    assert [(request.table, request.start, request.count, request.rows) for request in requests] == [
        ("coil", 0, 8, (2,)),
        ("holding", 0, 10, (0, 1)),
    ]
