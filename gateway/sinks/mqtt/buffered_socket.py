"""A socket with buffers: many packets in one call of the system, both ways."""

import socket
import ssl
from contextlib import suppress
from typing import Final

CHUNK_BYTES: Final = 65_536
_MOST_UNSENT_BYTES: Final = 262_144
_DISCONNECT: Final = 0xE0
"""First byte of the packet after which paho closes the socket (MQTT 5.0, 3.14)."""


class BufferedSocket:
    """What paho asks of a socket, non-blocking, on TCP or TLS.

    paho alone makes three calls to read an acknowledgement and one to write each message, which is half of what a message
    costs.

    What `send` takes waits for `flush`. What `fill` reads stands in `incoming` until `skip`; a caller that fills only while
    no whole packet stands there holds one packet and one read at most.
    """

    def __init__(self, sock: socket.socket) -> None:
        """sock: connected, with a timeout until `setblocking` is called."""
        self._sock = sock
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self.answer_bytes = 0
        """Answers to what has come that were put since everything was out; whoever makes them pile up has to wait."""
        self._frames = self._empty_frames = 0

    @property
    def unsent(self) -> bool:
        """Bytes wait for the socket to take them: call `flush` when it can."""
        return bool(self._outgoing)

    @property
    def incoming(self) -> bytearray:
        """Return what was read and not yet taken; take it with `skip`."""
        return self._incoming

    @property
    def hidden(self) -> bool:
        """Return whether bytes have arrived that `fill` would bring and no selector sees."""
        return isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0

    def fill(self) -> bool:
        """Read once, adding to `incoming`, which may be nothing that matters. Returns False at the end of the stream.

        Raises BlockingIOError, ssl.SSLWantReadError, OSError.
        """
        data = self._sock.recv(CHUNK_BYTES)
        self._incoming += data
        return bool(data)

    def skip(self, length: int) -> None:
        """Take the first `length` bytes of `incoming`."""
        del self._incoming[:length]

    def take_frames(self) -> tuple[int, int]:
        """Return how many frames have come since the last call, and how many of them carry nothing. A stream has none."""
        counts = self._frames, self._empty_frames
        self._frames = self._empty_frames = 0
        return counts

    def send(self, data: bytes) -> int:
        """Take a packet whole, or raises BlockingIOError; a connection's last one only when all before it is out."""
        last = data[0] == _DISCONNECT
        if last or len(self._outgoing) > _MOST_UNSENT_BYTES:
            self.flush()
            if self._outgoing and (last or len(self._outgoing) > _MOST_UNSENT_BYTES):
                raise BlockingIOError
        self.put(data)
        if last:
            self.flush()
        return len(data)

    def put(self, data: bytes) -> None:
        """Take a packet whole, however many wait: the caller limits them. Raises OSError when the stream has ended."""
        self._outgoing += data

    def put_answer(self, data: bytes) -> None:
        """Take a packet that answers what has come. Raises OSError."""
        self.put(data)
        self.answer_bytes += len(data)

    def flush(self) -> None:
        """Send what the socket takes. Raises OSError when it is broken."""
        with suppress(BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            while self._outgoing:
                del self._outgoing[: self._sock.send(self._outgoing)]
            self.answer_bytes = 0

    def close(self) -> None:
        """Close at once."""
        self._sock.close()

    def fileno(self) -> int:
        """Return the socket's file descriptor."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        """Make the socket blocking or not."""
        self._sock.setblocking(flag)

    def settimeout(self, limit_s: float) -> None:
        """Set the socket's timeout, seconds."""
        self._sock.settimeout(limit_s)
