"""The OPC UA source against asyncua's server, and against peers that hang or refuse."""

import asyncio
import dataclasses
import logging
from datetime import UTC, datetime, timedelta

import pytest
from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.internal_session import InternalSession

from gateway.core.clock import SystemClock
from gateway.core.errors import NotConnected
from gateway.core.quality import Quality
from gateway.sources.opcua.client import session as client
from gateway.sources.opcua.source.intervals import Intervals
from tests.support.opcua_fake import entry
from tests.support.opcua_reader import Stopwatch, make_source, reading
from tests.support.opcua_server import AsyncuaServer
from tests.support.proxy import Proxy

NODES = [f"ns=2;s=v{i}" for i in range(5)]
LOST_S = 12.0


@pytest.fixture
async def server(port):
    async with AsyncuaServer(port) as running:
        yield running


async def lost(reader) -> str:
    """Read until the connection is lost; the reason."""
    with pytest.raises(NotConnected) as raised:
        await reader.until(lambda: False, LOST_S)
    return str(raised.value)


async def test_a_subscription_delivers_every_change_in_order(server):
    async with reading(server.url, NODES, queue_size=100) as reader:
        await reader.until(lambda: reader.seen(5))
        for value in range(1, 201):
            await server.write(0, float(value))
            await server.write(1, float(-value))
            if value % 20 == 0:
                await asyncio.sleep(0.1)
        await reader.until(lambda: len(reader.values[0]) >= 201 and len(reader.values[1]) >= 201)
        assert reader.values[0] == [float(v) for v in range(201)]
        assert reader.values[1] == [float(-v) for v in range(201)]
        assert reader.times[0] == sorted(reader.times[0])
        assert [state.state for state in reader.states] == ["ok"]


async def test_polls_deliver_values_status_and_old_times(server):
    old = datetime.now(UTC) - timedelta(hours=3)
    await server.write(1, 5.5, time=old)
    await server.write(2, 7.0, status=0x40900000)
    await server.add("text", "running")
    async with reading(server.url, [*NODES[:3], "ns=2;s=text"], mode="poll") as reader:
        await reader.until(lambda: len(reader.objects[3]) >= 3)
        assert reader.values[1][0] == 5.5
        assert abs(reader.times[1][0] - old.timestamp() * 1e9) < 2000
        assert reader.qualities[1][0] == Quality.GOOD
        assert reader.qualities[2][0] == Quality.UNCERTAIN_LAST_USABLE
        assert reader.objects[3][:3] == ["running"] * 3
        assert not reader.values[3], "text is no number and no bad number either"


async def test_an_unknown_node_costs_one_tag_and_is_retried(server):
    async with reading(
        server.url, ["ns=2;s=late", *NODES[1:3]], intervals=Intervals(node_retry_s=0.2, check_s=0.1)
    ) as reader:
        await reader.until(lambda: reader.seen(3))
        assert reader.qualities[0] == [Quality.BAD_ADDRESS]
        assert "1 of 3 nodes refused: t0 (ns=2;s=late) BadNodeIdUnknown" in reader.states[0].reason
        await server.add("late")
        await reader.until(lambda: reader.good(0) == [0.0] and reader.states[-1].state == "ok")


async def test_a_restarted_server_is_found_again(server):
    async with reading(server.url, NODES) as reader:
        await reader.until(lambda: reader.seen(5))
        await server.stop()
        await lost(reader)
        await reader.source.close()
        with pytest.raises(NotConnected, match="cannot connect"):
            await reader.source.open()
        await reader.source.close()
        await server.start()
        await reader.source.open()
        await server.write(0, 42.0)
        await reader.until(lambda: reader.values[0][-1] == 42.0)


@pytest.mark.parametrize("mode", ["subscribe", "poll"])
async def test_a_half_open_connection_is_detected_and_closed_in_time(server, port, mode):
    async with Proxy(port) as proxy, reading(f"opc.tcp://127.0.0.1:{proxy.port}", NODES, mode=mode) as reader:
        await reader.until(lambda: reader.seen(5))
        proxy.stall()
        reason = await lost(reader)
        assert "silent" in reason or "no answer" in reason
        watch = Stopwatch()
        await reader.source.close()
        assert watch.elapsed_s < 3
        proxy.flow()


async def test_a_cut_connection_is_noticed_at_once(server, port):
    async with Proxy(port) as proxy, reading(f"opc.tcp://127.0.0.1:{proxy.port}", NODES, timeout="60s") as reader:
        await reader.until(lambda: reader.seen(5))
        watch = Stopwatch()
        proxy.cut()
        await lost(reader)
        assert watch.elapsed_s < 30, "not after the timeout"


@pytest.fixture
def hello():
    """Set once the silent server has heard something."""
    return asyncio.Event()


@pytest.fixture
async def silent(hello):
    """A TCP server that accepts and says nothing; its port."""

    async def listen(reader, writer):
        await reader.read(1)
        hello.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as listening:
        yield listening.sockets[0].getsockname()[1]


async def test_opening_to_a_silent_peer_is_cancelled_at_once(silent, hello):
    source = make_source(f"opc.tcp://127.0.0.1:{silent}", NODES, timeout="60s")
    opening = asyncio.create_task(source.open())
    await asyncio.wait_for(hello.wait(), 10)
    watch = Stopwatch()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await source.close()
    assert watch.elapsed_s < 30, "not after the timeout"


async def test_opening_to_a_silent_peer_ends_with_the_timeout(silent):
    source = make_source(f"opc.tcp://127.0.0.1:{silent}", NODES, timeout="500ms")
    watch = Stopwatch()
    with pytest.raises(NotConnected, match="no answer in time"):
        await source.open()
    await source.close()
    assert watch.elapsed_s < 4


async def test_failures_do_not_flood_the_log(server, port, caplog):
    with caplog.at_level(logging.INFO):
        async with Proxy(port) as proxy, reading(f"opc.tcp://127.0.0.1:{proxy.port}", NODES) as reader:
            await reader.until(lambda: reader.seen(5))
            caplog.clear()
            proxy.refuse = True
            proxy.cut()
            await lost(reader)
            await reader.source.close()
            for _ in range(5):
                with pytest.raises(NotConnected):
                    await reader.source.open()
                await reader.source.close()
    assert [record for record in caplog.records if record.name.startswith(("asyncua.client", "asyncio"))] == []


class Leaping(SystemClock):
    """The system's clock, with monotonic time that can be pushed forwards."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


async def test_the_secure_channel_is_renewed_and_values_go_on(server):
    clock = Leaping()
    device = entry(nodes=NODES, url=server.url, interval="50ms").config
    connection = await client.connect(device, clock)
    try:
        clock.ahead_s = 3000.0
        await connection.check()
        assert connection._link._channel_opened_s == pytest.approx(clock.monotonic(), abs=5)
        source_items = make_source(server.url, NODES)._device.items
        assert await connection.values.subscribe(source_items) == [0] * 5
        async with asyncio.timeout(10):
            while not len(await connection.values.next_notification()):
                pass
    finally:
        await connection.close()


async def test_a_namespace_may_be_named_by_its_uri(port):
    names = ["nsu=urn:gateway:test;s=v0", "nsu=urn:absent;s=v0"]
    async with AsyncuaServer(port, 1) as server, reading(server.url, names) as reader:
        await reader.until(lambda: reader.seen(2))
        assert reader.values[0][0] == 0
        assert reader.qualities[1][0] == Quality.BAD_ADDRESS


@pytest.mark.parametrize(
    "fault", ["BadTooManyOperations", "BadEncodingLimitsExceeded", "BadResponseTooLarge", "BadRequestTooLarge"]
)
@pytest.mark.parametrize("mode", ["poll", "subscribe"])
async def test_calls_that_are_too_large_are_halved_and_values_land_on_their_tags(port, monkeypatch, fault, mode):
    """A server that states no limits and takes seven operations of any service."""

    def limited(name):
        service = getattr(InternalSession, name)

        async def call(self, params, *more):
            lists = (v for v in (params, *vars_of(params)) if isinstance(v, list))
            if any(len(one) > 7 for one in lists):
                raise ServiceError(getattr(ua.StatusCodes, fault))
            return await service(self, params, *more)

        monkeypatch.setattr(InternalSession, name, call)

    for name in ("read", "browse", "create_monitored_items", "translate_browsepaths_to_nodeids", "register_nodes"):
        limited(name)
    async with AsyncuaServer(port, 60) as server:
        for i in range(60):
            await server.write(i, float(i))
        names = [f"ns=2;s=v{i}" if i % 2 else f"/Objects/2:Line/2:v{i}" for i in range(60)]
        async with reading(server.url, names, mode=mode, register_nodes=True) as reader:
            await reader.until(lambda: reader.seen(60))
    assert [reader.values[i][0] for i in range(60)] == [float(i) for i in range(60)]
    assert not any("refused" in state.reason for state in reader.states)


def vars_of(params):
    return [] if isinstance(params, list) else [getattr(params, field.name) for field in dataclasses.fields(params)]


async def test_a_namespace_that_comes_later_is_found(port):
    async with (
        AsyncuaServer(port, 1) as server,
        reading(server.url, ["nsu=urn:late;s=a"], intervals=Intervals(node_retry_s=0.2, check_s=0.1)) as reader,
    ):
        await reader.until(lambda: reader.seen(1))
        assert reader.qualities[0] == [Quality.BAD_ADDRESS]
        index = await server.server.register_namespace("urn:late")
        await server.server.nodes.objects.add_variable(ua.NodeId("a", index), "a", 7.5)
        await reader.until(lambda: reader.good(0) == [7.5], 20)
