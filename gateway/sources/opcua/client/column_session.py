"""The frequent services of a session, decoded to columns: Publish, Republish, Read of values, HistoryRead. On asyncua."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from asyncua import ua
from asyncua.client.ua_client import UaClient
from asyncua.client.ua_session import SessionState
from asyncua.common.utils import Buffer

from gateway.sources.opcua.client.bounded_session import BoundedSession
from gateway.sources.opcua.client.decoding import decode_answer
from gateway.sources.opcua.client.errors import translate_errors
from gateway.sources.opcua.client.publish_loop import Notification
from gateway.sources.opcua.client.receipt import Receipt
from gateway.sources.opcua.client.responses import read_history, read_publish, read_republish, read_values
from gateway.sources.opcua.codec.bounds import DEEPEST
from gateway.sources.opcua.codec.columns import ValueColumns
from gateway.sources.opcua.codec.errors import WireError
from gateway.sources.opcua.codec.types.structures import Types
from gateway.sources.opcua.port.history import HistoryPage

T = TypeVar("T")


class ColumnSession(BoundedSession):
    """asyncua's session, without its publish loop, and with its frequent answers as columns."""

    def __init__(self, client: UaClient) -> None:
        super().__init__(client)
        self.types = Types()
        self.learn: Callable[[], Awaitable[None]] = _learn_nothing
        """Reads the types in `types.missing` from the server; set by the session's owner."""
        self._in_order = asyncio.Lock()

    def move(self, client: UaClient) -> None:
        """Move to another transport; the authentication token stays, and the session is to be activated again."""
        self._client = client
        self._set_state(SessionState.CREATED)

    def ensure_publish_loop(self) -> None:
        """Do nothing: `PublishLoop` keeps several publish requests in flight and hides no error."""

    async def publish_once(self, acks: Sequence[tuple[int, int]]) -> Notification:
        """See `PublishService.publish_once`."""
        request = ua.PublishRequest()
        request.Parameters.SubscriptionAcknowledgements = [ua.SubscriptionAcknowledgement(*ack) for ack in acks]
        return await self._notified(request, read_publish, 0)

    async def republish_once(self, subscription: int, sequence: int) -> Notification:
        """See `PublishService.republish_once`."""
        request = ua.RepublishRequest()
        request.Parameters.SubscriptionId = subscription
        request.Parameters.RetransmitSequenceNumber = sequence
        return await self._notified(request, read_republish, None)

    async def _notified(
        self, request: Any, read: Callable[[Buffer, Types], Notification], timeout_s: float | None
    ) -> Notification:
        with translate_errors("the subscription is lost"):
            answer: Any = await self._send_request(request, timeout=timeout_s)
            try:
                notification = await self._decoded(answer, read)
            except WireError as error:
                undecoded = error
            else:
                notification.received_ns, _, notification.late_ns = answer.receipt
                return notification
        raise undecoded

    async def read_columns(self, nodes: list[ua.ReadValueId]) -> tuple[ValueColumns, int, Receipt]:
        """Read values with both timestamps. Returns them, the server's clock in ns, and the receipt. Raises WireError."""
        request = ua.ReadRequest()
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        request.Parameters.NodesToRead = nodes
        answer: Any = await self._send_request(request)
        return *await self._decoded(answer, read_values), answer.receipt

    async def read_past(self, request: ua.HistoryReadRequest) -> list[HistoryPage]:
        """Read history. Raises WireError."""
        answer = await self._send_request(request)
        return await self._decoded(answer, read_history)

    async def _decoded(self, answer: Any, read: Callable[[Buffer, Types], T]) -> T:
        """Decode an answer, again after learning types that were missing or have changed; answers keep their order."""

        def decode(buffer: Buffer) -> T:
            return read(buffer, self.types)

        async with self._in_order:
            self.types.may_doubt = True
            result = await decode_answer(answer, decode)
            for _ in range(DEEPEST):
                if not (self.types.missing or self.types.is_doubtful):
                    break
                await self.learn()
                result = await decode_answer(answer, decode)
            return result


async def _learn_nothing() -> None:
    """Learn no types: the default until the owner sets another."""
