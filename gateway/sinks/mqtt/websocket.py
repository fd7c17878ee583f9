"""MQTT over WebSocket (MQTT 5.0, 6): a socket for paho with frames below. The only file that knows websockets.

paho has WebSockets of its own, but answers pings without a mask, which RFC 6455 (5.1) makes servers hang up for, puts the
answer into the middle of a frame that is half sent, and masks byte by byte in Python.
"""

import socket
import time
from contextlib import suppress
from typing import Final

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from gateway.core.errors import NotConnected
from gateway.sinks.mqtt.buffered_socket import CHUNK_BYTES, BufferedSocket

SLICE_BYTES: Final = 1_024
"""How much is given to the library at a time: as 512 empty frames that ask for an answer it takes 3 ms."""
_LARGEST_HANDSHAKE_BYTES: Final = 65_536
_MOST_LAST_READS: Final = 16


class WebSocket(BufferedSocket):
    """A stream whose bytes travel in binary frames."""

    def __init__(self, sock: socket.socket, url: str, timeout_s: float, largest_frame_bytes: int) -> None:
        """Make the handshake on a connected socket, within `timeout_s`, in seconds. Raises NotConnected and OSError.

        largest_frame_bytes: a frame that claims more ends the connection at its header. Messages are not limited: what a
        frame brings is handed on before the next one comes.
        """
        super().__init__(sock)
        size = None, largest_frame_bytes
        self._protocol = ClientProtocol(parse_uri(url), subprotocols=[Subprotocol("mqtt")], max_size=size)
        self._raw = bytearray()
        """Read and not yet given to the library."""
        self._ended = False
        self._fault = ""
        self._handshake(url, time.monotonic() + timeout_s)

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
                for _ in range(_MOST_LAST_READS):  # and not for as long as a broker likes to send
                    if not self._sock.recv(CHUNK_BYTES):
                        break
        super().close()

    def _handshake(self, url: str, deadline: float) -> None:
        """deadline: monotonic seconds. A timeout of the socket begins anew with each byte that comes."""
        protocol = self._protocol
        protocol.send_request(protocol.connect())
        self._sock.sendall(b"".join(protocol.data_to_send()))
        events: list[object] = []
        size = 0
        while not events and protocol.handshake_exc is None:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            self._sock.settimeout(left_s)
            data = self._sock.recv(SLICE_BYTES)
            size += len(data)
            if size > _LARGEST_HANDSHAKE_BYTES:
                raise NotConnected(f"{url}: what answers sends more than {_LARGEST_HANDSHAKE_BYTES} bytes of HTTP header")
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

    @property
    def hidden(self) -> bool:
        """As of a stream; with what was read and not yet unpacked."""
        return bool(self._raw) or super().hidden

    def fill(self) -> bool:
        """As a stream does. Unpacks a slice of what was read, and reads only when nothing is left of it."""
        if self._fault:
            raise ConnectionAbortedError(self._fault)
        if self._ended:
            return False
        if not self._raw:
            self._raw += self._sock.recv(CHUNK_BYTES)
            if not self._raw:
                self._ended = True
                return False
        self._protocol.receive_data(bytes(self._raw[:SLICE_BYTES]))
        del self._raw[:SLICE_BYTES]
        self._take(list(self._protocol.events_received()))
        self.answer_bytes += self._collect()  # answers to pings
        if self._protocol.parser_exc is not None:
            self._fault = "what came is not WebSocket, or too large"
            self._raw.clear()
        return True

    def put(self, data: bytes) -> None:
        """As a stream does, in a frame of its own."""
        if self._protocol.state is not State.OPEN:
            raise ConnectionAbortedError(self._fault or "the broker closed the WebSocket")
        self._protocol.send_binary(data)
        self._collect()

    def _collect(self) -> int:
        """Return how many bytes there were to send."""
        data = b"".join(self._protocol.data_to_send())
        self._outgoing += data
        return len(data)

    def _take(self, events: list[object]) -> None:
        for event in events:
            if not isinstance(event, Frame):
                continue
            self._frames += 1
            self._empty_frames += _is_empty(event)
            if event.opcode in {Opcode.BINARY, Opcode.CONT}:
                self._incoming += event.data
            elif event.opcode is Opcode.TEXT:  # MQTT 5.0, 6-1: close the connection
                self._fault = "the broker sends text frames, which MQTT does not"
            elif event.opcode is Opcode.CLOSE:
                self._ended = True


def _is_empty(frame: Frame) -> bool:
    """Return whether a frame carries nothing. Some libraries end a message in fragments with an empty one: it is allowed."""
    if frame.opcode in {Opcode.PING, Opcode.PONG}:
        return True
    return not frame.data and not (frame.opcode is Opcode.CONT and frame.fin)


def _why(error: Exception) -> str:
    if isinstance(error, InvalidStatus):
        return f"the server answers HTTP {error.response.status_code} instead of a WebSocket: is the path right?"
    if isinstance(error, InvalidMessage):
        return "what answers does not speak HTTP: is this the broker's WebSocket port?"
    if isinstance(error, InvalidHandshake):
        return "the server's answer is no handshake of a WebSocket for MQTT: is the path right?"
    return "the handshake of the WebSocket failed"
