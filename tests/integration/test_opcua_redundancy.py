"""Two servers of one device."""

from tests.support.network import free_port
from tests.support.opcua_field import in_the_field
from tests.support.opcua_server import AsyncuaServer

NODES = ["ns=2;s=v0"]


async def test_fail_over_by_level_and_by_loss_and_the_way_back(port, monkeypatch):
    monkeypatch.setattr("gateway.sources.opcua.redundancy.RETURN_S", 0.5)
    monkeypatch.setattr("gateway.sources.opcua.source.CHECK_S", 0.1)
    async with AsyncuaServer(port, 1) as first, AsyncuaServer(free_port(), 1) as second:
        await second.write(0, 2.0)
        await first.write(0, 1.0)
        async with in_the_field(first.url, NODES, urls=[second.url]) as field:
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
