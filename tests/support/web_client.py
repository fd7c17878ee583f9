"""A web server in this process, on real sockets, and small clients of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from gateway.core.clock import SystemClock
from gateway.core.events.event import Event
from gateway.web.config import WebConfig
from gateway.web.host import HostReadings
from gateway.web.server import WebServer
from gateway.web.site import Site
from gateway.web.view import GatewayView
from tests.support.network import free_port, until


@dataclass
class Served:
    """A server that listens, and a session of a client."""

    url: str
    port: int
    socket: Path
    site: Site
    http: aiohttp.ClientSession
    events: list[Event]

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        async with self.http.get(self.url + path, headers=headers) as response:
            return response.status, await response.json()

    async def text(self, path: str) -> str:
        """The text of an answer."""
        async with self.http.get(self.url + path) as response:
            assert response.status == 200, await response.text()
            return await response.text()


@contextlib.asynccontextmanager
async def serving(view: GatewayView, folder: Path, port: int = 0, **config: Any) -> AsyncIterator[Served]:
    """Serve a view until the end of the block."""
    port = port or free_port()
    path = folder / "outbox.db.sock"
    site = Site(view, HostReadings(folder))
    events: list[Event] = []
    settings = WebConfig.model_validate({"listen": f"127.0.0.1:{port}", **config})
    server = asyncio.create_task(WebServer(settings, site, path, SystemClock(), events.append).run())
    scheme = "https" if settings.tls.cert else "http"
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as http:
            await until(lambda: _listens(port) and path.exists(), 60, "a server that listens")
            yield Served(f"{scheme}://127.0.0.1:{port}", port, path, site, http, events)
    finally:
        server.cancel()
        await asyncio.wait([server])


def _listens(port: int) -> bool:
    """Whether somebody listens, by the kernel's table: a connection would count at the server."""
    return any(f":{port:04X} 00000000:0000 0A" in line for line in Path("/proc/net/tcp").read_text().splitlines())
