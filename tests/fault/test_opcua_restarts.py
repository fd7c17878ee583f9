"""A server is killed again and again under a large subscription; many servers at once, some of them away."""

import asyncio
from contextlib import AsyncExitStack
from itertools import groupby

import pytest

from tests.support.network import free_port
from tests.support.opcua_field import in_the_field
from tests.support.opcua_server import AsyncuaServer, MortalServer

NODES = 5000
LIVES = 20
CHANGES = 3
"""Changes of all nodes that are seen in each life."""


@pytest.mark.timeout(600)
async def test_every_value_is_accounted_for_through_twenty_deaths_of_a_server(port):
    """5,000 nodes. In each life every node's values come without a hole from the first to the last one that came at all;
    what the server took into its grave lies in a time that is told as `down`."""
    names = [f"ns=2;s=v{i}" for i in range(NODES)]
    device = {"interval": "100ms", "sampling": "50ms", "queue_size": 50, "timeout": "10s"}
    async with MortalServer(port, NODES) as server, in_the_field(server.url, names, **device) as field:
        for life in range(1, LIVES + 1):
            await server.live()
            enough = 1000.0 * life + CHANGES
            await field.until(lambda enough=enough: len(field.values) == NODES and field.values[NODES - 1][-1] >= enough, 60)
            downs = len(field.downs)
            await server.kill()
            await field.until(lambda downs=downs: len(field.downs) > downs)
        assert field.source.stats()[0]["lost"] == 0
    for tag in range(NODES):
        lives = {life: [*values] for life, values in groupby(field.values[tag], key=lambda value: int(value // 1000))}
        assert list(lives) == list(range(1, LIVES + 1)), f"v{tag}"
        for life, values in lives.items():
            assert values[-1] >= 1000 * life + CHANGES, f"v{tag} in life {life}"
            assert values == [values[0] + k for k in range(len(values))], f"v{tag} in life {life}"
    assert field.source.stats()[0]["connects"] == LIVES


async def test_twenty_servers_of_which_five_cannot_be_reached(port):
    """The good ones deliver as if they were alone; the others are told as down, and come when they are there."""
    nodes = [f"ns=2;s=v{i}" for i in range(3)]
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(AsyncuaServer(port, 3))
        good = [server.url, *[await server.also_at(free_port()) for _ in range(14)]]
        silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        stack.callback(silent.close)
        mute = [f"opc.tcp://127.0.0.1:{silent.sockets[0].getsockname()[1]}"] * 2
        late = [free_port() for _ in range(3)]
        urls = [*good, *mute, *(f"opc.tcp://127.0.0.1:{port}" for port in late)]
        opened = [in_the_field(url, nodes, timeout="5s", queue_size=50) for url in urls]
        fields = [await stack.enter_async_context(one) for one in opened]
        for field in fields[:15]:
            await field.until(lambda field=field: all(field.values[tag] for tag in range(3)), 60)
        for k in range(1, 21):
            await server.write(0, float(k))
            await asyncio.sleep(0.05)
        for field in fields[:15]:
            await field.until(lambda field=field: field.values[0][-1] == 20.0, 60)
            assert field.values[0] == [float(k) for k in range(21)]
            assert not field.downs
        for field in fields[15:]:
            await field.until(lambda field=field: bool(field.downs), 60)
            assert not field.values
        await server.also_at(late[0])
        await fields[17].until(lambda: fields[17].values[0] == [20.0], 60)
