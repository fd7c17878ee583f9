"""The OPC UA source against node-opcua, a server that shares no code with asyncua."""

from datetime import datetime

import pytest

from gateway.core.clock import SystemClock
from gateway.core.errors import NotConnected
from gateway.core.quality import Quality
from gateway.sources.opcua.client.session import connect
from gateway.sources.opcua.port.values import Item
from gateway.sources.opcua.security.pki import Pki
from tests.support.opcua_fake import entry
from tests.support.opcua_reader import Stopwatch, make_source, reading
from tests.support.opcua_server import NodeServer

SESSION_COUNT = "i=2277"


def nodes(count: int) -> list[str]:
    return [f"ns=1;s=v{i}" for i in range(count)]


def number(i: int, k: int) -> float:
    """What variable i of the server holds after its k-th change."""
    if i % 6 == 4:
        return float((k + i) % 2)
    return k + i + (0.45 if i % 6 == 1 else 0)


async def test_every_change_of_every_type_arrives_in_order(node, port, store):
    """Also when the server's process is starved."""
    server = NodeServer(node, port, store, count=300, period=100)
    async with server, reading(server.url, nodes(300), queue_size=20) as reader:
        for tenths in range(1, 5):
            await reader.until(lambda tenths=tenths: len(reader.values[299]) >= 3 * tenths, 30)
            await server.starve(tenths / 10)
        await reader.until(lambda: len(reader.values[299]) >= 15, 30)
        first = round(reader.values[0][0])
        assert [state.state for state in reader.states] == ["ok"]
    for i in range(300):
        got = reader.values[i]
        begun = first if got[0] == number(i, first) else first + 1
        assert got == [number(i, begun + k) for k in range(len(got))], f"v{i}"
        assert set(reader.qualities[i]) == {Quality.GOOD}


async def test_polled_values_land_on_their_tags(node, port, store):
    names = [*nodes(60), "ns=1;s=text", "ns=1;s=array", "ns=1;s=time", "ns=1;s=broken", "ns=1;s=missing"]
    server = NodeServer(node, port, store, count=60, period=0)
    async with server, reading(server.url, names, mode="poll") as reader:
        await reader.until(lambda: len(reader.values[0]) >= 3, 30)
    assert [reader.values[i][0] for i in range(60)] == [number(i, 0) for i in range(60)]
    assert (reader.objects[60][0], reader.objects[61][0]) == ("running", [1.0, 2.0, 3.0])
    assert datetime.fromisoformat(str(reader.objects[62][0])).tzinfo is not None
    assert [Quality(reader.qualities[i][0]) for i in (63, 64)] == [Quality.BAD_SENSOR_FAILURE, Quality.BAD_ADDRESS]


@pytest.mark.parametrize("limit", [0, 1, 10, 100])
async def test_operation_limits_are_kept_and_values_land_on_their_tags(node, port, store, limit):
    """Reads, items, browse paths, registered nodes; node-opcua refuses every call that is too large."""
    paths = [f"/Objects/1:Line/1:v{i}" if i % 2 else name for i, name in enumerate(nodes(157))]
    parts = [{"node": "ns=1;s=machine", "field": f"axes[{i}].value"} for i in range(2)]
    async with NodeServer(node, port, store, count=157, period=0, limit=limit) as server:
        for more in ({"mode": "poll", "register_nodes": True}, {"mode": "subscribe"}):
            async with reading(server.url, [*paths, *parts], **more) as reader:
                await reader.until(lambda reader=reader: reader.seen(159), 30)
                assert [reader.values[i][0] for i in range(157)] == [number(i, 0) for i in range(157)], more
                assert [reader.values[i][0] for i in (157, 158)] == [1.5, 2.5]
                assert "refused" not in reader.states[-1].reason


async def test_a_limit_below_the_stated_one_is_learnt(node, port, store):
    async with NodeServer(node, port, store, count=50, period=0, limit=10) as server:
        connection = await connect(entry(1, url=server.url).config, SystemClock())
        try:
            connection.services.reads.size = connection._subscriptions.creations.size = 50
            items = [Item(i, name, 100_000_000, 5, "", 10**9) for i, name in enumerate(nodes(50))]
            blocks = await connection.values.read(items)
            read = {row: n for b in blocks for row, n in zip(b.columns.row.tolist(), b.columns.number.tolist(), strict=True)}
            assert [read[i] for i in range(0, 50, 6)] == [number(i, 0) for i in range(0, 50, 6)]
            connection.services.translations.size = connection.services.registrations.size = 50
            await connection.addresses.resolve((f"/Objects/1:Line/1:v{i}" for i in range(50)), register=True)
            assert connection.addresses.status_of("/Objects/1:Line/1:v49") == 0
            assert connection.services.translations.size == connection.services.registrations.size == 6
            assert await connection.values.subscribe(items) == [0] * 50
            assert connection.services.reads.size == connection._subscriptions.creations.size == 6
        finally:
            await connection.close()


async def test_a_wrong_password_is_told_and_leaves_no_session(node, port, store, tmp_path):
    trust = {"pki": str(tmp_path / "pki"), "check_host": False}
    user = {"username": "me", "password": "secret", **trust}
    async with NodeServer(node, port, store, count=5, user="me") as server:
        stranger = make_source(server.url, nodes(5), **user)
        with pytest.raises(NotConnected, match="gateway cert trust"):
            await stranger.open()
        await stranger.close()
        pki = Pki(tmp_path / "pki")
        pki.trust(pki.listed("rejected")[0].certificate)
        for _ in range(5):
            source = make_source(server.url, nodes(5), username="me", password="hunter2", **trust)
            with pytest.raises(NotConnected, match=r"refuses the user 'me': Bad.*: check username and password") as raised:
                await source.open()
            assert "hunter2" not in str(raised.value)
            await source.close()
        async with reading(server.url, [*nodes(5), SESSION_COUNT], mode="poll", **user) as reader:
            await reader.until(lambda: reader.seen(6))
            assert reader.values[5][0] == 1


async def test_sessions_are_closed_and_not_leaked(node, port, store):
    async with NodeServer(node, port, store, count=10) as server:
        for _ in range(5):
            async with reading(server.url, nodes(10)) as reader:
                await reader.until(lambda reader=reader: reader.seen(10))
        async with reading(server.url, [SESSION_COUNT], mode="poll") as reader:
            await reader.until(lambda: reader.seen(1))
            assert reader.values[0][0] == 1


async def test_a_killed_server_is_noticed_closed_and_found_again(node, port, store):
    async with NodeServer(node, port, store, count=10) as server, reading(server.url, nodes(10)) as reader:
        await reader.until(lambda: reader.seen(10))
        await server.kill()
        with pytest.raises(NotConnected):
            await reader.until(lambda: False, 10)
        watch = Stopwatch()
        await reader.source.close()
        assert watch.elapsed_s < 3
        await server.start()
        await reader.source.open()
        before = len(reader.values[0])
        await reader.until(lambda: len(reader.values[0]) > before)


async def test_an_encrypted_session_with_a_foreign_server(node, port, store, tmp_path):
    device = {"security": "auto", "check_host": False, "pki": str(tmp_path), "username": "me", "password": "secret"}
    async with NodeServer(node, port, store, count=5, user="me") as server:
        source = make_source(server.url, nodes(5), **device)
        with pytest.raises(NotConnected, match="gateway cert trust"):
            await source.open()
        await source.close()
        Pki(tmp_path).trust(Pki(tmp_path).listed("rejected")[0].certificate)
        async with reading(server.url, nodes(5), **device) as reader:
            await reader.until(lambda: reader.seen(5))
            assert reader.qualities[0][0] == Quality.GOOD
