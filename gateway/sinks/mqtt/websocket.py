"""MQTT over WebSocket (MQTT 5.0, 6): a socket for paho with frames below. The only file that knows websockets.

paho has WebSockets of its own, but answers pings without a mask, which RFC 6455 (5.1) makes servers hang up for, puts the
answer into the middle of a frame that is half sent, and masks byte by byte in Python.
"""

import socket
import ssl
from contextlib import suppress
from typing import Final

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from gateway.core.errors import NotConnected

_CHUNK_BYTES: Final = 65_536


class WebSocket:
    """What paho asks of a socket, non-blocking after the handshake: `recv`, `send`, `close`, `fileno`, `setblocking`."""

    def __init__(self, sock: socket.socket, url: str) -> None:
        """Make the handshake on a connected socket with a timeout. Raises NotConnected and OSError."""
        self._sock = sock
        self._protocol = ClientProtocol(parse_uri(url), subprotocols=[Subprotocol("mqtt")], max_size=None)
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self._ended = False
        self._fault = ""
        self._handshake(url)

    @property
    def unsent(self) -> bool:
        """Bytes wait for the socket to take them: call `flush` when it can."""
        return bool(self._outgoing)

    def pending(self) -> int:
        """Bytes that have arrived and that no selector sees any more."""
        return len(self._incoming) or (self._sock.pending() if isinstance(self._sock, ssl.SSLSocket) else 0)

    def recv(self, length: int) -> bytes:
        """As of a socket: up to `length` bytes of MQTT, none at the end. Raises BlockingIOError and other OSErrors."""
        while not self._incoming and not self._ended:
            if self._fault:
                raise ConnectionAbortedError(self._fault)
            self._receive(self._sock.recv(_CHUNK_BYTES))
        chunk = bytes(self._incoming[:length])
        del self._incoming[:length]
        return chunk

    def send(self, data: bytes) -> int:
        """As of a socket. Takes all or nothing; what is taken and does not go out at once waits for `flush`."""
        if self._ended:
            raise ConnectionAbortedError("the broker has closed the WebSocket")
        self.flush()
        if self._outgoing:
            raise BlockingIOError
        self._protocol.send_binary(data)
        self._outgoing += b"".join(self._protocol.data_to_send())
        self.flush()
        return len(data)

    def flush(self) -> None:
        """Send what the socket takes. Raises OSError when it is broken."""
        with suppress(BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            while self._outgoing:
                del self._outgoing[: self._sock.send(self._outgoing)]

    def close(self) -> None:
        """Say goodbye as far as the socket takes it at once, and close."""
        if not self._ended:
            self._ended = True
            with suppress(OSError):
                self._protocol.send_close(1000)
                self._outgoing += b"".join(self._protocol.data_to_send())
                self.flush()
                # with unread bytes the system would send a reset, which can overtake the goodbye
                self._sock.shutdown(socket.SHUT_WR)
                while self._sock.recv(_CHUNK_BYTES):
                    pass
        self._sock.close()

    def fileno(self) -> int:
        """The socket's."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        """The socket's."""
        self._sock.setblocking(flag)

    def settimeout(self, limit_s: float) -> None:
        """The socket's."""
        self._sock.settimeout(limit_s)

    def _handshake(self, url: str) -> None:
        protocol = self._protocol
        protocol.send_request(protocol.connect())
        self._sock.sendall(b"".join(protocol.data_to_send()))
        events: list[object] = []
        while not events and protocol.handshake_exc is None:
            data = self._sock.recv(_CHUNK_BYTES)
            if data:
                protocol.receive_data(data)
            else:
                protocol.receive_eof()
            events = list(protocol.events_received())
        if (error := protocol.handshake_exc) is not None:
            raise NotConnected(f"{url}: {_why(error)}")
        if protocol.subprotocol != "mqtt":
            raise NotConnected(f"{url}: a WebSocket, but not one for MQTT: is the path right?")
        self._take([event for event in events if not isinstance(event, Response)])

    def _receive(self, data: bytes) -> None:
        if not data:
            self._ended = True
            return
        self._protocol.receive_data(data)
        self._take(list(self._protocol.events_received()))
        self._outgoing += b"".join(self._protocol.data_to_send())
        self.flush()
        if self._protocol.parser_exc is not None:
            self._fault = f"what came is not WebSocket: {self._protocol.parser_exc}"

    def _take(self, events: list[object]) -> None:
        for event in events:
            if not isinstance(event, Frame):
                continue
            if event.opcode in {Opcode.BINARY, Opcode.CONT}:
                self._incoming += event.data
            elif event.opcode is Opcode.TEXT:  # MQTT 5.0, 6-1: close the connection
                self._fault = "the broker sends text frames, which MQTT does not"
            elif event.opcode is Opcode.CLOSE:
                self._ended = True


def _why(error: Exception) -> str:
    if isinstance(error, InvalidStatus):
        return f"the server answers HTTP {error.response.status_code} instead of a WebSocket: is the path right?"
    if isinstance(error, InvalidMessage):
        return "what answers does not speak HTTP: is this the broker's WebSocket port?"
    if isinstance(error, InvalidHandshake):
        return f"the WebSocket is refused: {error}"
    return str(error)
