"""Servers and networks that do what the standard allows, or what some do all the same: a proxy changes what they say."""

import asyncio
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncua import ua

from gateway.core.errors import NotConnected
from gateway.core.quality import Quality
from gateway.sources.opcua.source.intervals import Intervals
from tests.support.opcua_field import in_the_field
from tests.support.opcua_mangler import DROP, Mangler
from tests.support.opcua_reader import make_source, reading
from tests.support.opcua_server import AsyncuaServer, NodeServer

NODES = [f"ns=2;s=v{i}" for i in range(3)]


@pytest.fixture
async def server(port):
    async with AsyncuaServer(port, 3) as running:
        yield running


@pytest.fixture
async def mangler(server, port):
    async with Mangler(port) as running:
        yield running


def each_value(change: Callable[[ua.DataValue], None]) -> Callable[[Any], None]:
    """Changes every value that a subscription brings."""

    def apply(response: Any) -> None:
        if isinstance(response, ua.PublishResponse):
            for data in response.Parameters.NotificationMessage.NotificationData or ():
                for item in getattr(data, "MonitoredItems", None) or ():
                    change(item.Value)

    return apply


async def test_notifications_that_are_swallowed_are_had_again(server, mangler):
    """Each costs a publish request as well; when all are gone the connection is taken up again."""
    count = 0

    def swallow(response: Any) -> int | None:
        nonlocal count
        if not isinstance(response, ua.PublishResponse) or not response.Parameters.NotificationMessage.NotificationData:
            return None
        count += 1
        return DROP if count % 4 == 0 else None

    async with in_the_field(mangler.url, NODES, queue_size=100, timeout="1s") as field:
        await field.until(lambda: bool(field.values[0]))
        mangler.response = swallow
        for k in range(1, 41):
            await server.write(0, float(k))
            await asyncio.sleep(0.05)
        await field.until(lambda: 40.0 in field.values[0])
        assert field.values[0] == [float(k) for k in range(41)]
        assert field.source.stats()[0]["lost"] == 0
        assert count > 8


async def test_a_renewal_that_is_never_answered_costs_the_channel_and_no_value(server, mangler):
    answered = 0

    def short(response: Any) -> int | None:
        nonlocal answered
        answered += 1
        response.Parameters.SecurityToken.RevisedLifetime = 2000
        return DROP if answered % 2 == 0 else None

    mangler.opened = short
    async with in_the_field(mangler.url, NODES, queue_size=100, timeout="1s") as field:
        await field.until(lambda: bool(field.values[0]))
        k = 0
        while len(field.downs) < 2:
            k += 1
            await server.write(0, float(k))
            await asyncio.sleep(0.05)
        await field.until(lambda: field.values[0][-1] == k)
        assert field.values[0] == [float(i) for i in range(k + 1)]
        assert all("cannot renew the secure channel: no answer in time" in reason for reason in field.downs)
        await field.until(lambda: len(server.server.iserver._external_sessions) == 1)


async def test_messages_of_a_thousand_chunks_are_put_together(server, mangler):
    mangler.chunk_bytes = 5
    async with reading(mangler.url, NODES) as reader:
        await reader.until(lambda: reader.seen(3))
        await server.write(0, 7.0)
        await reader.until(lambda: reader.values[0][-1] == 7.0)


async def test_a_message_without_an_end_is_a_lost_connection(server, mangler):
    async with in_the_field(mangler.url, NODES) as field:
        await field.until(lambda: bool(field.values[0]))
        mangler.flood = True
        await field.until(lambda: bool(field.downs))
        mangler.flood = False
        mangler.cut()
        await server.write(0, 7.0)
        await field.until(lambda: field.values[0][-1] == 7.0)


async def test_a_request_is_not_longer_than_the_server_takes(port):
    """It is split before it is sent: many servers hang up instead of refusing."""

    def acknowledge(told: Any) -> None:
        told.MaxMessageSize, told.ReceiveBufferSize, told.MaxChunkCount = 3000, 8192, 1

    nodes = [f"ns=2;s=v{i}" for i in range(300)]
    async with AsyncuaServer(port, 300), Mangler(port) as mangler:
        mangler.acknowledge = acknowledge
        for mode in ("poll", "subscribe"):
            async with reading(mangler.url, nodes, mode=mode) as reader:
                await reader.until(lambda reader=reader: reader.seen(300))
                assert "refused" not in reader.states[-1].reason
        assert 1500 < mangler.longest <= 3000


@pytest.mark.parametrize(("receives", "sends"), [(8192, 65535), (65535, 8192), (8192, 8192)])
async def test_a_server_may_have_buffers_of_two_sizes(port, receives, sends):
    """What it sends is as long as it said, whatever it takes itself."""

    def acknowledge(told: Any) -> None:
        told.ReceiveBufferSize, told.SendBufferSize = receives, sends

    nodes = [f"ns=2;s=v{i}" for i in range(500)]
    async with AsyncuaServer(port, 500), Mangler(port) as mangler:
        mangler.acknowledge, mangler.chunk_bytes = acknowledge, sends - 100
        async with reading(mangler.url, nodes, mode="poll") as reader:
            await reader.until(lambda: reader.seen(500))


LONG_AGO = datetime(1601, 1, 1)
DOOM = datetime(9999, 12, 31, 23, 59, 59)


async def test_source_timestamps_of_nonsense_are_not_believed(server, mangler):
    """None, the null of 1601, the end of all days: the server's own time then; never one later than the receipt."""
    taken: Any = None

    def stamp(value: ua.DataValue) -> None:
        later = datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=2)
        value.SourceTimestamp, value.SourcePicoseconds = later if taken == "ahead" else taken, None

    mangler.response = each_value(stamp)
    async with in_the_field(mangler.url, NODES) as field:
        await field.until(lambda: bool(field.values[0]))
        for k, taken in enumerate((None, LONG_AGO, datetime(1601, 1, 2), DOOM, "ahead"), 1):
            await server.write(0, float(k))
            await field.until(lambda k=k: field.values[0][-1] == k)
            now_ns = time.time_ns()
            assert now_ns - 30e9 < field.times[0][-1] <= now_ns, taken
            doubtful = taken in (DOOM, "ahead")
            assert field.qualities[0][-1] == (Quality.UNCERTAIN_CLOCK if doubtful else Quality.GOOD), taken


async def test_what_is_no_number_is_bad_and_the_next_number_is_good(server):
    async with in_the_field(server.url, NODES) as field:
        await field.until(lambda: bool(field.values[0]))
        for k, number in enumerate((math.nan, math.inf, -math.inf), 1):
            await server.write(0, number)
            await field.until(lambda: field.qualities[0][-1] == Quality.BAD_NOT_A_NUMBER)
            assert math.isnan(field.values[0][-1])
            await server.write(0, float(k))
            await field.until(lambda k=k: field.values[0][-1] == k)
            assert field.qualities[0][-1] == Quality.GOOD
        assert field.states[-1].state == "ok"


STATUSES = {
    0x00000400: Quality.GOOD,  # InfoType DataValue
    0x00000500: Quality.GOOD,  # and limited low
    0x00000700: Quality.GOOD,  # and constant
    0x00004000: Quality.GOOD,  # structure changed
    0x00960000: Quality.GOOD_LOCAL_OVERRIDE,
    0x40920400: Quality.UNCERTAIN,
    0x40930000: Quality.UNCERTAIN_SENSOR,
    0x40940500: Quality.UNCERTAIN_RANGE,
    0x40FF0000: Quality.UNCERTAIN,  # not in any table
    0x808C0500: Quality.BAD_SENSOR_FAILURE,
    0x80FF0000: Quality.BAD,
    0xC0000000: Quality.BAD,  # reserved
}


async def test_every_bit_of_a_status_is_read(server, mangler):
    """The severity and the substatus say how good it is, the information bits do not."""
    status = 0

    def mark(value: ua.DataValue) -> None:
        value.StatusCode = ua.StatusCode(ua.UInt32(status))

    async with in_the_field(mangler.url, NODES) as field:
        await field.until(lambda: bool(field.values[0]))
        mangler.response = each_value(mark)
        for k, (status, quality) in enumerate(STATUSES.items(), 1):
            count = len(field.qualities[0])
            await server.write(0, float(k))
            await field.until(lambda count=count: len(field.qualities[0]) > count)
            assert field.qualities[0][-1] == quality, f"{status:#010x}"
        assert not field.downs


async def test_whatever_a_server_revises_a_subscription_to_the_values_come(server, mangler):
    publishing, lifetime, keepalive = 0.0, 0, 0

    def revise(request: Any) -> None:
        if isinstance(request, ua.CreateSubscriptionRequest):
            request.Parameters.RequestedPublishingInterval = publishing
            request.Parameters.RequestedLifetimeCount = lifetime
            request.Parameters.RequestedMaxKeepAliveCount = keepalive
        if isinstance(request, ua.CreateMonitoredItemsRequest):
            for one in request.Parameters.ItemsToCreate:
                one.RequestedParameters.SamplingInterval, one.RequestedParameters.QueueSize = 1000.0, 3

    mangler.request = revise
    for revised in ((700.0, 3, 1), (50.0, 3, 1), (100.0, 1, 1), (1500.0, 60000, 20000)):
        publishing, lifetime, keepalive = revised
        await server.write(0, 0.0)
        async with in_the_field(mangler.url, NODES) as field:
            await field.until(lambda field=field: bool(field.values[0]))
            for k in range(1, 4):
                await server.write(0, float(k))
                await field.until(lambda field=field, k=k: field.values[0][-1] == k)
            assert field.values[0] == [float(k) for k in range(4)]
            assert field.downs == []


async def test_a_foreign_server_with_a_short_lifetime_keeps_its_subscription(node, port, store):
    """node-opcua ends a subscription whose lifetime is over without a publish request."""
    names = [f"ns=1;s=v{i}" for i in range(6)]

    def revise(request: Any) -> None:
        if isinstance(request, ua.CreateSubscriptionRequest):
            request.Parameters.RequestedPublishingInterval = 200.0
            request.Parameters.RequestedLifetimeCount, request.Parameters.RequestedMaxKeepAliveCount = 3, 1

    async with NodeServer(node, port, store, count=6, period=500) as server, Mangler(port) as mangler:
        mangler.request = revise
        async with in_the_field(f"{mangler.url}/test", names) as field:
            await field.until(lambda: len(field.values[0]) > 12, 40)
            assert (field.downs, server.url) == ([], server.url)


async def test_a_server_that_only_keeps_alive_and_swallows_the_data_loses_nothing(server, mangler):
    """The notification arrives as a keep-alive: what is missing is asked for again."""

    def strip(response: Any) -> None:
        if isinstance(response, ua.PublishResponse):
            message = response.Parameters.NotificationMessage
            if message.NotificationData:
                message.NotificationData = []
                message.SequenceNumber += 1

    async with in_the_field(mangler.url, NODES) as field:
        await field.until(lambda: bool(field.values[0]))
        mangler.response = strip
        for k in range(1, 6):
            await server.write(0, float(k))
            await field.until(lambda k=k: field.values[0][-1] == k)
        assert field.values[0] == [float(k) for k in range(6)]
        assert field.source.stats()[0]["lost"] == 0


async def test_a_server_with_one_session_is_had_again_after_every_loss(node, port, store):
    server = NodeServer(node, port, store, count=3, period=100, capabilities={"maxSessions": 1})
    async with server, Mangler(port) as mangler:
        url = f"{mangler.url}/test"
        async with in_the_field(url, ["ns=1;s=v0"], session_timeout="2s", queue_size=100) as field:
            await field.until(lambda: bool(field.values[0]))
            for _ in range(3):
                mangler.cut()
                await field.until_fresh()
                await field.until_fresh()
            rival = make_source(server.url, ["ns=1;s=v0"])
            with pytest.raises(NotConnected, match=r"BadTooManySessions: all sessions of the server are taken"):
                await rival.open()
            await rival.close()
            await field.until_fresh()
        async with in_the_field(server.url, ["ns=1;s=v0"]) as field:
            await field.until(lambda: bool(field.values[0]))
            assert field.downs == [], "the session was closed at the end"


async def test_the_address_in_the_configuration_is_used_whatever_a_server_calls_itself(server, mangler):
    host = ""

    def rename(response: Any) -> None:
        if isinstance(response, ua.CreateSessionResponse):
            for one in response.Parameters.ServerEndpoints:
                one.EndpointUrl = f"opc.tcp://{host}:4840/x"

    mangler.response = rename
    for name in ("0.0.0.0", "plc-17.does.not.exist", "[::]", ""):
        host = name
        async with reading(mangler.url, NODES) as reader:
            await reader.until(lambda reader=reader: reader.seen(3))


async def test_a_server_that_is_for_discovery_only_is_named_as_such(server, mangler):
    def refuse(request: Any) -> int | None:
        return 0x800B0000 if isinstance(request, ua.CreateSessionRequest) else None

    mangler.request = refuse
    source = make_source(mangler.url, NODES)
    with pytest.raises(NotConnected, match=r"refuses: BadServiceUnsupported.*discovery"):
        await source.open()
    await source.close()


async def test_a_server_without_endpoints_says_so(server, mangler, tmp_path):
    def none(response: Any) -> None:
        if isinstance(response, ua.GetEndpointsResponse):
            response.Endpoints = []
        if isinstance(response, ua.CreateSessionResponse):
            response.Parameters.ServerEndpoints = []

    mangler.response = none
    for security in ("none", "auto"):
        source = make_source(mangler.url, NODES, security=security, pki=str(tmp_path))
        with pytest.raises(NotConnected, match="the server offers nothing"):
            await source.open()
        await source.close()


DENIED = "BadUserAccessDenied: this user may not; give it the right on the server"
REFUSED = {
    "poll": ("ReadRequest", 0x808D0000, "the server refuses to read: BadOutOfService: the server, or what is behind it"),
    "poll by denial": ("ReadRequest", 0x801F0000, f"the server refuses to read: {DENIED}"),
    "poll without": ("ReadRequest", 0x800B0000, "the server refuses to read: BadServiceUnsupported: the server has no such"),
    "subscribe": ("CreateMonitoredItemsRequest", 0x801F0000, f"all 3 nodes refused: {DENIED}"),
    "subscribe by fault": (
        "CreateMonitoredItemsRequest",
        0x80020000,
        "all 3 nodes refused: BadInternalError: the server has",
    ),
    "subscribe at all": ("CreateSubscriptionRequest", 0x801F0000, f"refuses: {DENIED}"),
    "subscribe by path": ("TranslateBrowsePathsToNodeIdsRequest", 0x801F0000, f"all 3 nodes refused: {DENIED}"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_service_that_is_refused_as_a_whole_is_told_in_words_and_tried_again(server, mangler, case):
    kind, status, words = REFUSED[case]
    refusing = True
    mangler.request = lambda request: status if refusing and type(request).__name__ == kind else None
    nodes = [f"/Objects/2:Line/2:v{i}" for i in range(3)] if kind.startswith("Translate") else NODES
    async with in_the_field(
        mangler.url,
        nodes,
        mode=case.split()[0],
        interval="100ms",
        intervals=Intervals(node_retry_s=0.2, warning_shown_s=0.5, check_s=0.1),
    ) as field:
        await field.until(lambda: any(words in state.reason for state in field.states))
        assert not any(value == value for value in field.values[0])
        refusing = False
        await field.until(lambda: field.states[-1].state == "ok" and 0.0 in field.values[0][-1:])


async def test_reads_that_are_refused_do_not_make_silent_nodes_suspicious(server, mangler):
    """The watchdog of a subscription learns nothing from them."""
    async with in_the_field(mangler.url, NODES, silence="1s", intervals=Intervals(check_s=0.5)) as field:
        await field.until(lambda: all(field.values[tag] for tag in range(3)))
        mangler.request = lambda request: 0x801F0000 if isinstance(request, ua.ReadRequest) else None
        count = mangler.seen.count("ReadRequest")
        await field.until(lambda: "the server refuses to read" in field.states[-1].reason)
        async with asyncio.timeout(30):
            while mangler.seen.count("ReadRequest") < count + 6:
                await asyncio.sleep(0.1)
        assert field.events == []
        assert [len(field.values[tag]) for tag in range(3)] == [1, 1, 1]
        await server.write(0, 7.0)
        await field.until(lambda: field.values[0][-1] == 7.0)
        assert field.downs == []
