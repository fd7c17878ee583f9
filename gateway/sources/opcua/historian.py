"""HistoryRead on asyncua (Part 4, 5.10.3; Part 11, 6.4.3)."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from asyncua import ua
from asyncua.client.ua_session import UaSession
from asyncua.ua.attribute_ids import AttributeIds

from gateway.sources.opcua.connection import History
from gateway.sources.opcua.responses import read_history, read_values
from gateway.sources.opcua.status import is_good
from gateway.sources.opcua.structures import Types

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HISTORY_READ: Final = 0x04
_ASKED: Final = (AttributeIds.AccessLevel, AttributeIds.UserAccessLevel, AttributeIds.Historizing)
ATTRIBUTES: Final = len(_ASKED)
"""Operations of one read per node in `have_history`."""


async def have_history(session: UaSession, nodes: Sequence[ua.NodeId]) -> list[bool]:
    """Whether the user may read each node's history: its AccessLevel says so (Part 3, 8.57), or it is being historized."""
    request = ua.ReadRequest()
    request.Parameters.NodesToRead = [
        ua.ReadValueId(NodeId=node, AttributeId=attribute) for node in nodes for attribute in _ASKED
    ]
    columns, _ = read_values(await session._send_request(request))
    number, status = columns.number.tolist(), columns.status.tolist()
    values = [int(n) if is_good(s) and math.isfinite(n) else None for n, s in zip(number, status, strict=True)]
    return [_readable(*values[at : at + ATTRIBUTES]) for at in range(0, len(values), ATTRIBUTES)]


def _readable(access: int | None, user_access: int | None, historizing: int | None) -> bool:
    may = access if user_access is None else user_access
    return bool(historizing) if may is None else bool(may & _HISTORY_READ)


async def read_raw(
    session: UaSession,
    nodes: Sequence[ua.NodeId],
    start_ns: int,
    end_ns: int,
    most: int,
    points: Sequence[bytes],
    types: Types,
) -> list[History]:
    """See `Connection.history`. types: the session's."""
    details = ua.ReadRawModifiedDetails()
    details.IsReadModified, details.ReturnBounds = False, False
    details.StartTime, details.EndTime = _date(start_ns), _date(end_ns)
    details.NumValuesPerNode = most
    request = _request(nodes, points)
    request.Parameters.HistoryReadDetails = details
    return read_history(await session._send_request(request), types)


async def release(session: UaSession, nodes: Sequence[ua.NodeId], points: Sequence[bytes]) -> None:
    """Free continuation points."""
    request = _request(nodes, points)
    request.Parameters.HistoryReadDetails = ua.ReadRawModifiedDetails()
    request.Parameters.ReleaseContinuationPoints = True
    await session._send_request(request)


def _request(nodes: Sequence[ua.NodeId], points: Sequence[bytes]) -> ua.HistoryReadRequest:
    request = ua.HistoryReadRequest()
    request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
    request.Parameters.ReleaseContinuationPoints = False
    request.Parameters.NodesToRead = [
        ua.HistoryReadValueId(NodeId=node, ContinuationPoint=point or None)
        for node, point in zip(nodes, points, strict=True)
    ]
    return request


def _date(time_ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=time_ns // 1000)
