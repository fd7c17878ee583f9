"""A session outlives its connection: it is taken over, and nothing is missing, from both servers."""

import asyncio

import pytest

from gateway.sources.opcua.security.pki import Pki
from tests.support.opcua_field import in_the_field
from tests.support.opcua_server import AsyncuaServer, NodeServer
from tests.support.proxy import Proxy

NODES = ["ns=2;s=v0", "ns=2;s=v1"]
SESSION_COUNT, CUMULATED_SESSION_COUNT = "i=2277", "i=2278"
CUTS = 5


@pytest.mark.parametrize("half_open", [False, True])
async def test_no_value_of_asyncuas_server_is_missing_through_lost_connections(port, half_open):
    async with AsyncuaServer(port, 2) as server, Proxy(port) as proxy:
        url = f"opc.tcp://127.0.0.1:{proxy.port}"
        async with in_the_field(url, NODES, queue_size=500, timeout="500ms") as field:
            await field.until(lambda: bool(field.values[0] and field.values[1]))
            writing = asyncio.create_task(write(server))
            for cut in range(CUTS):
                await field.until_fresh()
                proxy.stall() if half_open else proxy.cut()
                await field.until(lambda cut=cut: len(field.downs) > cut)
                proxy.cut()
                proxy.flow()
            last = await writing
            await field.until(lambda: field.values[1][-1] == last)
            assert field.values[0] == field.values[1] == [float(k) for k in range(int(last) + 1)]
            assert field.source.stats()[0]["lost"] == 0
            assert len(server.server.iserver._external_sessions) == 1
            assert len(server.server.iserver.subscription_service.subscriptions) == 1
            assert field.times[0] == sorted(field.times[0])


@pytest.mark.parametrize("foreign", [False, True])
async def test_what_has_not_changed_is_known_again_and_counts_once(request, port, foreign, store):
    """asyncua's server says nothing of it after the takeover, node-opcua's says it again."""
    if foreign:
        server, names = (
            NodeServer(request.getfixturevalue("node"), port, store, count=1, period=0),
            ["ns=1;s=v0", "ns=1;s=text"],
        )
    else:
        server, names = AsyncuaServer(port, 1), ["ns=2;s=v0", "ns=2;s=word"]
    async with server, Proxy(port) as proxy:
        if not foreign:
            await server.add("word", "running")
        url = f"opc.tcp://127.0.0.1:{proxy.port}" + ("/test" if foreign else "")
        async with in_the_field(url, names, timeout="2s") as field:
            await field.until(lambda: bool(field.values[0] and field.texts[1]))
            for cut in range(1, 4):
                proxy.cut()
                await field.until(lambda cut=cut: len(field.downs) >= cut)
                await field.until(lambda cut=cut: len(field.again[0]) == cut and len(field.texts[1]) > cut)
            assert field.values[0] == field.again[0][:1] == [0.0]
            assert set(field.texts[1]) == {"running"}


async def write(server: AsyncuaServer) -> float:
    """A value every 20 ms for some seconds; the last one."""
    for k in range(1, 401):
        for i in range(2):
            await server.write(i, float(k))
        await asyncio.sleep(0.02)
    return 400.0


async def test_a_server_that_was_frozen_goes_on_with_the_same_session(node, port, store):
    """It finds nothing in its buffers that would end it."""
    server = NodeServer(node, port, store, count=1, period=100)
    names = ["ns=1;s=v0", SESSION_COUNT, CUMULATED_SESSION_COUNT]
    async with server, in_the_field(server.url, names, queue_size=500, timeout="2s") as field:
        await field.until(lambda: len(field.values[0]) > 3 and bool(field.values[2]))
        for _ in range(2):
            lost = len(field.downs)
            await server.starve(6)
            await field.until(lambda lost=lost: len(field.downs) > lost)
            await field.until_fresh()
        values = [value for _, value in dict.fromkeys(zip(field.times[0], field.values[0], strict=True))]
        assert values == [values[0] + k for k in range(len(values))]
        assert set(field.values[1]) == set(field.values[2]) == {1.0}


@pytest.mark.parametrize("security", ["none", "auto"])
async def test_no_value_of_a_foreign_server_is_missing_through_lost_connections(node, port, store, tmp_path, security):
    device = {"security": security, "check_host": False, "pki": str(tmp_path), "timeout": "3s"}
    device |= {"username": "me", "password": "secret"} if security == "auto" else {}
    server = NodeServer(node, port, store, count=1, period=200, user="me" if security == "auto" else "")
    names = ["ns=1;s=v0", SESSION_COUNT]
    async with server, Proxy(port) as proxy:
        url = f"opc.tcp://127.0.0.1:{proxy.port}/test"
        async with in_the_field(url, names, queue_size=500, **device) as field:
            if security == "auto":
                await field.until(lambda: bool(field.downs))
                Pki(tmp_path).trust(Pki(tmp_path).listed("rejected")[0].certificate)
            await field.until(lambda: len(field.values[0]) > 3)
            for _ in range(CUTS):
                lost = len(field.downs)
                proxy.cut()
                await field.until(lambda lost=lost: len(field.downs) > lost)
                await field.until_fresh()
            # node-opcua says what holds once more when its session changes channels
            values = [value for _, value in dict.fromkeys(zip(field.times[0], field.values[0], strict=True))]
            assert values == [values[0] + k for k in range(len(values))]
            assert field.source.stats()[0]["lost"] == 0
            assert set(field.values[1]) == {1.0}, "never two sessions"
