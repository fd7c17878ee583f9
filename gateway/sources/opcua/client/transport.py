"""asyncua's transport with the limits of both sides (OPC UA Part 6, 7.1.2) and with adaptive timeouts.

asyncua mixes the limits up: what a server can receive says nothing of what it sends, and it has no longest message. A
request that is longer than the server takes is refused here, so that it is split: many servers hang up instead of answering.
An answer is late when the server is silent, not while it sends other things, or half of the answer.
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


def bind_transport(client: Client, adaptive: AdaptiveTimeout) -> Client:
    """Give a client the transport of this module. Returns the same client."""
    inner = client.uaclient

    def made() -> UASocketProtocol:
        protocol = _Protocol(adaptive, inner.security_policy)
        protocol.pre_request_hook = inner.pre_request_hook
        protocol.on_connection_lost = inner._on_transport_lost
        protocol.is_session_closing = inner._is_session_closing
        inner.protocol = protocol
        return protocol

    inner._make_protocol = made  # type: ignore[method-assign]  # asyncua has no other way to choose a transport
    return client


class _Protocol(UASocketProtocol):
    _connection: "_Connection"

    def __init__(self, adaptive: AdaptiveTimeout, security_policy: SecurityPolicy) -> None:
        super().__init__(adaptive.limit_s, security_policy)
        self._adaptive = adaptive
        self._connection = _Connection(security_policy, TransportLimits(CHUNK_BYTES, CHUNK_BYTES, 0, 0))

    def data_received(self, data: bytes) -> None:
        self._adaptive.on_bytes()
        if self.receive_buffer is not None and len(self.receive_buffer) > MOST_BYTES:
            self.receive_buffer = None
            self._fail_all_pending(ConnectionError("the server's message is too long"))
            self.disconnect_socket()
            return
        super().data_received(data)

    async def send_request(
        self, request: Any, timeout: float | None = None, message_type: Any = ua.MessageType.SecureMessage
    ) -> Buffer:
        """Send a request and wait for its answer. timeout: 0 for none, else the adaptive one. Raises TimeoutError."""
        if timeout == 0:
            return await super().send_request(request, timeout, message_type)
        try:
            answer = await self._answer(self._send_request(request, self._adaptive.limit_s, message_type))
        except (UaError, TimeoutError):
            raise
        except (AttributeError, RuntimeError, OSError):  # how a send on a socket fails that is closed meanwhile
            if self.state is not UASocketState.OPEN:
                raise ConnectionError("Connection is closed") from None
            raise
        self.check_answer(answer, f" in response to {type(request).__name__}")
        return answer

    async def _answer(self, future: asyncio.Future[Buffer]) -> Buffer:
        adaptive = self._adaptive
        sent_s = adaptive.now()
        try:
            while not future.done():
                left_s = adaptive.remaining_s(sent_s)
                await asyncio.wait([future], timeout=max(left_s, AFTER_STALL_S))
                if left_s <= 0 and not future.done() and adaptive.remaining_s(sent_s) <= 0:
                    raise TimeoutError
        finally:
            future.cancel()
        adaptive.record_answer(adaptive.now() - sent_s)
        return future.result()

    def _process_received_message(self, msg: ua.Message | ua.Acknowledge | ua.ErrorMessage | None) -> None:
        """Fail with the server's status where it refuses a channel: asyncua takes it for an opened one."""
        if isinstance(msg, ua.Message) and isinstance(msg.SecurityHeader(), ua.AsymmetricAlgorithmHeader):  # type: ignore[no-untyped-call]  # asyncua's
            try:
                self.check_answer(msg.body(), " to OpenSecureChannelRequest")  # type: ignore[no-untyped-call]  # asyncua's
            except UaStatusCodeError as refused:
                self._fail_all_pending(refused)
                return
        super()._process_received_message(msg)

    async def send_hello(self, url: str, max_messagesize: int = 0, max_chunkcount: int = 0) -> ua.Acknowledge:
        """Send Hello with our limits instead of asyncua's, and set those of the server."""
        acknowledge = await super().send_hello(url, MOST_BYTES, MOST_CHUNKS)
        limits = self._connection._limits
        limits.max_recv_buffer = limits.max_message_size = MOST_BYTES
        limits.max_chunk_count = MOST_CHUNKS
        limits.max_send_buffer = min(acknowledge.ReceiveBufferSize or CHUNK_BYTES, CHUNK_BYTES)
        chunks = (acknowledge.MaxChunkCount or MOST_CHUNKS) * (limits.max_send_buffer - _OVERHEAD_BYTES)
        self._connection.most_request_bytes = min(acknowledge.MaxMessageSize or MOST_BYTES, chunks)
        return acknowledge


class _Connection(SecureConnection):
    most_request_bytes: int = MOST_BYTES

    def message_to_binary(self, message: bytes, *rest: Any, **named: Any) -> bytes:
        if len(message) > self.most_request_bytes:
            raise BadRequestTooLarge
        return super().message_to_binary(message, *rest, **named)
