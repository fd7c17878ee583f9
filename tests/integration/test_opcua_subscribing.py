"""Groups, filters and the limits of subscriptions, against node-opcua's server; and servers that cannot subscribe."""

import pytest
from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.internal_session import InternalSession

from gateway.core.errors import NotConnected
from gateway.core.quality import Quality
from tests.support.opcua_field import in_the_field
from tests.support.opcua_mangler import Mangler
from tests.support.opcua_reader import make_source, reading
from tests.support.opcua_server import AsyncuaServer, NodeServer

SUBSCRIPTIONS = "i=2285"
ANALOG = "ns=1;s=analog"


def nodes(count: int) -> list[str | dict[str, object]]:
    return [f"ns=1;s=v{6 * i}" for i in range(count)]


async def until_changed(reader, count: int, times: int = 3) -> None:
    """Each of the first tags has had so many values, each the one before and a step of the server's counter."""
    await reader.until(lambda: all(len(reader.values[i]) >= times for i in range(count)), 40)
    for i in range(count):
        steps = {(value - 6 * i) % 1 for value in reader.values[i]}
        assert steps == {0}, f"tag {i} has values of another node"
        assert reader.values[i] == sorted(reader.values[i])


async def test_tags_of_equal_interval_share_a_subscription(node, port, store):
    slow = [{"node": f"ns=1;s=v{6 * i}", "interval": "400ms"} for i in (2, 3)]
    tags = [*nodes(2), *slow, {"node": SUBSCRIPTIONS, "interval": "100ms"}]
    async with NodeServer(node, port, store, count=24, period=50) as server, reading(server.url, tags) as reader:
        await until_changed(reader, 4)
        await reader.until(lambda: reader.values[4] and reader.values[4][-1] == 2)


async def test_polls_have_their_own_intervals(node, port, store):
    tags = [*nodes(1), {"node": "ns=1;s=v6", "interval": "1h"}]
    server = NodeServer(node, port, store, count=12, period=50)
    async with server, reading(server.url, tags, mode="poll", interval="50ms") as reader:
        await reader.until(lambda: len(reader.values[0]) > 10)
        assert len(reader.values[1]) == 1


async def test_more_items_than_a_subscription_may_hold_are_split(node, port, store):
    limits = {"maxMonitoredItemsPerSubscription": 10}
    server = NodeServer(node, port, store, count=204, period=100, capabilities=limits)
    async with server, reading(server.url, [*nodes(34), SUBSCRIPTIONS]) as reader:
        await until_changed(reader, 34)
        await reader.until(lambda: reader.values[34][-1] == 4)
        assert reader.source.stats()[0]["polled"] == 0


async def test_items_beyond_what_the_server_watches_are_polled(node, port, store):
    limits = {"maxMonitoredItems": 20}
    server = NodeServer(node, port, store, count=204, period=100, capabilities=limits)
    async with server, reading(server.url, nodes(34)) as reader:
        await until_changed(reader, 34)
        assert reader.source.stats()[0]["polled"] == 14
        assert not any("refused" in state.reason for state in reader.states)


async def test_intervals_beyond_the_number_of_subscriptions_share_the_fastest(node, port, store):
    tags = [{"node": f"ns=1;s=v{6 * i}", "interval": f"{100 + 50 * i}ms"} for i in range(4)]
    limits = {"maxSubscriptionsPerSession": 2}
    server = NodeServer(node, port, store, count=24, period=100, capabilities=limits)
    async with server, reading(server.url, [*tags, SUBSCRIPTIONS]) as reader:
        await until_changed(reader, 4)
        await reader.until(lambda: reader.values[4][-1] == 2)


async def test_a_server_without_subscriptions_is_polled(port, monkeypatch):
    async def unsupported(*_, **__):
        raise ServiceError(ua.StatusCodes.BadServiceUnsupported)

    monkeypatch.setattr(InternalSession, "create_subscription", unsupported)
    names = ["ns=2;s=v0", "ns=2;s=v1", "ns=2;s=none"]
    async with AsyncuaServer(port) as server, reading(server.url, names, interval="50ms") as reader:
        await reader.until(lambda: len(reader.values[1]) > 3)
        await server.write(1, 7.5)
        await reader.until(lambda: reader.values[1][-1] == 7.5)
        assert reader.qualities[2][-1] == Quality.BAD_ADDRESS
        assert reader.source.stats()[0]["polled"] == 3


async def test_another_refusal_is_told(port, monkeypatch):
    async def denied(*_, **__):
        raise ServiceError(ua.StatusCodes.BadUserAccessDenied)

    monkeypatch.setattr(InternalSession, "create_subscription", denied)
    async with AsyncuaServer(port) as server:
        source = make_source(server.url, ["ns=2;s=v0"])
        with pytest.raises(NotConnected, match=r"BadUserAccessDenied: this user may not.*; with mode: poll no sub"):
            await source.open()
        await source.close()


async def test_deadbands_are_the_servers(node, port, store):
    tags = [
        ANALOG,
        {"node": ANALOG, "server_deadband": 5},
        {"node": ANALOG, "server_deadband": "2%"},
        {"node": "ns=1;s=v0", "server_deadband": "2%"},
        {"node": ANALOG, "server_deadband": 1000, "queue_size": 1},
    ]
    async with NodeServer(node, port, store, count=1, period=0) as server, reading(server.url, tags) as reader:
        await reader.until(lambda: reader.seen(5), 30)
        reason = reader.states[-1].reason
        assert "t3 (ns=1;s=v0) BadFilterNotAllowed (a deadband in percent needs a node with EURange)" in reason
        for value in (21, 24, 27, 40):  # the EURange is 0 to 100
            server.command(set="analog", value=value)
            await reader.until(lambda value=value: reader.values[0][-1] == value)
        await reader.until(lambda: reader.values[1][-1] == reader.values[2][-1] == 40)
        assert reader.values[1] == [20, 27, 40]
        assert reader.values[2] == [20, 24, 27, 40]
        assert (reader.values[4], reader.qualities[3]) == ([20], [Quality.BAD_CONFIG])


async def test_triggers_choose_what_is_reported(node, port, store):
    tags = [ANALOG, {"node": ANALOG, "trigger": "timestamp"}, {"node": ANALOG, "trigger": "status"}]
    async with NodeServer(node, port, store, count=1, period=0) as server, reading(server.url, tags) as reader:
        await reader.until(lambda: reader.seen(3), 30)
        for value in (20, 20, 21):
            told = len(reader.values[1])
            server.command(set="analog", value=value)
            await reader.until(lambda told=told: len(reader.values[1]) > told)
        await reader.until(lambda: reader.values[0][-1] == 21)
        assert reader.values[0] == [20, 21]
        assert reader.values[1] == [20, 20, 20, 21]
        assert reader.values[2] == [20]


async def test_a_server_that_grants_shorter_queues_than_needed_is_told_by_name(port):
    async with AsyncuaServer(port, 2) as server, Mangler(port) as mangler:

        def response(message):
            if isinstance(message, ua.CreateMonitoredItemsResponse):
                for result in message.Results:
                    result.RevisedQueueSize, result.RevisedSamplingInterval = 1, 20.0

        mangler.response = response
        device = {"interval": "200ms", "sampling": "20ms", "queue_size": 50}
        async with in_the_field(mangler.url, ["ns=2;s=v0", "ns=2;s=v1"], **device) as field:
            await field.until(lambda: any("t0 1 where 11 may come" in state.reason for state in field.states))
            await server.write(0, 1.0)
            await field.until(lambda: field.values[0][-1:] == [1.0])
            stats = field.source.stats()[0]
            assert (stats["short_queues"], stats["lost"]) == (2, 0), "no loss is invented"
