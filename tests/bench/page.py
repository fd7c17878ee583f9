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


async def _watched(url: str, process: psutil.Process) -> tuple[float, list[float], int]:
    """(share of a core, times of answers in ms, RSS) while ten look; the answers are asked for after the share is taken."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(None)) as http:
        tasks = [asyncio.create_task(_view(http, url, n)) for n in range(_VIEWERS)]
        tasks.append(asyncio.create_task(_scrape(http, url)))
        try:
            await asyncio.sleep(3)
            share = await _share(process)
            return share, await _ask(http, url, time.monotonic() + _MEASURE_S / 2), process.memory_info().rss
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def _share(process: psutil.Process) -> float:
    before, begun = sum(process.cpu_times()[:2]), time.monotonic()
    await asyncio.sleep(_MEASURE_S)
    return (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - begun)


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
        start = process.memory_info().rss
        before = asyncio.run(_share(process))
        rss = process.memory_info().rss
        seen = len(_alarms_ms(subscriber))
        share, answers, watched_rss = asyncio.run(_watched(f"http://127.0.0.1:{port}", process))
        end = len(_alarms_ms(subscriber))
        after = asyncio.run(_share(process))
        alarms = _alarms_ms(subscriber)
        alone, grown = (before + after) / 2, (rss - start) * 1.6  # the history grows while nobody looks, too
        unwatched, watched = alarms[:seen] + alarms[end:], alarms[seen:end]
    on = "10,000 tags, 10 viewers, a scrape every 15 s"
    yield Figure("page_cpu_share_10_viewers", (share - alone) * 100, "% of a core", on, "<= 1")
    yield Figure("api_p99_ms", _p99(answers), "ms", on, "<= 20")
    yield Figure("alarm_latency_p99_watched_ms", _p99(watched) - _p99(unwatched), "ms more than unwatched", on, "<= 1")
    yield Figure("page_rss_mb", (watched_rss - rss - grown) / 2**20, "MiB more while watched", on, "<= 20")


BENCHES = (Bench(("page_cpu_share_10_viewers", "api_p99_ms", "alarm_latency_p99_watched_ms", "page_rss_mb"), _page),)
