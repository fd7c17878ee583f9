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

    What `send` takes waits for `flush`. Reads as a socket does; `pending` says what no selector sees.
    """

    def __init__(self, sock: socket.socket) -> None:
        """sock: connected, with a timeout until `setblocking` is called."""
        self._sock = sock
        self._incoming = bytearray()
        self._outgoing = bytearray()

    @property
    def unsent(self) -> bool:
        """Bytes wait for the socket to take them: call `flush` when it can."""
        return bool(self._outgoing)

    def pending(self) -> int:
        """Bytes that have arrived and that no selector sees any more."""
        return len(self._incoming) or (self._sock.pending() if isinstance(self._sock, ssl.SSLSocket) else 0)

    def arrived(self) -> bytearray:
        """Return what was read and not yet taken; when that is nothing, what one read brings: nothing at the end.

        Take it with `skip`. Raises as `recv`.
        """
        if not self._incoming:
            self._receive()
        return self._incoming

    def skip(self, length: int) -> None:
        """Take the first `length` bytes."""
        del self._incoming[:length]

    def recv(self, length: int) -> bytes:
        """As of a socket: up to `length` bytes, none at the end. Raises BlockingIOError, ssl.SSLWantReadError, OSError."""
        if not self._incoming:
            self._receive()
        chunk = bytes(self._incoming[:length])
        del self._incoming[:length]
        return chunk

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

    def flush(self) -> None:
        """Send what the socket takes. Raises OSError when it is broken."""
        with suppress(BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            while self._outgoing:
                del self._outgoing[: self._sock.send(self._outgoing)]

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

    def _receive(self) -> None:
        """Read once into `_incoming`; nothing at the end."""
        self._incoming += self._sock.recv(CHUNK_BYTES)
