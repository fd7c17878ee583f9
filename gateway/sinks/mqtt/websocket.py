"""MQTT over WebSocket (MQTT 5.0, 6): a socket for paho with frames below. The only file that knows websockets.

paho has WebSockets of its own, but answers pings without a mask, which RFC 6455 (5.1) makes servers hang up for, puts the
answer into the middle of a frame that is half sent, and masks byte by byte in Python.
"""

import socket
from contextlib import suppress

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from gateway.core.errors import NotConnected
from gateway.sinks.mqtt.buffered_socket import CHUNK_BYTES, BufferedSocket


class WebSocket(BufferedSocket):
    """A stream whose bytes travel in binary frames."""

    def __init__(self, sock: socket.socket, url: str) -> None:
        """Make the handshake on a connected socket with a timeout. Raises NotConnected and OSError."""
        super().__init__(sock)
        self._protocol = ClientProtocol(parse_uri(url), subprotocols=[Subprotocol("mqtt")], max_size=None)
        self._ended = False
        self._fault = ""
        self._handshake(url)

    def close(self) -> None:
        """Send what is queued and the closing frame, as far as the socket takes it at once, and close."""
        if not self._ended:
            self._ended = True
            with suppress(OSError):
                if self._protocol.state is State.OPEN:
                    self._protocol.send_close(1000)
                    self._collect()
                self.flush()
                # with unread bytes the system would send a reset, which can overtake the closing frame
                self._sock.shutdown(socket.SHUT_WR)
                while self._sock.recv(CHUNK_BYTES):
                    pass
        super().close()

    def _handshake(self, url: str) -> None:
        protocol = self._protocol
        protocol.send_request(protocol.connect())
        self._sock.sendall(b"".join(protocol.data_to_send()))
        events: list[object] = []
        while not events and protocol.handshake_exc is None:
            data = self._sock.recv(CHUNK_BYTES)
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

    def _receive(self) -> None:
        while not self._incoming and not self._ended:
            if self._fault:
                raise ConnectionAbortedError(self._fault)
            data = self._sock.recv(CHUNK_BYTES)
            if not data:
                self._ended = True
                return
            self._protocol.receive_data(data)
            self._take(list(self._protocol.events_received()))
            self._collect()  # answers to pings
            if self._protocol.parser_exc is not None:
                self._fault = f"what came is not WebSocket: {self._protocol.parser_exc}"

    def put(self, data: bytes) -> None:
        """As a stream does, in a frame of its own."""
        if self._protocol.state is not State.OPEN:
            raise ConnectionAbortedError(self._fault or "the broker closed the WebSocket")
        self._protocol.send_binary(data)
        self._collect()

    def _collect(self) -> None:
        self._outgoing += b"".join(self._protocol.data_to_send())

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
