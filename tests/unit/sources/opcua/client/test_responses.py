"""Histories, repeated notifications and events as bytes, against asyncua's own encoder."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.sources.opcua.client.responses import plain, read_history, read_publish, read_republish
from gateway.sources.opcua.codec.errors import WireError

TIME = datetime(2026, 8, 1, tzinfo=UTC)
TIME_NS = round(TIME.timestamp() * 1e9)


def number(value: float) -> ua.DataValue:
    return ua.DataValue(ua.Variant(value, ua.VariantType.Double), SourceTimestamp=TIME, ServerTimestamp=TIME)


def history(*nodes: tuple[list[float], bytes | None]) -> bytes:
    response = ua.HistoryReadResponse()
    for numbers, point in nodes:
        result = ua.HistoryReadResult(ContinuationPoint=point)
        result.HistoryData = ua.HistoryData(DataValues=[number(value) for value in numbers])
        response.Results.append(result)
    return struct_to_binary(response)


def notification() -> ua.NotificationMessage:
    message = ua.NotificationMessage(SequenceNumber=9, PublishTime=TIME)
    item = ua.MonitoredItemNotification(ClientHandle=3, Value=number(1.5))
    event = ua.EventFieldList(ClientHandle=1)
    event.EventFields = [
        ua.Variant(b"\x01", ua.VariantType.ByteString),
        ua.Variant(ua.NodeId(2041), ua.VariantType.NodeId),
        ua.Variant(ua.LocalizedText("Hot"), ua.VariantType.LocalizedText),
        ua.Variant(TIME, ua.VariantType.DateTime),
        ua.Variant(None),
    ]
    data = [ua.DataChangeNotification(MonitoredItems=[item]), ua.EventNotificationList(Events=[event])]
    message.NotificationData = [*data, data[0]]
    return message


def published() -> bytes:
    response = ua.PublishResponse()
    response.Parameters.SubscriptionId = 5
    response.Parameters.AvailableSequenceNumbers = [7, 9]
    response.Parameters.NotificationMessage = notification()
    return struct_to_binary(response)


def republished() -> bytes:
    return struct_to_binary(ua.RepublishResponse(NotificationMessage=notification()))


def test_history_comes_per_node_with_its_continuation_point() -> None:
    answers = read_history(Buffer(history(([1.0, 2.0], b"more"), ([], None), ([3.0], None))))
    assert [(one.status, one.point, one.columns.number.tolist()) for one in answers] == [
        (0, b"more", [1.0, 2.0]), (0, b"", []), (0, b"", [3.0]),
    ]  # fmt: skip
    assert answers[0].columns.source_ns.tolist() == [TIME_NS, TIME_NS]


def test_a_node_without_history_is_a_status() -> None:
    response = ua.HistoryReadResponse()
    response.Results = [ua.HistoryReadResult(StatusCode=ua.StatusCode(0x80730000))]
    (answer,) = read_history(Buffer(struct_to_binary(response)))
    assert (answer.status, len(answer.columns)) == (0x80730000, 0)


def test_history_of_another_kind_is_refused() -> None:
    response = ua.HistoryReadResponse()
    response.Results = [ua.HistoryReadResult(HistoryData=ua.HistoryEvent())]
    with pytest.raises(WireError, match="not what was asked for"):
        read_history(Buffer(struct_to_binary(response)))


def test_values_and_events_of_one_notification_with_what_can_be_repeated() -> None:
    told = read_publish(Buffer(published()))
    assert (told.subscription, told.sequence, told.published_ns, list(told.available)) == (5, 9, TIME_NS, [7, 9])
    assert [columns.number.tolist() for columns in told.changes] == [[1.5], [1.5]]
    (event,) = told.events
    assert event.notifier == 1
    assert list(event.values) == ["AQ==", "i=2041", "Hot", "2026-08-01T00:00:00+00:00", None]


def test_a_repeated_notification_is_the_same_without_its_subscription() -> None:
    told = read_republish(Buffer(republished()))
    assert (told.subscription, told.sequence, told.is_keepalive, len(told.changes), len(told.events)) == (0, 9, False, 2, 1)


SAMPLES: list[tuple[Callable[[Buffer], object], bytes]] = [
    (read_history, history(([1.0] * 20, b"more"), ([2.0], None))),
    (read_publish, published()),
    (read_republish, republished()),
]


@pytest.mark.parametrize(("read", "sample"), SAMPLES, ids=["history", "publish", "republish"])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_bytes_are_our_own_error_or_something(
    read: Callable[[Buffer], object], sample: bytes, data: st.DataObject
) -> None:
    raw = bytearray(sample)
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=4)):
        raw[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)) | st.just(len(raw)))
    try:
        read(Buffer(bytes(raw[:cut])))
    except (WireError, ua.UaStatusCodeError):
        return


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "Good"),
        (0x80000000, "Bad"),
        (0x80340000, "BadNodeIdUnknown"),
        (0x80340400, "BadNodeIdUnknown (0x80340400)"),
        (0x00000480, "Good (0x00000480)"),
        (0x92340000, "0x92340000"),
    ],
)
def test_status_codes_as_values_are_never_rounded(code, text):
    assert plain(ua.StatusCode(code)) == text


def test_expanded_ids_are_written_as_the_standard_writes_them():
    ids = [
        ua.ExpandedNodeId(7, 2),
        ua.ExpandedNodeId("a;b", 0, NamespaceUri="urn:x"),
        ua.ExpandedNodeId("a;b", 2, ServerIndex=1),
    ]
    assert [plain(one) for one in ids] == ["ns=2;i=7", "nsu=urn:x;s=a;b", "svr=1;ns=2;s=a;b"]
