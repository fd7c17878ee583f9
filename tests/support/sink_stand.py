"""A sink of a kind as a gateway would build it, in use: for tests of one sink against real and hostile servers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from gateway.core.clock import SystemClock
from gateway.core.messages import Lane, Message
from gateway.core.ports.layout import Layout
from gateway.core.ports.outbox import Delivery
from gateway.core.ports.sink import Sink
from gateway.core.ports.sink_plugin import SinkServices
from gateway.layouts.device.layout import DeviceLayout
from gateway.plugins import SINKS
from tests.support.status import FakeStatus

_numbers = count(1)
START_MS = 1_796_060_604_000


def build(kind: str, layout: Layout | None = None, gateway: str = "gw", **settings: Any) -> Sink:
    """A sink that is not open yet."""
    plugin = SINKS[kind]
    services = SinkServices(gateway, layout or DeviceLayout(), FakeStatus(), SystemClock())
    return plugin.build(plugin.config_model.model_validate(settings), services)


def delivery(
    body: dict[str, Any] | bytes | None = None,
    *,
    device: str = "press",
    stream: str = "window",
    seq: int = 0,
    boot: str = "1a22d87a089a7fb",
    live: bool = True,
) -> Delivery:
    """A message of the contract. body: its payload, or what is added to one."""
    number = seq or next(_numbers)
    topic = f"plant/v1/gw/{device}/{stream}" if device else f"plant/v1/gw/{stream}"
    if not isinstance(body, bytes):
        general = {"boot": boot, "seq": number, "ts": START_MS, "hist": False}
        body = json.dumps(general | (body or {}), separators=(",", ":")).encode()
    return Delivery(number, Message(topic, boot, number, Lane.WINDOW, START_MS, START_MS + 1000, body), live)


@asynccontextmanager
async def served(sink: Sink) -> AsyncIterator[Sink]:
    """The sink, open and live."""
    live = asyncio.Event()
    await sink.open()
    serving = asyncio.create_task(sink.serve(live.set))
    try:
        await asyncio.wait_for(live.wait(), 30)
        await asyncio.wait_for(sink.room(), 30)
        yield sink
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await sink.close()


async def put(sink: Sink, *deliveries: Delivery) -> list[BaseException | None]:
    """Send messages and return how each has ended."""
    return await asyncio.wait_for(asyncio.gather(*map(sink.send, deliveries), return_exceptions=True), 60)
