"""A sink that exists only in the tests: each message as a line of JSON in a file, which takes everything at once."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from gateway.core.config_types import ConfigModel
from gateway.core.errors import NotConnected
from gateway.core.ports.outbox import Delivery
from gateway.core.ports.sink import EndedBy, Ending, Sink
from gateway.core.ports.sink_plugin import DeliveryPolicy, SinkServices


class LineSinkConfig(ConfigModel):
    """Where the lines go."""

    file: Path = Path("/nowhere")
    """The file, made where its folder is."""


class LineSink:
    """A `core.ports.sink.Sink`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None
        self._closed = asyncio.Event()

    async def open(self) -> None:
        try:
            self._file = self._path.open("a")
        except OSError as error:
            raise NotConnected(f"{self._path}: {error.strerror}") from None
        self._closed.clear()

    async def serve(self, on_live: Callable[[], None]) -> Ending:
        on_live()
        await self._closed.wait()
        return Ending("closed", EndedBy.SINK)

    async def room(self) -> int:
        return 100

    def send(self, delivery: Delivery) -> asyncio.Future[None]:
        outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._file is None:
            outcome.set_exception(NotConnected("not open"))
            return outcome
        body = json.loads(delivery.message.payload)
        self._write({"topic": delivery.message.topic, "live": delivery.live, "body": body})
        outcome.set_result(None)
        return outcome

    async def close(self, *, abort: bool = False, stop_reason: str = "", within_s: float = 0.0) -> None:
        if self._file is None:
            return
        if not abort:
            self._write({"stopped": stop_reason})
        self._file.close()
        self._file = None
        self._closed.set()

    def _write(self, line: dict[str, Any]) -> None:
        assert self._file is not None
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


class LineSinkPlugin:
    """A `core.ports.sink_plugin.SinkPlugin` without any further capability."""

    name = "lines"
    description = "A file of lines."
    config_model = LineSinkConfig

    def describe(self, config: LineSinkConfig) -> str:
        return str(config.file)

    def policy(self, config: LineSinkConfig, up_s: float) -> DeliveryPolicy:
        return DeliveryPolicy()

    def build(self, config: LineSinkConfig, services: SinkServices) -> Sink:
        return LineSink(config.file)
