"""OPC UA: how long the event loop stands still while 50,000 nodes are found, watched and first read."""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import uvloop

from gateway.app.garbage import ShortCollections
from gateway.core.blocks import SampleBlock
from gateway.core.clock import SystemClock
from gateway.core.ports.plugin import SourceServices
from gateway.sources.opcua.client.session import connect
from gateway.sources.opcua.plugin import OpcUaPlugin
from gateway.sources.opcua.source.source import OpcUaSource
from gateway.sources.opcua.source.tag_discovery import found_path
from tests.bench.figures import Bench, Figure
from tests.support.network import free_port
from tests.support.opcua_fake import entry
from tests.support.opcua_server import NodeServer
from tests.support.watermarks_fake import FakeWatermarks

_NODES = 50_000
_NODE = Path(__file__).resolve().parents[1] / "node"


class Turns:
    """Longest CPU time of this thread between two turns of its loop: what other processes take does not count."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def run(self) -> None:
        while True:
            begin = time.thread_time()
            await asyncio.sleep(0.001)
            self.longest_s = max(self.longest_s, time.thread_time() - begin)


async def _start(collections: ShortCollections) -> tuple[float, float]:
    """Longest stand-stills in seconds: finding the nodes, and from opening the source to the last first value."""
    with tempfile.TemporaryDirectory() as folder:
        collections.settle()
        async with NodeServer(_NODE, free_port(), Path(folder), count=_NODES, period=5000) as server:
            browse = {"root": "/Objects/1:Line", "include": "v*", "most": 2 * _NODES}
            device = entry(nodes=[], url=server.url, browse=browse, found=folder, timeout="30s").config
            turns = [Turns(), Turns()]
            ticking = asyncio.create_task(turns[0].run())
            await OpcUaPlugin().discover_tags(device, [], SystemClock())
            ticking.cancel()
            path = found_path(device)
            assert path is not None
            nodes = [row.split(",")[1] for row in path.read_text().splitlines()[1:]]
            services = SourceServices(SystemClock(), FakeWatermarks())
            collections.settle()  # as the gateway does before it makes its parts
            source = OpcUaSource(entry(nodes=nodes, url=server.url, timeout="30s"), services, connect)
            ticking = asyncio.create_task(turns[1].run())
            await source.open()
            missing = set(range(len(nodes)))
            while missing:
                news = await source.read()
                if isinstance(news, SampleBlock):
                    missing.difference_update(news.tag.tolist())
            ticking.cancel()
            await source.close()
    return turns[0].longest_s, turns[1].longest_s


def _stalls() -> Iterator[Figure]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, ShortCollections() as collections:
        finding_s, opening_s = runner.run(_start(collections))
    on = f"{_NODES:,} nodes of node-opcua's server, CPU time between two turns of the loop"
    yield Figure("opcua_longest_stall_finding_ms_50k", finding_s * 1e3, "ms", f"{on}, while they are found", "<= 100")
    yield Figure(
        "opcua_longest_stall_ms_50k", opening_s * 1e3, "ms", f"{on}, from opening to the last first value", "<= 100"
    )


BENCHES = (Bench(("opcua_longest_stall_finding_ms_50k", "opcua_longest_stall_ms_50k"), _stalls),)
