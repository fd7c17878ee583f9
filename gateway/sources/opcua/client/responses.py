"""The frequent responses, from bytes of asyncua's transport to columns; values by `codec.data_values`."""

import base64
import math
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final
from uuid import UUID

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.ua_binary import extensionobject_from_binary, nodeid_from_binary, variant_from_binary

from gateway.sources.opcua.client.publish_loop import Notification
from gateway.sources.opcua.codec.bounds import MOST_ANSWER, MOST_VALUES, Budget
from gateway.sources.opcua.codec.columns import ValueColumns
from gateway.sources.opcua.codec.data_values import Fallback, Refused, columns_without_values, decode_values, ticks_to_ns
from gateway.sources.opcua.codec.errors import DECODING, TooLarge, ValueRefused, WireError
from gateway.sources.opcua.codec.skipping import Skipper
from gateway.sources.opcua.codec.texts import sound
from gateway.sources.opcua.codec.types.bounded_buffer import BoundedBuffer, bounded
from gateway.sources.opcua.codec.types.structures import Types
from gateway.sources.opcua.port.events import EventFields
from gateway.sources.opcua.port.history import HistoryPage

_DATA_CHANGE: Final = ua.NodeId(ua.Int32(ObjectIds.DataChangeNotification_Encoding_DefaultBinary))
_EVENTS: Final = ua.NodeId(ua.Int32(ObjectIds.EventNotificationList_Encoding_DefaultBinary))
_IS_ARRAY: Final = 0x80
_HISTORY_DATA: Final = ua.NodeId(ua.Int32(ObjectIds.HistoryData_Encoding_DefaultBinary))
_DEEPEST: Final = 16
MOST_PARTS: Final = 10_000
"""Notifications or numbers to be repeated of one message, nodes of one answer with history."""
_CODE: Final = 0xFFFF0000
_SEVERITIES: Final = {"Good": 0, "Uncertain": 0x40000000, "Bad": 0x80000000}
"""What asyncua calls codes that it does not know, too."""


def read_publish(answer: Buffer, types: Types | None = None) -> Notification:
    """Decode a PublishResponse (Part 4, 5.13.5). types: the session's.

    Raises WireError, TooLarge, or ua.UaError for a bad service result.
    """
    return _read_notification(answer, types, with_subscription=True)


def read_republish(answer: Buffer, types: Types | None = None) -> Notification:
    """Decode a RepublishResponse (Part 4, 5.13.6), which does not name its subscription. Raises as above."""
    return _read_notification(answer, types, with_subscription=False)


def _read_notification(answer: Buffer, types: Types | None, *, with_subscription: bool) -> Notification:
    buffer, server_ns = _head(answer)
    types = types or Types()
    decoders = variants(types, buffer.budget), event_fields(types, buffer.budget)
    with DECODING:
        notification = _published(buffer, *decoders) if with_subscription else _message(buffer, 0, (), *decoders)
    notification.server_clock_ns = server_ns or notification.published_ns
    return notification


def read_values(answer: Buffer, types: Types | None = None) -> tuple[ValueColumns, int]:
    """Decode a ReadResponse (Part 4, 5.10.2). Raises as above.

    Returns the values in the order of the request, and the server's clock in ns.
    """
    buffer, server_ns = _head(answer)
    with DECODING:
        count = max(0, _number(buffer, 4, signed=True))  # -1: no list
    columns, _ = decode_values(buffer.data, buffer.cur_pos, count, False, variants(types or Types(), buffer.budget))
    return columns, server_ns


def read_history(answer: Buffer, types: Types | None = None) -> list[HistoryPage]:
    """Decode a HistoryReadResponse (Part 4, 5.10.3) with HistoryData (Part 11, 6.5.2), a page per node. Raises as above."""
    buffer, _ = _head(answer)
    variant = variants(types or Types(), buffer.budget)
    pages: list[HistoryPage] = []
    values = 0
    with DECODING:
        for _ in range(max(0, _number(buffer, 4, signed=True))):
            pages.append(_history(buffer, variant))
            values += len(pages[-1].columns)
            if values > MOST_VALUES or len(pages) > MOST_PARTS:
                raise TooLarge
    return pages


def _history(buffer: BoundedBuffer, variant: Fallback) -> HistoryPage:
    status, length = _number(buffer, 4), _number(buffer, 4, signed=True)
    point = bytes(buffer.read(length)) if length > 0 else b""
    place = buffer.copy()
    kind, encoding = nodeid_from_binary(buffer), buffer.read(1)
    if encoding == b"\x00":
        return HistoryPage(status, point, columns_without_values([], 0))
    body = buffer.copy(_number(buffer, 4, signed=True))
    end = body.cur_pos + len(body)
    buffer.skip(end - buffer.cur_pos)
    if kind != _HISTORY_DATA or encoding != b"\x01":
        raise WireError(f"history as {place.read(4).hex()} is not what was asked for")
    count = max(0, _number(body, 4, signed=True))
    columns, _ = decode_values(body.data, body.cur_pos, count, False, variant, end)
    return HistoryPage(status, point, columns)


def _head(answer: Buffer) -> tuple[BoundedBuffer, int]:
    """Return the response behind its header, and the server's clock in ns."""
    buffer = answer.copy() if isinstance(answer, BoundedBuffer) else bounded(answer, Budget(MOST_ANSWER))
    with DECODING:
        nodeid_from_binary(buffer)
        ticks = np.frombuffer(buffer.data, "<i8", 1, buffer.cur_pos)
        result = int.from_bytes(buffer.data[buffer.cur_pos + 12 : buffer.cur_pos + 16], "little")
        buffer.skip(Skipper(buffer.data, buffer.budget).header(buffer.cur_pos) - buffer.cur_pos)
    ua.StatusCode(ua.UInt32(result)).check()
    return buffer, int(ticks_to_ns(ticks, np.zeros(1, np.uint16))[0])


def _published(buffer: BoundedBuffer, variant: Fallback, field: Fallback) -> Notification:
    subscription = _number(buffer, 4)
    held = max(0, _number(buffer, 4, signed=True))
    available = np.frombuffer(buffer.read(4 * held), "<u4")[:MOST_PARTS].tolist()
    buffer.skip(1)  # more notifications follow: they come by themselves
    try:
        with DECODING:
            return _message(buffer, subscription, available, variant, field)
    except WireError as error:
        error.subscription = subscription
        raise


def _message(
    buffer: BoundedBuffer, subscription: int, available: Sequence[int], variant: Fallback, field: Fallback
) -> Notification:
    sequence = _number(buffer, 4)
    published_ns = int(ticks_to_ns(np.array([_number(buffer, 8, signed=True)]), np.zeros(1, np.uint16))[0])
    count = max(0, _number(buffer, 4, signed=True))
    notification = Notification(subscription, sequence, count == 0, 0, published_ns, available)
    if count > MOST_PARTS:
        raise TooLarge
    values = 0
    for _ in range(count):
        place = buffer.copy()
        kind, encoding = nodeid_from_binary(buffer), buffer.read(1)
        if kind == _DATA_CHANGE and encoding == b"\x01":
            body = buffer.copy(_number(buffer, 4, signed=True))
            items = max(0, _number(body, 4, signed=True))
            end = body.cur_pos + len(body)
            values += items
            if values > MOST_VALUES:
                raise TooLarge
            columns, _ = decode_values(buffer.data, body.cur_pos, items, True, variant, end)
            notification.changes.append(columns)
            buffer.skip(end - buffer.cur_pos)
        elif kind == _EVENTS and encoding == b"\x01":
            body = buffer.copy(_number(buffer, 4, signed=True))
            buffer.skip(len(body))
            notification.events += _events(body, field)
        else:
            other = extensionobject_from_binary(place)
            buffer.skip(place.cur_pos - buffer.cur_pos)
            if isinstance(other, ua.StatusChangeNotification):
                notification.status = other.Status.value
    return notification


def _events(body: BoundedBuffer, field: Fallback) -> list[EventFields]:
    """Decode an EventNotificationList (Part 4, 7.25.3); a field that is refused is null."""
    events = []
    for _ in range(max(0, _number(body, 4, signed=True))):
        handle, values = _number(body, 4), []
        for _ in range(max(0, _number(body, 4, signed=True))):
            value, end = field(body.data, body.cur_pos)
            body.skip(end - body.cur_pos)
            values.append(None if isinstance(value, Refused) else value)
        events.append(EventFields(handle, values))
    return events


def _number(buffer: Buffer, size: int, *, signed: bool = False) -> int:
    return int.from_bytes(buffer.read(size), "little", signed=signed)


def variants(types: Types, budget: Budget) -> Fallback:
    """Return a decoder of variants that are no numbers, structures by the session's types.

    What is too large for one value, or does not fit any more into the budget of the answer, is `Refused`.
    """
    return _refusing(lambda data, at: types.variant(data, at, plain, budget), budget)


def event_fields(types: Types, budget: Budget) -> Fallback:
    """Return a decoder of the fields of events, which asyncua decodes unless they are arrays; otherwise as `variants`."""

    def read(data: bytes, at: int) -> tuple[object, int]:
        buffer = BoundedBuffer(data, at, budget=budget)
        if buffer.peek() & _IS_ARRAY:
            return types.variant(data, at, plain, budget)
        return plain(variant_from_binary(buffer)), buffer.cur_pos

    return _refusing(read, budget)


def _refusing(decode: Fallback, budget: Budget) -> Fallback:
    skipper: Skipper | None = None

    def read(data: bytes, at: int) -> tuple[object, int]:
        nonlocal skipper
        rest = budget.open_value()
        try:
            return decode(data, at)
        except ValueRefused as refused:
            if isinstance(refused, TooLarge) and not budget.is_final(rest):
                raise
            skipper = skipper or Skipper(data, budget)
            return Refused(refused.status), skipper.variant(at)
        finally:
            budget.close_value(rest)

    return read


def plain(value: Any, depth: int = _DEEPEST) -> object:
    """Convert a value of asyncua to what JSON can carry without loss.

    Dates as ISO 8601 in UTC, bytes as base64, ids and codes as their text, structures as objects of their fields, by the
    type's name where a server's own type is not known. Raises WireError for the rest.
    """
    if depth == 0:
        raise WireError("nested too deeply")
    if isinstance(value, list | tuple):
        return [plain(one, depth - 1) for one in value]
    if isinstance(value, ua.Variant | ua.DataValue):
        return plain(value.Value, depth - 1)
    for kind, text in _TEXTS:
        if isinstance(value, kind):
            return sound(made) if isinstance(made := text(value), str) else made
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, int | float):
        return value
    if is_dataclass(value):
        return {one.name: plain(getattr(value, one.name), depth - 1) for one in fields(value) if one.name != "Encoding"}
    raise WireError(f"a {type(value).__name__} is nothing that we can pass on")


def _expanded(node: ua.ExpandedNodeId) -> str:
    """Server index, namespace by its URI where that is said, and id (Part 6, 5.3.1.11)."""
    text = ua.NodeId(node.Identifier, node.NamespaceIndex, node.NodeIdType).to_string()
    if node.NamespaceUri:
        text = f"nsu={node.NamespaceUri};{text.removeprefix(f'ns={node.NamespaceIndex};')}"
    return f"svr={node.ServerIndex};{text}" if node.ServerIndex else text


def _code(code: ua.StatusCode) -> str:
    """Return a code's symbol; with its number where the code is not known or has further bits (Part 4, 7.39)."""
    known, rest = ua.StatusCode(ua.UInt32(code.value & _CODE)), code.value & ~_CODE
    is_known = known.name not in _SEVERITIES or known.value == _SEVERITIES[known.name]
    if is_known and not rest:
        return str(known.name)
    return f"{known.name} ({code.value:#010x})" if is_known else f"{code.value:#010x}"


_TEXTS: Final[tuple[tuple[type, Callable[[Any], object]], ...]] = (
    (str, str),
    (Enum, lambda value: plain(value.value)),
    (bytes, lambda value: base64.b64encode(value).decode()),
    (datetime, lambda value: value.replace(tzinfo=UTC).isoformat()),
    (UUID, str),
    (ua.LocalizedText, lambda value: value.Text),
    (ua.ExpandedNodeId, _expanded),
    (ua.NodeId, lambda value: value.to_string()),
    (ua.QualifiedName, lambda value: value.to_string()),
    (ua.StatusCode, _code),
    (ua.XmlElement, lambda value: value.Value),
    (ua.ExtensionObject, lambda value: {"type": value.TypeId.to_string(), "body": plain(value.Body)}),
)
