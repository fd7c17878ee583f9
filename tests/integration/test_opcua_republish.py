"""Notifications that get lost on the way are had again, from both servers."""

import pytest

from gateway.sources.opcua.client import column_session
from gateway.sources.opcua.codec.errors import WireError
from tests.support.opcua_reader import reading
from tests.support.opcua_server import AsyncuaServer, NodeServer


@pytest.fixture
def lossy(monkeypatch):
    """Every third notification cannot be decoded when it first comes; the list holds how many."""
    swallowed: list[int] = []
    read, count = column_session.read_publish, 0

    def read_or_not(answer, *types):
        nonlocal count
        told = read(answer, *types)
        if told.is_keepalive:
            return told
        count += 1
        if count % 3:
            return told
        swallowed.append(told.sequence)
        raise WireError("swallowed by the test")

    monkeypatch.setattr(column_session, "read_publish", read_or_not)
    return swallowed


async def test_nothing_is_missing_from_asyncuas_server(port, lossy):
    nodes = ["ns=2;s=v0", "ns=2;s=v1"]
    async with AsyncuaServer(port, 2) as server, reading(server.url, nodes, interval="30ms") as reader:
        await reader.until(lambda: reader.seen(2))
        for k in range(1, 41):
            await server.write(0, float(k))
            await server.write(1, float(-k))
            await reader.until(lambda k=k: reader.values[0][-1] == k and reader.values[1][-1] == -k)
        assert reader.values[0] == [float(k) for k in range(41)]
        assert reader.values[1] == [float(-k) for k in range(41)]
        assert len(lossy) >= 10
        assert reader.source.stats()[0]["lost"] == 0
        assert reader.source.stats()[0]["republished"] >= len(lossy) - 1
    assert not reader.events


async def test_nothing_is_missing_from_a_foreign_server(node, port, store, lossy):
    nodes = [f"ns=1;s=v{i}" for i in range(12)]
    server = NodeServer(node, port, store, count=12, period=150)
    async with server, reading(server.url, nodes, queue_size=50) as reader:
        await reader.until(lambda: len(reader.values[0]) >= 30, 60)
        assert reader.values[0] == [reader.values[0][0] + k for k in range(len(reader.values[0]))]
        assert len(lossy) >= 5
        assert reader.source.stats()[0]["lost"] == 0
