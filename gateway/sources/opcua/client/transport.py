"""asyncua's transport with the limits of both sides (OPC UA Part 6, 7.1.2) and with adaptive timeouts.

asyncua mixes the limits up: what a server can receive says nothing of what it sends, and it has no longest message. A
request that is longer than the server takes is refused here, so that it is split: many servers hang up instead of answering.
An answer is late when the server is silent, not while it sends other things, or half of the answer. An answer that is longer
than we take costs its request, not the connection; before a session is open nothing long is taken at all.
"""

import asyncio
import time
from functools import partial
from typing import Any, Final

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UaClient, UASocketProtocol, UASocketState
from asyncua.common.connection import MessageChunk, SecureConnection, TransportLimits
from asyncua.common.utils import Buffer
from asyncua.crypto.security_policies import SecurityPolicy
from asyncua.ua.ua_binary import struct_from_binary, uatcp_to_binary
from asyncua.ua.uaerrors import BadRequestTooLarge, BadResponseTooLarge, UaError, UaStatusCodeError

from gateway.sources.opcua.client.chunk_buffer import CHUNK_BYTES, BadChunk, ChunkBuffer
from gateway.sources.opcua.client.decoding import decode_answer
from gateway.sources.opcua.client.receipt import NO_RECEIPT, Answer, Receipt, Stamp, unstamped
from gateway.sources.opcua.codec.bounds import MOST_AT_ONCE, MOST_SERVICE, Budget
from gateway.sources.opcua.port.adaptive_timeout import AFTER_STALL_S, AdaptiveTimeout

MOST_BYTES: Final = 4 * 1024 * 1024
"""Of one message."""
MOST_CHUNKS: Final = 2_048
BYTES_BEFORE_SESSION: Final = 512 * 1024
"""Of one message until a session is open: endpoints, each with certificates."""
MOST_DROPPED: Final = 64 * 1024 * 1024
"""Of a message that is too long anyway; a server that goes on is left."""
SLICE_S: Final = 0.005
"""How long chunks are processed before the event loop has its turn."""
_OVERHEAD_BYTES: Final = 128
"""Of a chunk: headers, signature, padding."""


def bind_transport(client: Client, adaptive: AdaptiveTimeout, stamp: Stamp = unstamped) -> Client:
    """Give a client the transport of this module. Returns the same client. stamp: gives answers their `Receipt`."""
    inner = client.uaclient

    def made() -> UASocketProtocol:
        protocol = _Protocol(adaptive, inner.security_policy, stamp)
        protocol.pre_request_hook = inner.pre_request_hook
        protocol.on_connection_lost = inner._on_transport_lost
        protocol.is_session_closing = inner._is_session_closing
        inner.protocol = protocol
        return protocol

    inner._make_protocol = made  # type: ignore[method-assign]  # asyncua has no other way to choose a transport
    inner.get_endpoints = partial(_get_endpoints, inner)  # type: ignore[method-assign]  # it would decode without a budget
    inner.find_servers = partial(_find_servers, inner)  # type: ignore[method-assign]
    return client


def admit_long_messages(client: UaClient) -> None:
    """Take messages of up to `MOST_BYTES` from now on: a session is open."""
    if isinstance(client.protocol, _Protocol):
        client.protocol._connection.most_bytes = MOST_BYTES


async def _get_endpoints(client: UaClient, params: ua.GetEndpointsParameters) -> list[ua.EndpointDescription]:
    request = ua.GetEndpointsRequest(Parameters=params)
    answer: Any = await client._send_request(request)
    response = await decode_answer(answer, partial(struct_from_binary, ua.GetEndpointsResponse), MOST_SERVICE)
    response.ResponseHeader.ServiceResult.check()
    return response.Endpoints or []


async def _find_servers(client: UaClient, params: ua.FindServersParameters) -> list[ua.ApplicationDescription]:
    request = ua.FindServersRequest(Parameters=params)
    answer: Any = await client._send_request(request)
    response = await decode_answer(answer, partial(struct_from_binary, ua.FindServersResponse), MOST_SERVICE)
    response.ResponseHeader.ServiceResult.check()
    return response.Servers or []


class _Protocol(UASocketProtocol):
    _connection: "_Connection"

    def __init__(self, adaptive: AdaptiveTimeout, security_policy: SecurityPolicy, stamp: Stamp) -> None:
        super().__init__(adaptive.limit_s, security_policy)
        self._stamp = stamp
        self._adaptive = adaptive
        self._connection = _Connection(security_policy, TransportLimits(CHUNK_BYTES, CHUNK_BYTES, 0, 0))
        self._received = ChunkBuffer()
        self._is_paused = False

    def data_received(self, data: bytes) -> None:
        if not self._is_paused:  # else it stays that of the bytes before these: too early rather than too late
            self._connection.receipt = self._stamp()
        self._adaptive.on_bytes()
        self._received.append(data)
        if not self._is_paused:
            self._process_chunks()

    def _process_chunks(self) -> None:
        """Process complete chunks; after a while stop reading, and go on when the loop has had its turn."""
        was_paused, self._is_paused = self._is_paused, False
        until_s = time.monotonic() + SLICE_S
        try:
            while self.transport is not None and not self.transport.is_closing():
                chunk = self._received.next_chunk()
                if chunk is None:
                    if was_paused:
                        self.transport.resume_reading()
                    return
                self._process_received_data(chunk)
                if self._connection.fault:
                    raise BadChunk(self._connection.fault)
                if time.monotonic() > until_s and self.transport is not None:
                    self.transport.pause_reading()
                    self._is_paused = True
                    asyncio.get_running_loop().call_soon(self._process_chunks)
                    return
        except BadChunk as error:
            self._fail_all_pending(ConnectionError(str(error)))
            self.disconnect_socket()

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
        except (AttributeError, RuntimeError):  # how a send on a socket fails that is closed meanwhile
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
        if isinstance(msg, _OverlongMessage):
            future = self._callbackmap.pop(msg.request_id(), None)  # type: ignore[no-untyped-call]  # asyncua's
            if future is not None and not future.done():
                future.set_exception(BadResponseTooLarge())  # type: ignore[no-untyped-call]  # asyncua's
            return
        if isinstance(msg, ua.Message) and isinstance(msg.SecurityHeader(), ua.AsymmetricAlgorithmHeader):  # type: ignore[no-untyped-call]  # asyncua's
            try:
                self.check_answer(msg.body(), " to OpenSecureChannelRequest")  # type: ignore[no-untyped-call]  # asyncua's
            except UaStatusCodeError as refused:
                self._fail_all_pending(refused)
                return
        super()._process_received_message(msg)

    async def send_hello(self, url: str, max_messagesize: int = 0, max_chunkcount: int = 0) -> ua.Acknowledge:
        """Send Hello with our limits instead of asyncua's, and set those of the server."""
        hello: Any = ua.Hello(0, CHUNK_BYTES, CHUNK_BYTES, MOST_BYTES, MOST_CHUNKS, url)  # type: ignore[arg-type]  # its integers
        answered: asyncio.Future[ua.Acknowledge] = asyncio.get_running_loop().create_future()
        self._callbackmap[0] = answered
        if self.transport is not None:
            self.transport.write(uatcp_to_binary(ua.MessageType.Hello, hello))  # type: ignore[arg-type]  # asyncua's
        async with asyncio.timeout(self.timeout):
            acknowledge = await answered
        limits = self._connection._limits
        limits.max_recv_buffer = limits.max_message_size = limits.max_chunk_count = 0  # `_Connection` has its own
        limits.max_send_buffer = min(acknowledge.ReceiveBufferSize or CHUNK_BYTES, CHUNK_BYTES)
        chunks = (acknowledge.MaxChunkCount or MOST_CHUNKS) * (limits.max_send_buffer - _OVERHEAD_BYTES)
        self._connection.most_request_bytes = min(acknowledge.MaxMessageSize or MOST_BYTES, chunks)
        return acknowledge


class _Connection(SecureConnection):
    """most_bytes: of a message; fault: why the connection is to be given up, empty while it is sound.

    receipt: of the bytes that are processed, and so of the messages whose last chunk is among them.
    """

    receipt: Receipt = NO_RECEIPT
    most_request_bytes: int = MOST_BYTES
    most_bytes: int = BYTES_BEFORE_SESSION
    fault: str = ""
    _dropped: int = 0
    """Bytes of the message at hand, once it is known to be too long."""

    def message_to_binary(self, message: bytes, *rest: Any, **named: Any) -> bytes:
        if len(message) > self.most_request_bytes:
            raise BadRequestTooLarge
        return super().message_to_binary(message, *rest, **named)

    def _receive(self, msg: MessageChunk) -> ua.Message | None:
        """Put the chunks of a message together; of one that is too long keep none but the first, and that one empty."""
        self._check_incoming_chunk(msg)
        parts, size = self._incoming_parts, self._incoming_size + len(msg.Body)
        kind: Any = msg.MessageHeader.ChunkType
        if not self._dropped and (size > self.most_bytes or len(parts) >= MOST_CHUNKS):
            self._drop(size)
        if self._dropped:
            self._dropped += len(msg.Body)
            msg.Body = b""
            self._incoming_parts = parts[:1] or [msg]
            if self._dropped > MOST_DROPPED:
                self.fault = f"the server sends a message without an end: {self._dropped:,} bytes so far"
        else:
            parts.append(msg)
            self._incoming_size = size
        if kind == ua.ChunkType.Intermediate or self.fault:
            return None
        complete, is_overlong = self._incoming_parts, bool(self._dropped)
        self._drop_incoming_parts()
        self._dropped = 0
        if kind == ua.ChunkType.Abort:  # an aborted message is ignored, the channel stays (Part 6, 6.7.3)
            return None
        message = _OverlongMessage(complete) if is_overlong else _Message(complete)  # type: ignore[no-untyped-call]  # asyncua's
        message.receipt = self.receipt
        return message

    def _drop(self, size: int) -> None:
        self._dropped = size
        for part in self._incoming_parts:
            part.Body = b""
        if self.most_bytes < MOST_BYTES:
            self.fault = f"the server sends a message of more than {self.most_bytes:,} bytes before a session is open"


class _Message(ua.Message):
    """A complete message, whose body is decoded within a budget whoever decodes it."""

    receipt: Receipt = NO_RECEIPT

    def body(self) -> Answer:
        data = b"".join([chunk.Body for chunk in self._chunks])
        return Answer(data, budget=Budget(MOST_AT_ONCE), receipt=self.receipt)


class _OverlongMessage(_Message):
    """Stands for a message that was too long."""
