"""Several devices over one session: what one of them does costs no other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from asyncua import ua

from gateway.core.clock import SystemClock
from gateway.core.loop_watch import LoopWatch
from gateway.core.ports.plugin import SourceServices
from gateway.core.quality import Quality
from gateway.sources.opcua.client.link_pool import connectors
from gateway.sources.opcua.port.values import Item
from gateway.sources.opcua.source.source import OpcUaSource
from tests.integration.test_opcua_foreign import SESSION_COUNT
from tests.support.network import until
from tests.support.opcua_fake import entry
from tests.support.opcua_field import Field, running
from tests.support.opcua_mangler import HANG_UP, Mangler
from tests.support.opcua_server import AsyncuaServer, NodeServer
from tests.support.watermarks_fake import FakeWatermarks

MACHINES = 3


@pytest.fixture
async def server(port: int):
    async with AsyncuaServer(port, 2 * MACHINES) as running:
        yield running


@pytest.fixture
async def mangler(server: AsyncuaServer, port: int):
    async with Mangler(port) as running:
        yield running


def nodes_of(machine: int) -> list[str]:
    """Each machine has two nodes, and so the same client handles as the others."""
    return [f"ns=2;s=v{2 * machine}", f"ns=2;s=v{2 * machine + 1}"]


def make(url: str, watch: LoopWatch, nodes: list[str], **device: object) -> OpcUaSource:
    fast = {"interval": "100ms", "sampling": "20ms", "timeout": "3s", "silence": "5min", **device}
    made = entry(nodes=list(nodes), url=url, share_session=True, **fast)
    services = SourceServices(SystemClock(), FakeWatermarks(), watch=watch)
    (connect,) = connectors([made], services)
    return OpcUaSource(made, services, connect)


@asynccontextmanager
async def machines(url: str, *nodes: list[str]) -> AsyncIterator[list[Field]]:
    watch = LoopWatch()
    async with AsyncExitStack() as stack:
        sources = [make(url, watch, some) for some in nodes]
        yield [await stack.enter_async_context(running(source)) for source in sources]


def sessions(server: AsyncuaServer) -> int:
    return len(server.server.iserver._external_sessions)


def subscriptions(server: AsyncuaServer) -> int:
    return len(server.server.iserver.subscription_service.subscriptions)


async def all_follow(server: AsyncuaServer, fields: list[Field], value: float) -> None:
    """What is written next arrives at each machine, and is its own."""
    for machine, field in enumerate(fields):
        await server.write(2 * machine, value + machine)
        await field.until(lambda machine=machine, field=field: field.values[0][-1:] == [value + machine])
        assert field.latest[0] == Quality.GOOD


async def test_three_machines_need_one_session_and_a_missing_node_costs_its_own_machine(server):
    asked = [nodes_of(0), [*nodes_of(1), "ns=2;s=missing"], nodes_of(2)]
    async with machines(server.url, *asked) as fields:
        await all_follow(server, fields, 10.0)
        assert (sessions(server), subscriptions(server)) == (1, MACHINES)
        await fields[1].until(lambda: fields[1].states[-1].state == "degraded")
        assert fields[1].latest[2] == Quality.BAD_ADDRESS
        assert [field.states[-1].state for field in fields] == ["ok", "degraded", "ok"]
    await until(lambda: sessions(server) == 0, 30, "the last one ends the session")


async def test_a_machine_that_is_taken_away_leaves_the_others_and_may_come_back(server):
    watch = LoopWatch()
    async with AsyncExitStack() as stack:
        fields = [await stack.enter_async_context(running(make(server.url, watch, nodes_of(one)))) for one in (0, 1)]
        async with running(make(server.url, watch, nodes_of(2))) as third:
            await all_follow(server, [*fields, third], 1.0)
        await until(lambda: subscriptions(server) == 2, 30, "its subscription is deleted")
        await all_follow(server, fields, 20.0)
        async with running(make(server.url, watch, nodes_of(2))) as third:
            await all_follow(server, [*fields, third], 30.0)
            assert (sessions(server), subscriptions(server)) == (1, MACHINES)
        assert [field.supervisor.connects for field in fields] == [1, 1]
        assert not any(field.downs for field in fields)


async def test_a_cut_connection_is_made_anew_once_and_the_session_is_resumed_for_all(server, mangler, monkeypatch):
    monkeypatch.setattr("gateway.sources.opcua.client.session.TOO_SOON_S", 0.0)
    async with machines(mangler.url, *(nodes_of(one) for one in range(MACHINES))) as fields:
        await all_follow(server, fields, 1.0)
        before = list(server.server.iserver._external_sessions)
        mangler.cut()
        for field in fields:
            await field.until(lambda field=field: bool(field.downs) and field.states[-1].state == "ok")
        await all_follow(server, fields, 20.0)
        assert list(server.server.iserver._external_sessions) == before
        assert subscriptions(server) == MACHINES
        assert mangler.open_connections == 1


async def test_a_server_that_is_started_anew_gets_one_session_again(server, monkeypatch):
    monkeypatch.setattr("gateway.sources.opcua.client.session.TOO_SOON_S", 0.0)
    async with machines(server.url, *(nodes_of(one) for one in range(MACHINES))) as fields:
        await all_follow(server, fields, 1.0)
        await server.stop()
        for field in fields:
            await field.until(lambda field=field: bool(field.downs))
        await server.start()
        await all_follow(server, fields, 20.0)
        assert (sessions(server), subscriptions(server)) == (1, MACHINES)


async def test_a_machine_that_brings_the_connection_down_gets_its_own_and_the_others_stay(server, mangler):
    def request(message: Any) -> int | None:
        is_one = isinstance(message, ua.CreateSubscriptionRequest)
        return HANG_UP if is_one and message.Parameters.RequestedPublishingInterval == 333.0 else None

    async with machines(mangler.url, nodes_of(0), nodes_of(1)) as fields:
        await all_follow(server, fields, 1.0)
        mangler.request = request
        watch = fields[0].source._state.servers._connect._watch
        async with running(make(mangler.url, watch, nodes_of(2), interval="333ms")) as third:
            await until(lambda: len(third.downs) >= 2, 60, "it does not come up")
            await until(lambda: all(field.states[-1].state == "ok" for field in fields), 60, "the others are back")
            connects = [field.supervisor.connects for field in fields]
            downs = len(third.downs)
            await until(lambda: len(third.downs) >= downs + 3, 60, "it fails on")
            await all_follow(server, fields, 20.0)
            assert [field.supervisor.connects for field in fields] == connects


async def test_a_session_is_shared_on_a_server_of_other_making(node, port, store):
    server = NodeServer(node, port, store, count=9, period=100)
    asked = [[f"ns=1;s=v{3 * one + i}" for i in range(3)] for one in range(MACHINES)]
    async with server, machines(server.url, *asked) as fields:
        for field in fields:
            await field.until(lambda field=field: len(field.values[0]) >= 5)
            assert set(field.qualities[0]) == {Quality.GOOD}
        session = fields[0].source._server.session
        (answer,) = await session.values.read([Item(0, SESSION_COUNT, 0, 0)])
        assert answer.columns.number[0] == 1.0
        await fields[2].source.close()
        await asyncio.gather(*(field.until_fresh() for field in fields[:2]))
