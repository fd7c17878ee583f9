"""The role `History` on asyncua: HistoryRead (Part 4, 5.10.3; Part 11, 6.4.3)."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds

from gateway.sources.opcua.client.addresses import Addresses
from gateway.sources.opcua.client.column_session import ColumnSession
from gateway.sources.opcua.client.errors import translate_errors
from gateway.sources.opcua.client.responses import read_values
from gateway.sources.opcua.client.services import expect
from gateway.sources.opcua.port.batches import Batches
from gateway.sources.opcua.port.errors import ServiceFault, Unanswered
from gateway.sources.opcua.port.history import HistoryPage
from gateway.sources.opcua.port.values import Item
from gateway.sources.opcua.status.codes import BAD_TIMEOUT, is_good

log = structlog.get_logger("opcua")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HISTORY_READ: Final = 0x04
_ASKED: Final = (AttributeIds.AccessLevel, AttributeIds.UserAccessLevel, AttributeIds.Historizing)


class HistoryReads:
    """The role `History` of one session. batches: those of its reads of attributes."""

    def __init__(self, session: ColumnSession, batches: Batches, addresses: Addresses) -> None:
        self._session = session
        self._reads = batches
        self._addresses = addresses

    async def readable(self, items: Sequence[Item]) -> list[bool]:
        """Return for each node whether it has a history that the user may read."""
        await self._addresses.resolve(item.node for item in items)
        asked = [item for item in items if not self._addresses.status_of(item.node)]
        batches = Batches(max(1, self._reads.size // len(_ASKED)))
        answers = await batches.run(asked, self._ask, lambda batch, status: [True] * len(batch))
        readable_by_row = dict(zip((item.row for item in asked), (one for some in answers for one in some), strict=True))
        return [readable_by_row.get(item.row, False) for item in items]

    async def _ask(self, batch: Sequence[Item]) -> list[bool]:
        """Return whether the user may read each node's history: by its AccessLevel (Part 3, 8.57), else by Historizing."""
        nodes = [self._addresses.node(item.node) for item in batch]
        request = ua.ReadRequest()
        request.Parameters.NodesToRead = [
            ua.ReadValueId(NodeId=node, AttributeId=attribute) for node in nodes for attribute in _ASKED
        ]
        with translate_errors("cannot read"):
            columns, _ = read_values(await self._session._send_request(request))
        number, status = columns.number.tolist(), columns.status.tolist()
        values = [int(n) if is_good(s) and math.isfinite(n) else None for n, s in zip(number, status, strict=True)]
        answers = [_readable(*values[at : at + len(_ASKED)]) for at in range(0, len(values), len(_ASKED))]
        expect(answers, batch)
        return answers

    async def read(
        self, items: Sequence[Item], start_ns: int, end_ns: int, most: int, points: Sequence[bytes]
    ) -> list[HistoryPage]:
        """Read raw history in one service call; see `History.read`."""
        details = ua.ReadRawModifiedDetails()
        details.IsReadModified, details.ReturnBounds = False, False
        details.StartTime, details.EndTime = _date(start_ns), _date(end_ns)
        details.NumValuesPerNode = most
        request = self._request(items, points)
        request.Parameters.HistoryReadDetails = details
        try:
            with translate_errors("cannot read history"):
                answers = await self._session.read_past(request)
        except Unanswered:  # an archive may be slow: whether the server is there shows elsewhere
            raise ServiceFault(BAD_TIMEOUT) from None
        expect(answers, items)
        return answers

    async def release(self, items: Sequence[Item], points: Sequence[bytes]) -> None:
        """Release continuation points; see `History.release`."""
        request = self._request(items, points)
        request.Parameters.HistoryReadDetails = ua.ReadRawModifiedDetails()
        request.Parameters.ReleaseContinuationPoints = True
        try:
            with translate_errors("cannot read history"):
                await self._session._send_request(request)
        except ServiceFault as fault:  # what was read stays valid, and points end with the session
            log.debug("points of history cannot be released: %s", fault)

    def _request(self, items: Sequence[Item], points: Sequence[bytes]) -> ua.HistoryReadRequest:
        request = ua.HistoryReadRequest()
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        request.Parameters.ReleaseContinuationPoints = False
        request.Parameters.NodesToRead = [
            ua.HistoryReadValueId(
                NodeId=self._addresses.node(item.node), IndexRange=item.index or None, ContinuationPoint=point or None
            )
            for item, point in zip(items, points, strict=True)
        ]
        return request


def _readable(access: int | None, user_access: int | None, historizing: int | None) -> bool:
    """Return True where the server gives none of the attributes: reading will show it."""
    may = access if user_access is None else user_access
    return historizing != 0 if may is None else bool(may & _HISTORY_READ)


def _date(time_ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=time_ns // 1000)
