"""The HTTP server within the gateway: a TCP port where one is configured, and a socket file for commands.

Whatever clients do, they hold the event loop only for what one request of a bounded size takes, and a bounded number of
connections for a bounded time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from math import inf
from pathlib import Path
from typing import Any, Final

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.core.clock import Clock
from gateway.core.events.event import Event
from gateway.core.log_throttle import LogThrottle
from gateway.web.access import AccessRefusals
from gateway.web.config import WebConfig, split_listen
from gateway.web.credentials import read_token, tls_context
from gateway.web.guard import brings_token, is_foreign, is_known_host
from gateway.web.site import Site, error_answer
from gateway.web.unix_socket import listen_private, remove

log = structlog.get_logger("web")

MOST_CONNECTIONS: Final = 64
HEADERS_S: Final = 10.0
"""So long may a client take for its first request, and an idle connection stay."""
ANSWER_S: Final = 30.0
"""So long may a client take to receive an answer, counted from its request; the next request counts anew."""
_PER_S: Final = 200.0
_BURST: Final = 400.0
_RETRY_S: Final = 10.0
_REFUSED_S: Final = 1.0
_MOST_AHEAD_BYTES: Final = 16 * 1024
_MOST_AHEAD: Final = 16
"""What a client may send, and how often it may ask, before it is answered."""


def _quiet_logger() -> logging.Logger:
    """Return the library's logger without what only says that a client sent no HTTP: anybody could fill the journal."""
    logger = logging.getLogger("gateway.web.http")

    def is_own(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return record.levelno >= logging.ERROR and not isinstance(error, HttpProcessingError | OSError)

    logger.filters[:] = [is_own]
    return logger


_LIMITS: Final[dict[str, Any]] = {
    "keepalive_timeout": HEADERS_S,
    "max_line_size": 8_190,
    "max_field_size": 4_096,
    "max_headers": 64,
    "lingering_time": 0.0,
    "access_log": None,
    "logger": _quiet_logger(),
    "handler_cancellation": True,
}


_Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Door:
    """One way in: its connections, how long each may stay, how many requests it takes a second."""

    def __init__(self, answer: _Answer, clock: Clock, change: _Answer | None = None) -> None:
        """Begin without connections. change: answers a POST; None where nothing can be changed."""
        self._answer = answer
        self._change = change
        self._clock = clock
        self._server: Any = web.Server(self._serve, **_LIMITS)
        self._connections: dict[Any, Connection] = {}
        self._free_at = 0.0

    def connect(self) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        return Connection(self._server(), self._connections, self._clock)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if (connection := self._connections.get(request.protocol)) is not None:
            connection.begin_request(is_stream=request.path.endswith("/stream"))
        await self._wait_turn()
        if request.method == "POST" and self._change is not None and not request.body_exists:
            response: web.StreamResponse = await self._change(request)
        elif request.method not in ("GET", "HEAD"):
            response = error_answer(405, "nothing can be changed here", "GET or HEAD")
            response.headers["Allow"] = "GET, HEAD"
        elif request.body_exists:
            response = error_answer(400, "a question has no body", "a GET without one")
        else:
            response = await self._answer(request)
        if response.status >= 400 and not response.prepared:
            response.force_close()
        return response

    async def _wait_turn(self) -> None:
        """Let a flood of requests wait, so that whoever asks without pause leaves the event loop to others."""
        now = self._clock.monotonic()
        self._free_at = max(self._free_at, now - _BURST / _PER_S) + 1 / _PER_S
        if self._free_at > now:
            await self._clock.sleep(self._free_at - now)

    def sweep(self) -> None:
        """Close connections whose time is over: clients that send or receive too slowly."""
        now = self._clock.monotonic()
        for connection in list(self._connections.values()):
            if now > connection.until:
                connection.abort()

    async def close(self) -> None:
        """Close all connections at once."""
        for connection in list(self._connections.values()):
            connection.abort()
        await self._server.shutdown(0.1)


class Connection(asyncio.Protocol):
    """Stands before the protocol of the library, and ends what goes beyond a bound before the library keeps any of it.

    Attributes:
        until: monotonic time at which it is closed, seconds.
    """

    def __init__(self, inner: Any, all_of_door: "dict[Any, Connection]", clock: Clock) -> None:
        """inner: the protocol of the library. all_of_door: the connections of the door by their inner protocol."""
        self._inner = inner
        self._all = all_of_door
        self._clock = clock
        self._transport: Any = None
        self._ahead_bytes = self._ahead = 0
        self.until = clock.monotonic() + HEADERS_S

    def begin_request(self, *, is_stream: bool) -> None:
        """Give the client time for the answer to its request, and room for its next one."""
        self._ahead_bytes = 0
        self._ahead -= 1
        self.until = inf if is_stream else self._clock.monotonic() + ANSWER_S

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, unless there are too many."""
        self._transport = transport
        if len(self._all) >= MOST_CONNECTIONS:
            self.abort()
            return
        self._all[self._inner] = self
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass on what belongs to a request of bounded size."""
        if self._inner not in self._all:
            return
        self._ahead_bytes += len(data)
        self._ahead += data.count(b"\n\r\n")
        if self._ahead_bytes > _MOST_AHEAD_BYTES or self._ahead > _MOST_AHEAD:
            self.abort()
        else:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass on."""
        found: bool | None = self._inner.eof_received() if self._inner in self._all else None
        return found

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on, and forget the connection."""
        if self._all.pop(self._inner, None) is not None:
            self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass on."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass on."""
        self._inner.resume_writing()

    def abort(self) -> None:
        """Close at once, whatever is still to be sent."""
        self._transport.abort()


class WebServer:
    """Serves a site until cancelled. What goes wrong with a port or file is logged and tried again; the gateway goes on."""

    def __init__(self, config: WebConfig, site: Site, path: Path, clock: Clock, report: Callable[[Event], None]) -> None:
        """path: of the socket file. report: publishes an event."""
        self._config = config
        self._site = site
        self._path = path
        self._clock = clock
        self._throttle = LogThrottle(clock)
        self._refusals = AccessRefusals(clock, report)

    async def run(self) -> None:
        """Serve for ever. A bug costs the viewers their view, and begins anew after a while; it ends nothing else."""
        while True:
            try:
                await self._serve()
            except Exception:  # whoever only looks must not end what is looked at
                log.exception("a bug in the web server: please report it", again_s=_RETRY_S)
            await self._clock.sleep(_RETRY_S)

    async def _serve(self) -> None:
        local = Door(self._site.answer, self._clock, self._site.change)  # for the own user and root, on this machine
        remote = Door(self._guarded, self._clock)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._site.stream.run(self._clock.sleep), name="web stream")
            tasks.create_task(self._sweep(local, remote), name="web sweep")
            tasks.create_task(self._keep_open(self._open_file, local, str(self._path)), name="web socket file")
            if self._config.listen:
                tasks.create_task(self._keep_open(self._open_port, remote, self._config.listen), name="web port")

    async def _sweep(self, *doors: Door) -> None:
        while True:
            await self._clock.sleep(1.0)
            for door in doors:
                door.sweep()

    async def _keep_open(self, listen: Callable[[Door], Awaitable[asyncio.Server]], door: Door, where: str) -> None:
        """Listen, as soon as that is possible, until cancelled."""
        server = None
        try:
            while server is None:
                try:
                    server = await listen(door)
                except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
                    reason = getattr(error, "strerror", None) or str(error)
                    if self._throttle.is_due(f"{where} {reason}"):
                        log.warning("the web server cannot listen", where=where, reason=reason, again_s=_RETRY_S)
                    await self._clock.sleep(_RETRY_S)
            log.info("web", listens=where)
            await asyncio.Future()
        finally:
            if server is not None:
                server.close()
            await door.close()
            if where == str(self._path) and server is not None:
                remove(self._path)

    async def _open_file(self, door: Door) -> asyncio.Server:
        sock = listen_private(self._path)
        return await asyncio.get_running_loop().create_unix_server(door.connect, sock=sock)

    async def _open_port(self, door: Door) -> asyncio.Server:
        host, port = split_listen(self._config.listen)
        context = await asyncio.to_thread(tls_context, self._config)
        timeout = None if context is None else HEADERS_S
        loop = asyncio.get_running_loop()
        return await loop.create_server(
            door.connect, host, int(port), ssl=context, backlog=64, ssl_handshake_timeout=timeout
        )

    async def _guarded(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer those who may ask."""
        host = request.headers.get("Host", "")
        if not is_known_host(host, self._config.hosts):
            return error_answer(403, "this name is not known here", "an IP address, localhost, or a name of web.hosts")
        if is_foreign(request.headers, host):
            return error_answer(403, "another site's page may not ask", "a request of this page itself")
        if self._config.token_file is not None:
            token = await asyncio.to_thread(read_token, self._config.token_file)
            if not token:
                return error_answer(503, "web.token_file cannot be used: the gateway's log says why")
            if not brings_token(request.headers.get("Authorization", ""), token):
                if request.headers.get("Authorization"):
                    self._refusals.refused(request.remote or "")
                await self._clock.sleep(_REFUSED_S)
                response = error_answer(401, "a token is needed", "Authorization: Bearer TOKEN, or it as a password")
                response.headers["WWW-Authenticate"] = 'Basic realm="gateway", charset="UTF-8"'
                return response
        return await self._site.answer(request)
