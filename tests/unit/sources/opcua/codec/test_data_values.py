"""Bytes to columns, against asyncua's own encoder and decoder, and against bytes that nobody meant."""

import math
import struct
import uuid
from datetime import UTC, datetime

import numpy as np
import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.sources.opcua.client.responses import plain, read_publish, read_values
from gateway.sources.opcua.codec.columns import KIND_NOT_SCALAR, ValueColumns
from gateway.sources.opcua.codec.data_values import columns_without_values, decode_values, ticks_to_ns
from gateway.sources.opcua.codec.errors import WireError

NUMBERS = {
    ua.VariantType.Boolean: st.booleans(),
    ua.VariantType.SByte: st.integers(-128, 127),
    ua.VariantType.Byte: st.integers(0, 255),
    ua.VariantType.Int16: st.integers(-(2**15), 2**15 - 1),
    ua.VariantType.UInt16: st.integers(0, 2**16 - 1),
    ua.VariantType.Int32: st.integers(-(2**31), 2**31 - 1),
    ua.VariantType.UInt32: st.integers(0, 2**32 - 1),
    ua.VariantType.Int64: st.integers(-(2**63), 2**63 - 1),
    ua.VariantType.UInt64: st.integers(0, 2**64 - 1),
    ua.VariantType.Float: st.floats(width=32),
    ua.VariantType.Double: st.floats(),
}
TIMES = st.none() | st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)).map(lambda t: t.replace(tzinfo=UTC))

numbers = st.one_of([st.tuples(st.just(kind), some) for kind, some in NUMBERS.items()])
others = st.one_of(
    st.tuples(st.just(ua.VariantType.String), st.text(max_size=5)),
    st.tuples(st.just(ua.VariantType.ByteString), st.binary(max_size=5)),
    st.tuples(st.just(ua.VariantType.Guid), st.uuids()),
    st.tuples(st.just(ua.VariantType.Double), st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=4)),
    st.tuples(st.just(ua.VariantType.LocalizedText), st.text(max_size=5).map(ua.LocalizedText)),
    st.tuples(st.just(ua.VariantType.NodeId), st.integers(1, 9).map(lambda n: ua.NodeId(n, 2))),
)


def data_value(kind_and_value, status, source, server) -> ua.DataValue:
    kind, value = kind_and_value
    return ua.DataValue(
        ua.Variant(value, kind, is_array=isinstance(value, list)) if kind is not None else None,
        ua.StatusCode(status) if status is not None else None,
        SourceTimestamp=source,
        ServerTimestamp=server,
    )


def data_values(values) -> st.SearchStrategy[ua.DataValue]:
    status = st.sampled_from([None, 0, 0x40900000, 0x808C0000])
    return st.builds(data_value, values, status, TIMES, TIMES)


anything = data_values(st.one_of(numbers, numbers, others, st.just((None, None))))
# Runs of one kind, as servers send them, with other things between.
runs = st.lists(
    st.one_of(
        anything.map(lambda one: [one]), st.tuples(data_values(numbers), st.integers(1, 200)).map(lambda r: [r[0]] * r[1])
    ),
    max_size=6,
).map(lambda parts: [one for part in parts for one in part])


def ns(time: datetime | None) -> int:
    if time is None:
        return 0
    since = time - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000


def expected(one: ua.DataValue) -> tuple[int, float, object]:
    """Kind, number and object, one value at a time."""
    if one.Value is None or one.Value.Value is None:
        return 0, math.nan, None
    kind, value = one.Value.VariantType.value, one.Value.Value
    if isinstance(value, list):
        return KIND_NOT_SCALAR, math.nan, plain(value)
    if kind > 11:
        return kind, math.nan, plain(value)
    return kind, float(value), value if kind in (8, 9) and abs(value) > 2**53 else None


def check(columns: ValueColumns, values: list[ua.DataValue]) -> None:
    told = [expected(one) for one in values]
    assert columns.kind.tolist() == [kind for kind, _, _ in told]
    np.testing.assert_array_equal(columns.number, [number for _, number, _ in told])
    assert columns.objects == {place: value for place, (_, _, value) in enumerate(told) if value is not None}
    assert columns.status.tolist() == [0 if one.StatusCode is None else one.StatusCode.value for one in values]
    assert columns.source_ns.tolist() == [ns(one.SourceTimestamp) for one in values]
    assert columns.server_ns.tolist() == [ns(one.ServerTimestamp) for one in values]


def read_answer(values: list[ua.DataValue]) -> bytes:
    response = ua.ReadResponse()
    response.ResponseHeader.Timestamp = datetime(2026, 8, 1, tzinfo=UTC)
    response.Results = values
    return struct_to_binary(response)


def publish_answer(values: list[ua.DataValue]) -> bytes:
    items = []
    for row, one in enumerate(values):
        item = ua.MonitoredItemNotification()
        item.ClientHandle, item.Value = 7 * row, one
        items.append(item)
    response = ua.PublishResponse()
    response.ResponseHeader.Timestamp = datetime(2026, 8, 1, tzinfo=UTC)
    response.Parameters.SubscriptionId = 5
    response.Parameters.AvailableSequenceNumbers = [8, 9]
    response.Parameters.NotificationMessage.SequenceNumber = 9
    response.Parameters.NotificationMessage.NotificationData = [ua.DataChangeNotification(MonitoredItems=items)]
    return struct_to_binary(response)


@settings(max_examples=150, deadline=None)
@given(runs)
def test_a_read_equals_asyncua_value_by_value(values: list[ua.DataValue]) -> None:
    columns, clock_ns = read_values(Buffer(read_answer(values)))
    check(columns, values)
    assert columns.row.tolist() == list(range(len(values)))
    assert clock_ns == ns(datetime(2026, 8, 1, tzinfo=UTC))


@settings(max_examples=150, deadline=None)
@given(runs)
def test_a_notification_equals_asyncua_value_by_value(values: list[ua.DataValue]) -> None:
    told = read_publish(Buffer(publish_answer(values)))
    assert (told.subscription, told.sequence, told.is_keepalive, told.status) == (5, 9, False, None)
    (columns,) = told.changes
    check(columns, values)
    assert columns.row.tolist() == [7 * row for row in range(len(values))]


@pytest.mark.parametrize("count", [7, 8, 9, 10, 63, 64, 72, 73, 600, 5000])
def test_runs_of_any_length_end_where_they_end(count: int) -> None:
    """Around the sizes at which the reader changes its step, with another layout behind."""
    run = [data_value((ua.VariantType.Double, float(n)), None, None, None) for n in range(count)]
    values = [*run, data_value((ua.VariantType.Float, 1.5), 0, None, None), *run]
    check(read_values(Buffer(read_answer(values)))[0], values)


def test_a_keepalive_and_the_end_of_a_subscription() -> None:
    response = ua.PublishResponse()
    response.Parameters.NotificationMessage.SequenceNumber = 3
    assert read_publish(Buffer(struct_to_binary(response))).is_keepalive
    change = ua.StatusChangeNotification(Status=ua.StatusCode(0x800A0000))
    response.Parameters.NotificationMessage.NotificationData = [change]
    told = read_publish(Buffer(struct_to_binary(response)))
    assert (told.status, told.is_keepalive, told.changes) == (0x800A0000, False, [])


def test_a_bad_service_result_is_asyncuas_error() -> None:
    response = ua.PublishResponse()
    response.ResponseHeader.ServiceResult = ua.StatusCode(0x80250000)
    with pytest.raises(ua.UaStatusCodeError):
        read_publish(Buffer(struct_to_binary(response)))


SAMPLE = publish_answer(
    [data_value((ua.VariantType.Double, 1.5), 0, datetime(2026, 8, 1, tzinfo=UTC), None)] * 20
    + [data_value((ua.VariantType.String, "idle"), None, None, None)] * 3
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_bytes_are_our_own_error_or_a_value_and_nothing_else(data: st.DataObject) -> None:
    """Cut short, or bytes changed: WireError (or a bad service result), no hang, no memory beyond the message's size."""
    raw = bytearray(SAMPLE)
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=4)):
        raw[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)) | st.just(len(raw)))
    try:
        told = read_publish(Buffer(bytes(raw[:cut])))
    except (WireError, ua.UaStatusCodeError):
        return
    assert sum(len(columns) for columns in told.changes) <= len(raw)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(-1, 2**31), st.booleans())
def test_random_bytes_are_our_own_error_or_values(data: bytes, count: int, handles: bool) -> None:
    def fallback(data: bytes, at: int) -> tuple[object, int]:
        return "x", at + 3

    try:
        columns, end = decode_values(data, 0, count, handles, fallback)
    except WireError:
        return
    assert len(columns) == count
    assert end <= len(data)


def test_a_count_beyond_the_bytes_allocates_nothing() -> None:
    with pytest.raises(WireError, match="2147483647 data values in 40 bytes"):
        decode_values(bytes(40), 0, 2**31 - 1, True, lambda data, at: (None, at))


def test_times_at_the_ends() -> None:
    """No date, 1601, before 1970, and the year 30828."""
    ticks = np.array([0, 1, 116_444_736_000_000_000, 116_444_736_000_000_001, 2**63 - 1])
    assert ticks_to_ns(ticks, np.zeros(5, np.uint16)).tolist() == [0, 0, 0, 100, 2**62 // 100 * 100]


def test_plain_values_are_json() -> None:
    """Dates, ids, codes, bytes, structures; what is nested without end is refused."""
    moment = datetime(2026, 8, 1, 12, tzinfo=UTC)
    assert plain([moment, uuid.UUID(int=7), b"\x00\xff"]) == [moment.isoformat(), str(uuid.UUID(int=7)), "AP8="]
    assert plain(ua.NodeId("Line.Speed", 2)) == "ns=2;s=Line.Speed"
    assert plain(ua.StatusCode(0x80340000)) == "BadNodeIdUnknown"
    assert plain(ua.EUInformation(UnitId=4408652)) == {
        "NamespaceUri": None, "UnitId": 4408652, "DisplayName": None, "Description": None
    }  # fmt: skip
    nest: list = []
    for _ in range(40):
        nest = [nest]
    with pytest.raises(WireError, match="deeply"):
        plain(nest)


def test_a_refused_answer_has_one_status_for_all() -> None:
    columns = columns_without_values([4, 2], 0x80100000)
    assert (columns.row.tolist(), columns.status.tolist()) == ([4, 2], [0x80100000] * 2)
    assert np.isnan(columns.number).all()


@pytest.mark.parametrize("count", [1, 20])
def test_picoseconds_stand_behind_their_timestamp(count: int) -> None:
    """In the order of Part 6, 5.2.2.17 (which asyncua 2.1 does not keep): 10 ps units, 9999 at most."""
    ticks = 116_444_736_000_000_005
    item = struct.pack("<BBdIqHqH", 0x3F, 11, 1.5, 0, ticks, 1234, ticks + 1, 65_535)
    columns, end = decode_values(item * count, 0, count, False, lambda data, at: (None, at))
    assert end == len(item) * count
    assert columns.source_ns.tolist() == [500 + 12] * count
    assert columns.server_ns.tolist() == [600 + 99] * count
    text = struct.pack("<BBIqHqH", 0x3F, 12, 0, ticks, 1234, ticks + 1, 65_535)
    columns, end = decode_values(text, 0, 1, False, lambda data, at: ("x", at + 1))
    assert (columns.source_ns.tolist(), columns.server_ns.tolist(), end) == ([512], [699], len(text))
