"""Limits for what a database may send, between the socket and asyncpg, which has none: sizes, and work for a login."""

import asyncio
import re
from collections.abc import Callable
from typing import Any, Final, cast

import asyncpg
from asyncpg.protocol import Protocol

from gateway.sinks.access.certificates import peer_certificate

_MOST_BYTES: Final = 16 << 20
"""Between two statements of ours, whose answers have some hundred bytes."""
_MOST_LOGIN_BYTES: Final = 64 << 10
"""Of one message before the connection is ready."""
_MOST_ITERATIONS: Final = 1_000_000
"""Of SCRAM (RFC 5802, 5.1): PostgreSQL uses 4,096. They are worked off on the event loop."""
_ITERATIONS: Final = re.compile(rb",i=(\d+)")
_AUTHENTICATION, _READY = b"R", b"Z"  # PostgreSQL, Message Formats
MALFORMED: Final = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    ValueError,
    LookupError,
    TypeError,
    AssertionError,
    AttributeError,
    ArithmeticError,
    BufferError,
    NotImplementedError,
)
"""Raised by asyncpg for a connection that has ended, and for what is not as the protocol says."""


class Guard(asyncio.Protocol):
    """A protocol that passes on what comes, and breaks the connection where it is too much."""

    def __init__(self, inner: asyncio.Protocol, report: Callable[[str], None]) -> None:
        """report: called with the reason before the connection is broken."""
        self.inner = inner
        self._report = report
        self._transport: asyncio.Transport | None = None
        self._held = bytearray()
        self._is_ready = False
        self._left = _MOST_BYTES

    def refill(self) -> None:
        """Begin to count anew: a statement follows."""
        self._left = _MOST_BYTES

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Pass it on."""
        self.attach(transport)
        self.inner.connection_made(transport)

    def attach(self, transport: asyncio.BaseTransport) -> None:
        """Know what to break."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass it on."""
        self.inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass it on."""
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self.inner.resume_writing()

    def eof_received(self) -> bool | None:
        """Pass it on."""
        return self.inner.eof_received()

    def data_received(self, data: bytes) -> None:
        """Count it and pass it on; before the connection is ready, message by message."""
        self._left -= len(data)
        if self._left < 0:
            self._break(f"more than {_MOST_BYTES >> 20} MiB in answer to one statement")
        elif self._is_ready:
            self._pass_on(data)
        else:
            self._held += data
            while not self._is_ready and self._pass_message():
                pass

    def _pass_message(self) -> bool:
        """Pass on the first message if all of it is there; return whether it was."""
        if len(self._held) < 5:
            return False
        kind, size = bytes(self._held[:1]), 1 + int.from_bytes(self._held[1:5])
        if not 5 <= size <= _MOST_LOGIN_BYTES:
            self._break(f"a message of {size} bytes before the login has ended")
            return False
        if len(self._held) < size:
            return False
        message = bytes(self._held[:size])
        del self._held[:size]
        found = _ITERATIONS.search(message) if kind == _AUTHENTICATION else None
        if found is not None and (len(found[1]) > 7 or int(found[1]) > _MOST_ITERATIONS):
            self._break(f"a login of more than {_MOST_ITERATIONS} iterations")
            return False
        self._is_ready = kind == _READY
        self._pass_on(message + (bytes(self._held) if self._is_ready else b""))
        return True

    def _pass_on(self, data: bytes) -> None:
        try:
            self.inner.data_received(data)
        except MALFORMED as error:
            self._break(f"what is not as its protocol says ({error})")

    def abort(self) -> None:
        """Break the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _break(self, reason: str) -> None:
        self._held.clear()
        self._report(reason)
        self.abort()


class GuardedLoop:
    """The running event loop as asyncpg sees it: connections to the database are made with a guard."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._guard: Guard | None = None
        self.reason = ""
        """Why a connection was broken, empty where none was."""
        self.peer = b""
        """The database's certificate, DER; empty without TLS."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def refill(self) -> None:
        """Begin to count anew: a statement follows."""
        if self._guard is not None:
            self._guard.refill()

    def abort(self) -> None:
        """Break the connection at once."""
        if self._guard is not None:
            self._guard.abort()

    async def create_connection(self, factory: Callable[[], asyncio.Protocol], *args: Any, **more: Any) -> Any:
        """Connect, as `loop.create_connection`."""
        transport, made = await self._loop.create_connection(lambda: self._guarded(factory()), *args, **more)
        return transport, made.inner if isinstance(made, Guard) else made

    async def start_tls(self, transport: asyncio.Transport, protocol: Any, *args: Any, **more: Any) -> Any:
        """Begin TLS, as `loop.start_tls`."""
        secured = await self._loop.start_tls(transport, protocol, *args, **more)
        self.peer = peer_certificate(secured)
        return None if secured is None else _GuardedTransport(secured, self._guarded)

    def _guarded(self, inner: asyncio.Protocol) -> asyncio.Protocol:
        if not isinstance(inner, Protocol):
            return inner  # asyncpg's own, which keep nothing
        self._guard = Guard(inner, self._note)
        return self._guard

    def _note(self, reason: str) -> None:
        self.reason = f"the database has sent {reason}"


class _GuardedTransport:
    """A transport that gets its guard with its protocol."""

    def __init__(self, transport: asyncio.Transport, guarded: Callable[[asyncio.Protocol], asyncio.Protocol]) -> None:
        self._transport = transport
        self._guarded = guarded

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def set_protocol(self, protocol: asyncio.Protocol) -> None:
        """Have the protocol get what comes from now on."""
        guard = self._guarded(protocol)
        if isinstance(guard, Guard):
            guard.attach(self._transport)
        self._transport.set_protocol(guard)
