"""Metrics and traces at a real receiver of OTLP over HTTP, which is away for a while."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.core import spans
from gateway.core.clock import SystemClock
from gateway.otlp.config import OtlpConfig
from gateway.otlp.exporter import OtlpExporter
from gateway.otlp.push import OtlpPush
from gateway.web.host import HostReadings
from gateway.web.metrics import families
from tests.support.network import free_port, until
from tests.support.otlp_collector import Collector
from tests.support.web_view import STARTED_MS, fake_plant


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector(free_port())
    yield collector
    collector.stop()


def push_to(collector: Collector, keep: str = "5min", **config: str) -> OtlpPush:
    settings = OtlpConfig.model_validate(
        {"endpoint": f"http://127.0.0.1:{collector.port}", "interval": "1s", "keep": keep, "slow": "100ms", **config}
    )
    plant = fake_plant()
    view, host = plant.view(), HostReadings(Path("/"))
    return OtlpPush(
        settings,
        lambda: families(view, host),
        lambda: OtlpExporter(settings, "test", "1.2.3", "boot", STARTED_MS * 10**6),
        SystemClock(),
    )


async def test_metrics_and_traces_as_the_protocol_defines_them(collector: Collector) -> None:
    collector.start()
    task = asyncio.create_task(push_to(collector, token="a-token-for-it").run())
    try:
        await until(spans.is_followed, 60, "a push that runs")
        spans.report("connect", 0.25, "refused", to="press")
        spans.report_slow("poll", 0.15, device="press", place="holding:0..9")
        spans.report_slow("poll", 0.05, device="fast")
        await until(lambda: collector.metrics and len(collector.spans) == 2, 60, "metrics and spans")
    finally:
        task.cancel()
        await asyncio.wait([task])
    found = collector.metrics[0]
    counter = found["gateway_sink_sent"].sum
    assert counter.is_monotonic
    assert counter.data_points[0].as_double == 7 or counter.data_points[0].as_int == 7
    assert counter.data_points[0].start_time_unix_nano == STARTED_MS * 10**6
    assert len(found["gateway_device_state"].gauge.data_points) == 6
    assert collector.resources[0]["service.instance.id"] == "test"
    assert {key.lower(): value for key, value in collector.headers[0].items()}["authorization"] == "Bearer a-token-for-it"
    connect, poll = collector.spans
    assert (connect.name, connect.status.message) == ("connect", "refused")
    assert connect.end_time_unix_nano - connect.start_time_unix_nano == 250_000_000
    assert {a.key: a.value.string_value for a in poll.attributes} == {"device": "press", "place": "holding:0..9"}
    assert not spans.is_followed()


async def test_what_a_collector_misses_it_gets_later(collector: Collector, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    push = push_to(collector)
    task = asyncio.create_task(push.run())
    try:
        await until(lambda: any("does not take" in line for line in caplog.messages), 60, "a try that failed")
        await until(lambda: len(push._waiting) >= 3, 60, "readings that wait")
        collector.start()
        collector.status = 503
        await until(lambda: collector.headers, 60, "an attempt")
        collector.status = 200
        await until(lambda: len(collector.metrics) >= 4, 60, "all readings")
        await until(lambda: any("collector is back" in line for line in caplog.messages), 60, "word of it")
    finally:
        task.cancel()
        await asyncio.wait([task])
    times = collector.times_ns
    assert times == sorted(set(times)), "each once, in their order, with the time at which they were read"
    assert sum("collector does not take metrics" in line for line in caplog.messages) == 1
    assert sum("collector is back" in line for line in caplog.messages) == 1
