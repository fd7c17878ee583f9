"""A server whose clock nobody sets, and one that grants other intervals than it was asked for."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncua import ua
from structlog.testing import capture_logs

from gateway.core.quality import Quality
from gateway.sources.opcua.source import clock_watch
from tests.support.opcua_field import in_the_field
from tests.support.opcua_mangler import Mangler
from tests.support.opcua_server import AsyncuaServer

NODES: list[str] = ["ns=2;s=v0"]
YEARS = timedelta(days=3 * 365)


@pytest.fixture
async def server(port: int):
    async with AsyncuaServer(port, 1) as running:
        yield running


@pytest.fixture
async def mangler(server: AsyncuaServer, port: int):
    async with Mangler(port) as running:
        yield running


def clock_off(by: timedelta) -> Any:
    """All times of the server are off."""

    def apply(response: Any) -> None:
        if response.ResponseHeader.Timestamp is not None:
            response.ResponseHeader.Timestamp += by
        if isinstance(response, ua.PublishResponse):
            for data in response.Parameters.NotificationMessage.NotificationData or ():
                for item in getattr(data, "MonitoredItems", ()):
                    stamp = datetime.now(UTC).replace(tzinfo=None) + by
                    item.Value.SourceTimestamp = item.Value.ServerTimestamp = stamp

    return apply


async def test_a_clock_that_is_years_off_is_said_with_what_to_do_and_that_it_is_right_again(server, mangler):
    mangler.response = clock_off(-YEARS)
    async with in_the_field(mangler.url, NODES) as field:
        await field.until(lambda: bool(field.values[0]))
        await field.until(lambda: field.states[-1].state == "degraded")
        assert "the server's clock is 3 years behind" in field.states[-1].reason
        assert "times: gateway" in field.states[-1].reason
        assert field.qualities[0][-1] == Quality.UNCERTAIN_CLOCK
        mangler.response = clock_off(timedelta())
        await server.write(0, 7.0)
        await field.until(lambda: field.states[-1].state == "ok")
        await field.until(lambda: field.values[0][-1] == 7.0)
        assert field.qualities[0][-1] == Quality.GOOD


async def test_with_times_of_the_gateway_values_are_good_at_the_time_of_their_receipt(server, mangler):
    mangler.response = clock_off(-YEARS)
    async with in_the_field(mangler.url, NODES, times="gateway") as field:
        await field.until(lambda: bool(field.values[0]))
        before_ns = time.time_ns()
        await server.write(0, 7.0)
        await field.until(lambda: field.values[0][-1] == 7.0)
        assert before_ns <= field.times[0][-1] <= time.time_ns()
        assert field.qualities[0][-1] == Quality.GOOD
        assert {state.state for state in field.states} == {"ok"}


async def test_a_device_behind_the_server_whose_clock_is_ahead_is_not_uncertain_in_silence(server, mangler):
    def ahead(response: Any) -> None:
        if isinstance(response, ua.PublishResponse):
            for data in response.Parameters.NotificationMessage.NotificationData or ():
                for item in getattr(data, "MonitoredItems", ()):
                    item.Value.SourceTimestamp = datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=2)

    mangler.response = ahead
    async with in_the_field(mangler.url, NODES) as field:
        await field.until(lambda: bool(field.values[0]))
        await field.until(lambda: field.states[-1].state == "degraded")
        assert "source times that lie in the future, though the server's clock is right" in field.states[-1].reason


async def test_what_the_server_revised_is_said_once_and_stands_in_the_figures(server, mangler):
    def slow(response: Any) -> None:
        if isinstance(response, ua.CreateMonitoredItemsResponse):
            for one in response.Results:
                one.RevisedSamplingInterval, one.RevisedQueueSize = 5000.0, 1

    mangler.response = slow
    with capture_logs() as logs:
        async with in_the_field(mangler.url, NODES, interval="250ms", sampling="250ms") as field:
            await field.until(lambda: bool(field.values[0]))
            figures = field.source.stats()[0]
            mangler.cut()
            await field.until(lambda: bool(field.downs))
            await field.until(lambda: field.states[-1].state != "down")
    said = [one for one in logs if one["event"] == "the server revised what it was asked for"]
    assert [(one["sampling"], one["queue_size"]) for one in said] == [("250 ms -> 5000 ms", "10 -> 1")]
    assert (figures["sampling_interval_ms"], figures["queue_size"]) == (5000.0, 1)
    assert figures["publishing_interval_ms"] == 250.0
    assert figures["session_timeout_ms"] == 60_000.0


async def test_what_is_received_late_keeps_the_time_of_its_source(server, mangler, monkeypatch):
    """A link that stands still looks like a clock that is behind; a clock that was right before is believed."""
    monkeypatch.setattr(clock_watch, "LASTS_S", 3600.0)
    async with in_the_field(mangler.url, NODES, clock_tolerance="500ms") as field:
        mangler.response = clock_off(timedelta())
        await server.write(0, 1.0)
        await field.until(lambda: 1.0 in field.values[0])
        mangler.response = clock_off(timedelta(seconds=-20))
        await server.write(0, 7.0)
        await field.until(lambda: field.values[0][-1] == 7.0)
        assert field.times[0][-1] <= time.time_ns() - 19 * 10**9
        assert field.qualities[0][-1] == Quality.UNCERTAIN_CLOCK
        assert {state.state for state in field.states} == {"ok"}
