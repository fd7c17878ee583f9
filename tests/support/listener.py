"""A server on loopback with a task for each connection: what brokers and proxies of the tests have in common."""

import asyncio
from typing import Self


class Listener:
    """`async with Listener() as listening`; subclasses say what `_serve` does."""

    def __init__(self, port: int = 0) -> None:
        """port: to listen on, 0 for any."""
        self.connections = 0
        """How many there have been."""
        self.port = port
        self._writers: set[asyncio.StreamWriter] = set()
        """Of all connections that stand, both ways."""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def open_connections(self) -> int:
        """Connections of clients that stand."""
        return len(self._tasks)

    def cut(self) -> None:
        """Reset every connection; new ones are welcome."""
        for writer in self._writers:
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A task of our own: asyncio logs the cancellation of its own as an error."""
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError
