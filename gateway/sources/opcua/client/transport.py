"""asyncua's transport with the limits of both sides (OPC UA Part 6, 7.1.2), which the library mixes up or does not have:

what a server is able to receive says nothing of what it sends; a message has an end; and a request that is longer than the
server takes is refused here, so that it is split, because many servers hang up instead of answering. And with our patience:
an answer is late when the server is silent, not while it says other things, or the half of it.
"""

import asyncio
from typing import Any, Final

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UASocketProtocol, UASocketState
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.common.utils import Buffer
from asyncua.crypto.security_policies import SecurityPolicy
from asyncua.ua.uaerrors import BadRequestTooLarge, UaError, UaStatusCodeError

from gateway.sources.opcua.port.adaptive_timeout import AFTER_STALL_S, AdaptiveTimeout

MOST_BYTES: Final = 64 * 1024 * 1024
"""Of one message, or one chunk."""
MOST_CHUNKS: Final = 50_000
CHUNK_BYTES: Final = 65_535
_OVERHEAD_BYTES: Final = 128
"""Of a chunk: headers, signature, padding."""


def bound(client: Client, patience: AdaptiveTimeout) -> Client:
    """The same client, with a transport that keeps the limits."""
    inner = client.uaclient

    def made() -> UASocketProtocol:
        protocol = _Protocol(patience, inner.security_policy)
        protocol.pre_request_hook = inner.pre_request_hook
        protocol.on_connection_lost = inner._on_transport_lost
        protocol.is_session_closing = inner._is_session_closing
        inner.protocol = protocol
        return protocol

    inner._make_protocol = made  # type: ignore[method-assign]  # asyncua has no other way to choose a transport
    return client


class _Protocol(UASocketProtocol):
    _connection: "_Connection"

    def __init__(self, patience: AdaptiveTimeout, security_policy: SecurityPolicy) -> None:
        super().__init__(patience.limit_s, security_policy)
        self._patience = patience
        self._connection = _Connection(security_policy, TransportLimits(CHUNK_BYTES, CHUNK_BYTES, 0, 0))

    def data_received(self, data: bytes) -> None:
        self._patience.on_bytes()
        if self.receive_buffer is not None and len(self.receive_buffer) > MOST_BYTES:
            self.receive_buffer = None
            self._fail_all_pending(ConnectionError("the server's message is too long"))
            self.disconnect_socket()
            return
        super().data_received(data)

    async def send_request(
        self, request: Any, timeout: float | None = None, message_type: Any = ua.MessageType.SecureMessage
    ) -> Buffer:
        """timeout: 0 for none, else it is our patience that counts. Raises TimeoutError."""
        if timeout == 0:
            return await super().send_request(request, timeout, message_type)
        try:
            answer = await self._answer(self._send_request(request, self._patience.limit_s, message_type))
        except (UaError, TimeoutError):
            raise
        except (AttributeError, RuntimeError, OSError):  # how a send on a socket fails that is closed meanwhile
            if self.state is not UASocketState.OPEN:
                raise ConnectionError("Connection is closed") from None
            raise
        self.check_answer(answer, f" in response to {type(request).__name__}")
        return answer

    async def _answer(self, future: asyncio.Future[Buffer]) -> Buffer:
        patience = self._patience
        sent_s = patience.now()
        try:
            while not future.done():
                left_s = patience.remaining_s(sent_s)
                await asyncio.wait([future], timeout=max(left_s, AFTER_STALL_S))
                if left_s <= 0 and not future.done() and patience.remaining_s(sent_s) <= 0:
                    raise TimeoutError
        finally:
            future.cancel()
        patience.record_answer(patience.now() - sent_s)
        return future.result()

    def _process_received_message(self, msg: ua.Message | ua.Acknowledge | ua.ErrorMessage | None) -> None:
        """A refused channel is what the server says of it: asyncua takes it for an opened one, and fails an assertion."""
        if isinstance(msg, ua.Message) and isinstance(msg.SecurityHeader(), ua.AsymmetricAlgorithmHeader):  # type: ignore[no-untyped-call]  # asyncua's
            try:
                self.check_answer(msg.body(), " to OpenSecureChannelRequest")  # type: ignore[no-untyped-call]  # asyncua's
            except UaStatusCodeError as refused:
                self._fail_all_pending(refused)
                return
        super()._process_received_message(msg)

    async def send_hello(self, url: str, max_messagesize: int = 0, max_chunkcount: int = 0) -> ua.Acknowledge:
        """The arguments are asyncua's; the limits are ours."""
        told = await super().send_hello(url, MOST_BYTES, MOST_CHUNKS)
        limits = self._connection._limits
        limits.max_recv_buffer = limits.max_message_size = MOST_BYTES
        limits.max_chunk_count = MOST_CHUNKS
        limits.max_send_buffer = min(told.ReceiveBufferSize or CHUNK_BYTES, CHUNK_BYTES)
        chunks = (told.MaxChunkCount or MOST_CHUNKS) * (limits.max_send_buffer - _OVERHEAD_BYTES)
        self._connection.most_request_bytes = min(told.MaxMessageSize or MOST_BYTES, chunks)
        return told


class _Connection(SecureConnection):
    most_request_bytes: int = MOST_BYTES

    def message_to_binary(self, message: bytes, *rest: Any, **named: Any) -> bytes:
        if len(message) > self.most_request_bytes:
            raise BadRequestTooLarge
        return super().message_to_binary(message, *rest, **named)
