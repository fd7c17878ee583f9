"""A source under its supervisor heals from whatever happens to session, channel and subscription."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server import uaprocessor

from gateway.core.quality import Quality
from gateway.sources.opcua.source.intervals import Intervals
from tests.support.opcua_field import in_the_field
from tests.support.opcua_server import AsyncuaServer, NodeServer
from tests.support.proxy import Proxy

NODES = [f"ns=2;s=v{i}" for i in range(3)]
SESSION_COUNT = "i=2277"


@pytest.fixture
async def server(port):
    async with AsyncuaServer(port, 3) as running:
        yield running


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Lets asyncua's server answer the next request of a kind with a status."""
    refusals: dict[str, int] = {}
    process = uaprocessor.UaProcessor._process_message

    async def refused(self: Any, typeid: ua.NodeId, header: Any, sequence: Any, body: Any) -> Any:
        for kind, status in list(refusals.items()):
            if typeid == ua.NodeId(getattr(ua.ObjectIds, f"{kind}_Encoding_DefaultBinary")):
                del refusals[kind]
                raise ServiceError(status)
        return await process(self, typeid, header, sequence, body)

    monkeypatch.setattr(uaprocessor.UaProcessor, "_process_message", refused)
    return refusals.__setitem__


def sessions(server: AsyncuaServer) -> int:
    """How many clients' sessions the server has."""
    return len(server.server.iserver._external_sessions)


def subscriptions(server: AsyncuaServer) -> int:
    return len(server.server.iserver.subscription_service.subscriptions)


GONE = {
    "PublishRequest": (
        "BadSessionIdInvalid", "BadSessionClosed", "BadSessionNotActivated", "BadSubscriptionIdInvalid",
        "BadNoSubscription", "BadSecureChannelClosed", "BadSecureChannelIdInvalid", "BadServerHalted", "BadInternalError",
    ),
    "ReadRequest": ("BadSessionIdInvalid", "BadSecureChannelClosed", "BadShutdown"),
}  # fmt: skip


@pytest.mark.parametrize(("request_kind", "status"), [(kind, name) for kind, names in GONE.items() for name in names])
async def test_whatever_the_server_says_is_gone_is_made_anew(server, refuse, request_kind, status):
    async with in_the_field(server.url, NODES, intervals=Intervals(check_s=0.1)) as field:
        await field.until(lambda: all(field.values[tag] for tag in range(3)))
        refuse(request_kind, getattr(ua.StatusCodes, status))
        await server.write(0, 1.0)
        await field.until(lambda: field.downs and field.states[-1].state == "ok")
        assert status in field.downs[0]
        await server.write(0, 2.0)
        await field.until(lambda: field.values[0][-1] == 2.0)
        assert field.source.stats()[0]["connects"] == 2
        assert (sessions(server), subscriptions(server)) == (1, 1)


async def test_too_many_publish_requests_is_no_loss(server, refuse):
    async with in_the_field(server.url, NODES) as field:
        await field.until(lambda: bool(field.values[0]))
        refuse("PublishRequest", ua.StatusCodes.BadTooManyPublishRequests)
        for k in range(1, 6):
            await server.write(0, float(k))
            await field.until(lambda k=k: field.values[0][-1] == k)
        assert field.values[0] == [float(k) for k in range(6)]
        assert field.source.stats()[0]["connects"] == 1
        assert field.source.stats()[0]["lost"] == 0


async def test_a_subscription_that_the_server_ends_is_made_anew(server):
    async with in_the_field(server.url, NODES) as field:
        await field.until(lambda: bool(field.values[0]))
        (subscription,) = server.server.iserver.subscription_service.subscriptions.values()
        await subscription.enqueue_statuschange(ua.StatusCode(ua.StatusCodes.BadTimeout))
        await server.write(1, 5.0)
        await field.until(lambda: bool(field.downs))
        assert "ended the subscription: BadTimeout" in field.downs[0]
        assert field.values[1][-1] == 5.0, "what came with the notice is not lost"
        await field.until(lambda: bool(field.again[0]))  # what holds is said once more, and counts once
        await server.write(0, 7.0)
        await field.until(lambda: field.values[0][-1] == 7.0)
        assert (sessions(server), subscriptions(server)) == (1, 1)


async def test_everything_opened_is_closed(server):
    for _ in range(3):
        async with in_the_field(server.url, NODES) as field:
            await field.until(lambda field=field: bool(field.values[0]))
            assert (sessions(server), subscriptions(server)) == (1, 1)
        assert (sessions(server), subscriptions(server)) == (0, 0)


@pytest.mark.filterwarnings("ignore:coroutine 'MonitoredItemService.datachange_callback':RuntimeWarning")
async def test_a_deleted_node_is_told_and_comes_back_when_it_is_created_again(server):
    """asyncua's server forgets to tell (hence the warning): the data watchdog finds it."""
    async with in_the_field(server.url, NODES, silence="1s", intervals=Intervals(node_retry_s=0.2, check_s=0.1)) as field:
        await field.until(lambda: all(field.values[tag] for tag in range(3)))
        await server.server.delete_nodes([server.server.get_node("ns=2;s=v1")])
        await field.until(lambda: Quality(field.qualities[1][-1]) == Quality.BAD_ADDRESS)
        await field.until(lambda: field.states[-1].state == "degraded")
        await server.write(0, 3.0)
        await server.add("v1", 7.0)
        await field.until(lambda: field.values[1][-1] == 7.0 and field.states[-1].state == "ok")
        await server.write(1, 8.0)
        await field.until(lambda: field.values[1][-1] == 8.0)
        assert field.values[0][-1] == 3.0
        assert field.source.stats()[0]["connects"] == 1


async def test_a_namespace_keeps_its_nodes_when_a_restart_changes_the_order(port):
    nodes = ["nsu=urn:gateway:test;s=v0", "nsu=urn:gateway:test;s=v1"]
    server = AsyncuaServer(port, 2)
    async with server, in_the_field(server.url, nodes) as field:
        await field.until(lambda: bool(field.values[0] and field.values[1]))
        await server.stop()
        await field.until(lambda: bool(field.downs))
        server.namespaces_before = ("urn:new", "urn:newer")
        await server.start()
        await field.until(lambda: field.states[-1].state == "ok")
        await server.write(1, 4.5)
        await field.until(lambda: field.values[1][-1] == 4.5)


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_server_whose_clock_is_an_hour_off_has_its_values_at_our_time(server, monkeypatch, hours):
    """Never in the future, never an hour old; uncertain, because the time is not the server's."""
    shift_clock(monkeypatch, hours * 3600)
    async with in_the_field(server.url, NODES) as field:
        await field.until(lambda: bool(field.values[0]))
        await server.write(0, 1.0)
        before = time.time_ns()
        await field.until(lambda: field.values[0][-1] == 1.0)
        assert abs(field.times[0][-1] - before) < 60e9
        assert field.qualities[0][-1] == Quality.UNCERTAIN_CLOCK


def shift_clock(monkeypatch: pytest.MonkeyPatch, by_s: int) -> None:
    """asyncua's server answers with another time."""
    send = uaprocessor.UaProcessor.send_response

    def late(self: Any, handle: Any, header: Any, response: Any, *rest: Any, **named: Any) -> Any:
        response.ResponseHeader.Timestamp += timedelta(seconds=by_s)
        return send(self, handle, header, response, *rest, **named)

    monkeypatch.setattr(uaprocessor.UaProcessor, "send_response", late)


async def test_a_channel_with_a_short_life_is_renewed_in_time(node, port, store):
    """node-opcua closes a channel whose token has run out; the least it grants is 2.5 s."""
    server = NodeServer(node, port, store, count=6, period=100, token=2500)
    async with server, in_the_field(server.url, [f"ns=1;s=v{i}" for i in range(6)]) as field:
        await field.until(lambda: len(field.values[0]) > 80, 40)
        assert field.downs == []
        assert field.source.stats()[0]["lost"] == 0


async def test_a_foreign_server_keeps_one_session_through_cuts(node, port, store):
    server = NodeServer(node, port, store, count=6, period=100)
    async with server, Proxy(port) as proxy:
        url = f"opc.tcp://127.0.0.1:{proxy.port}/test"
        async with in_the_field(url, ["ns=1;s=v0", SESSION_COUNT], session_timeout="2s") as field:
            for _ in range(3):
                await field.until_fresh(0)
                proxy.cut()
            await field.until_fresh(0)
            await field.until(lambda: field.values[1][-1] == 1, 30)


async def test_a_foreign_server_deletes_and_creates_a_node(node, port, store):
    server = NodeServer(node, port, store, count=3, period=100)
    async with (
        server,
        in_the_field(
            server.url, ["ns=1;s=v0", "ns=1;s=extra"], silence="1s", intervals=Intervals(node_retry_s=0.2, check_s=0.1)
        ) as field,
    ):
        await field.until(lambda: bool(field.values[0] and field.qualities[1]))
        assert Quality(field.qualities[1][-1]) == Quality.BAD_ADDRESS
        server.command(add="extra", value=5)
        await field.until(lambda: field.values[1][-1] == 5)
        server.command(delete="extra")
        await field.until(lambda: field.qualities[1][-1] < Quality.UNCERTAIN)
        server.command(add="extra", value=6)
        await field.until(lambda: field.values[1][-1] == 6 and field.states[-1].state == "ok")
        assert field.source.stats()[0]["connects"] == 1


async def test_a_subscription_that_only_keeps_alive_is_made_anew(server):
    """The server goes on to answer, but no data change reaches the subscription any more."""
    async with in_the_field(server.url, NODES, silence="1s", timeout="500ms") as field:
        await field.until(lambda: all(field.values[tag] for tag in range(3)))
        (subscription,) = server.server.iserver.subscription_service.subscriptions.values()
        subscription._triggered_datachanges = Swallow()
        await server.write(0, 5.0)
        await field.until(lambda: bool(field.downs))
        assert "sends no data" in field.downs[0]
        await field.until(lambda: field.values[0][-1] == 5.0)
        assert [event.kind for event in field.events] == ["samples_lost"]


class Swallow(dict[int, Any]):
    """A queue that takes everything and holds nothing."""

    def __setitem__(self, key: int, value: Any) -> None:
        pass

    def __bool__(self) -> bool:
        return False
