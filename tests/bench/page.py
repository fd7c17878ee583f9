"""The page's cost on the whole process: 10,000 tags, ten viewers of the stream and a scrape every 15 s, or nobody."""

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import psutil

from tests.bench.figures import Bench, Figure
from tests.bench.process import _Rig
from tests.support.gateway import Subscriber
from tests.support.network import free_port

_SETTLE_S, _MEASURE_S, _VIEWERS, _IN_SIGHT = 25.0, 20.0, 10, 60
_PATHS = ("status", "devices", "tags?offset=5000&limit=100", "alarms", "events?limit=100", "values?tags=1,2,3", "outbox")


async def _view(http: aiohttp.ClientSession, url: str, number: int) -> None:
    tags = ",".join(str(number * _IN_SIGHT + one) for one in range(_IN_SIGHT))
    async with http.get(f"{url}/api/v1/stream?tags={tags}") as response:
        async for _ in response.content.iter_any():
            pass


async def _scrape(http: aiohttp.ClientSession, url: str) -> None:
    while True:
        async with http.get(f"{url}/metrics") as response:
            await response.read()
        await asyncio.sleep(15)


async def _ask(http: aiohttp.ClientSession, url: str, end: float) -> list[float]:
    """Times of answers in ms, asked at leisure."""
    times = []
    while time.monotonic() < end:
        for path in _PATHS:
            begun = time.perf_counter()
            async with http.get(f"{url}/api/v1/{path}") as response:
                await response.read()
            times.append((time.perf_counter() - begun) * 1e3)
            await asyncio.sleep(0.05)
    return times


async def _watched(url: str, process: psutil.Process) -> tuple[float, float, list[float]]:
    """(share of a core, RSS, times of answers in ms) while ten look; the answers are asked for after the others."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(None)) as http:
        tasks = [asyncio.create_task(_view(http, url, n)) for n in range(_VIEWERS)]
        tasks.append(asyncio.create_task(_scrape(http, url)))
        try:
            await asyncio.sleep(3)
            share, rss = await _share(process)
            return share, rss, await _ask(http, url, time.monotonic() + _MEASURE_S / 2)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def _share(process: psutil.Process) -> tuple[float, float]:
    """Share of a core, and the median RSS of readings twice a second: what waits to be compressed comes and goes."""
    before, begun, rss = sum(process.cpu_times()[:2]), time.monotonic(), []
    while time.monotonic() - begun < _MEASURE_S:
        rss.append(process.memory_info().rss)
        await asyncio.sleep(0.5)
    return (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - begun), statistics.median(rss)


def _alarms_ms(subscriber: Subscriber) -> list[float]:
    """From the time of each alarm to its arrival."""
    return [(m.at * 1e3 - m.payload["ts"]) for m in subscriber.of("/event") if m.payload.get("kind") == "alarm"]


def _p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98] if len(times) > 1 else float("nan")


def _page() -> Iterator[Figure]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        rig = _Rig(Path(folder))
        stack.callback(rig.close)
        root = Path(folder) / "config" / "gateway.yaml"
        root.write_text(root.read_text() + f"web:\n  listen: 127.0.0.1:{port}\n")
        subscriber = Subscriber(rig.broker.port).wait_ready()
        stack.callback(subscriber.close)
        rig.gateway.start()
        assert rig.gateway.process is not None
        process = psutil.Process(rig.gateway.process.pid)
        time.sleep(_SETTLE_S)
        before, rss = asyncio.run(_share(process))
        seen = len(_alarms_ms(subscriber))
        share, watched_rss, answers = asyncio.run(_watched(f"http://127.0.0.1:{port}", process))
        end = len(_alarms_ms(subscriber))
        after, _ = asyncio.run(_share(process))
        alarms = _alarms_ms(subscriber)
        alone = (before + after) / 2
        unwatched, watched = alarms[:seen] + alarms[end:], alarms[seen:end]
    on = "10,000 tags, 10 viewers, a scrape every 15 s"
    yield Figure("page_cpu_share_10_viewers", (share - alone) * 100, "% of a core", on, "<= 1")
    yield Figure("api_p99_ms", _p99(answers), "ms", on, "<= 20")
    yield Figure("alarm_latency_p99_watched_ms", _p99(watched) - _p99(unwatched), "ms more than unwatched", on, "<= 1")
    # With what the history has grown meanwhile, a third of a MiB.
    yield Figure("page_rss_mb", (watched_rss - rss) / 2**20, "MiB more while watched", on, "<= 20")


BENCHES = (Bench(("page_cpu_share_10_viewers", "api_p99_ms", "alarm_latency_p99_watched_ms", "page_rss_mb"), _page),)
