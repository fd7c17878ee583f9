"""Two servers of one device, of either kind: by level, by loss, the way back, sessions that outlive a channel."""

import asyncio
from contextlib import asynccontextmanager

from gateway.sources.opcua.source.intervals import Intervals
from tests.support.network import free_port
from tests.support.opcua_field import in_the_field
from tests.support.opcua_server import AsyncuaServer, NodeServer
from tests.support.proxy import Proxy

NODES = ["ns=2;s=v0"]
SESSION_COUNT = "i=2277"


QUICK = Intervals(check_s=0.1, failback_s=0.5, failover_hold_s=0.5)


async def test_fail_over_by_level_and_by_loss_and_the_way_back(port):
    async with AsyncuaServer(port, 1) as first, AsyncuaServer(free_port(), 1) as second:
        await second.write(0, 2.0)
        await first.write(0, 1.0)
        async with in_the_field(first.url, NODES, urls=[second.url], intervals=QUICK) as field:
            await field.until(lambda: bool(field.values[0]) and field.values[0][-1] == 1.0)
            assert len(field.downs) == 0

            await first.stand(100)
            await field.until(lambda: field.values[0][-1] == 2.0)
            assert f"fails over to {second.url}: ServiceLevel 255 there, ServiceLevel 100 at {first.url}" in field.downs[0]
            await field.until(lambda: field.states[-1].reason == f"on server 2 of 2, {second.url}")
            assert sessions(first) == 0

            await first.stand(255)
            await field.until(lambda: field.values[0][-1] == 1.0 and field.states[-1].state == "ok")
            assert "comes back to" in field.downs[1]

            await first.stop()
            await field.until(lambda: field.values[0][-1] == 2.0)
            await first.start()
            await first.write(0, 3.0)
            await field.until(lambda: field.values[0][-1] == 3.0)
            assert (sessions(first), sessions(second)) == (1, 0)


def sessions(server: AsyncuaServer) -> int:
    return len(server.server.iserver._external_sessions)


async def test_a_lost_channel_is_no_reason_to_change_and_nothing_is_missing(port):
    async with AsyncuaServer(port, 1) as first, AsyncuaServer(free_port(), 1) as second, Proxy(port) as proxy:
        url = f"opc.tcp://127.0.0.1:{proxy.port}"
        async with in_the_field(url, NODES, urls=[second.url], queue_size=100, intervals=QUICK) as field:
            await field.until(lambda: bool(field.values[0]))
            for cut in range(3):
                proxy.cut()
                for k in range(5):
                    await first.write(0, 10.0 * cut + k + 1)
                await field.until(lambda cut=cut: len(field.downs) > cut and field.values[0][-1] == 10.0 * cut + 5)
            assert field.values[0] == [0.0, *(10.0 * cut + k + 1 for cut in range(3) for k in range(5))]
            assert field.source.stats()[0]["connects"] == 4
            assert (sessions(first), sessions(second)) == (1, 0)


async def test_what_a_server_holds_that_was_away_is_closed_when_it_is_back(port):
    """Its queues hold what is older than what the other one said meanwhile: that is not told any more."""
    async with AsyncuaServer(port, 1) as first, AsyncuaServer(free_port(), 1) as second, Proxy(port) as proxy:
        await second.write(0, 100.0)
        url = f"opc.tcp://127.0.0.1:{proxy.port}"
        async with in_the_field(url, NODES, urls=[second.url], timeout="1s", queue_size=100, intervals=QUICK) as field:
            await field.until(lambda: bool(field.values[0]))
            proxy.refuse = True
            proxy.cut()
            await field.until(lambda: field.values[0][-1] == 100.0)
            assert (sessions(first), sessions(second)) == (1, 1), "nobody could tell the first one"
            for k in range(1, 6):
                await first.write(0, float(k))
            proxy.refuse = False
            await field.until(lambda: field.values[0][-1] == 5.0)
            assert field.values[0] == [0.0, 100.0, 5.0]
            assert field.times[0] == sorted(field.times[0])
            assert (sessions(first), sessions(second)) == (1, 0)


@asynccontextmanager
async def foreign_pair(node, port, store):
    """Two of node-opcua's servers, the first one behind a proxy; v0 counts on the first, and stays 0 on the second."""
    first = NodeServer(node, port, store, count=1, period=100)
    second = NodeServer(node, free_port(), store, count=1, period=0)
    async with first, second, Proxy(port) as proxy:
        url = f"opc.tcp://127.0.0.1:{proxy.port}/test"
        nodes = ["ns=1;s=v0", SESSION_COUNT]
        async with in_the_field(url, nodes, urls=[second.url], queue_size=100, timeout="3s", intervals=QUICK) as field:
            await field.until(lambda: len(field.values[0]) > 3)
            yield first, second, proxy, field


def on(field, place: int) -> bool:
    state = field.states[-1]
    return state.state == "ok" if place == 1 else "on server 2 of 2" in state.reason


async def test_foreign_servers_go_on_after_a_lost_channel_without_a_hole(node, port, store):
    async with foreign_pair(node, port, store) as (_, _, proxy, field):
        for _ in range(3):
            lost = len(field.downs)
            proxy.cut()
            await field.until(lambda lost=lost: len(field.downs) > lost)
            await field.until_fresh()
        values = [value for _, value in dict.fromkeys(zip(field.times[0], field.values[0], strict=True))]
        assert values == [values[0] + k for k in range(len(values))]
        assert set(field.values[1]) == {1.0}, "never two sessions"


async def test_foreign_servers_fail_over_and_back_by_level_and_by_death(node, port, store):
    async with foreign_pair(node, port, store) as (first, _, _, field):
        first.command(stand=[150, 0])
        await field.until(lambda: on(field, 2))
        assert "ServiceLevel 255 there, ServiceLevel 150 at" in field.downs[0]
        first.command(stand=[255, 0])
        await field.until(lambda: on(field, 1))
        first.command(stand=[255, 3])  # ServerState Suspended
        await field.until(lambda: on(field, 2))
        first.command(stand=[255, 0])
        await field.until(lambda: on(field, 1))
        await field.until_fresh()
        await first.kill()
        await field.until(lambda: on(field, 2))
        await field.until(lambda: field.values[0][-1] == 0.0)
        await first.start()
        await field.until(lambda: on(field, 1) and field.values[0][-1] > 0)
        await field.until(lambda: field.values[1][-1] == 1.0)


async def test_degraded_servers_are_changed_for_much_better_ones_only(port):
    """Both degraded: no change for one level more; then one is healthy, and is taken."""
    async with AsyncuaServer(port, 1) as first, AsyncuaServer(free_port(), 1) as second:
        await first.stand(150)
        await second.stand(150)
        await second.write(0, 2.0)
        async with in_the_field(first.url, NODES, urls=[second.url], intervals=QUICK) as field:
            await field.until(lambda: bool(field.values[0]))
            for level in range(151, 160):
                await (second, first)[level % 2].stand(level)
                await asyncio.sleep(0.1)
            assert not field.downs
            await second.stand(255)
            await field.until(lambda: field.values[0][-1] == 2.0)
            assert len(field.downs) == 1
