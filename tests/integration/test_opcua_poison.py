"""Nodes that bring down every answer they are part of: they are found and left out, and cost nobody else."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from asyncua import Node, Server, ua

from gateway.core.quality import Quality
from gateway.sources.opcua.codec.types.arrays import read_text
from gateway.sources.opcua.codec.types.bounded_buffer import BoundedBuffer
from gateway.sources.opcua.config.browse import Browse
from gateway.sources.opcua.source.intervals import Intervals
from gateway.sources.opcua.tools.browse_tool import browse, session
from tests.support.opcua_fake import entry
from tests.support.opcua_field import Field, in_the_field
from tests.support.opcua_mangler import DROP, HANG_UP, Mangler
from tests.support.opcua_server import AsyncuaServer

MANY = 40
NODES = [f"ns=2;s=v{i}" for i in range(MANY)]
INTERNAL = 0x80020000


class PoisonServer(AsyncuaServer):
    """Has variables ns=2;s=xml0 ... that asyncua's server takes and then cannot encode."""

    async def fill(self, server: Server, line: Node) -> None:
        for i in range(3):
            node = ua.NodeId(f"xml{i}", self._index)
            await line.add_variable(node, f"{self._index}:xml{i}", "<a/>", ua.VariantType.XmlElement)

    async def cure(self, i: int) -> None:
        """From now on it has a value that can be encoded."""
        node = ua.NodeId(f"xml{i}", self._index)
        value = ua.DataValue(ua.Variant(5.0, ua.VariantType.Double))
        self.server.iserver.aspace[node].attributes[ua.AttributeIds.Value].value = value


class Venom:
    """Hooks of a `Mangler`: what answers for poisoned nodes become. how: a status, or `HANG_UP`. publish, read: these
    services are concerned. ill: so are all nodes, and not only the poisoned ones."""

    def __init__(self, mangler: Mangler, numbers: Collection[int], how: int) -> None:
        self.numbers = set(numbers)
        self.how = how
        self.publish = self.read = True
        self.ill = False
        self._handles: dict[int, int] = {}
        self._asked: dict[int, bool] = {}
        mangler.request, mangler.response = self._request, self._response

    def _is_poison(self, node: ua.NodeId) -> bool:
        return str(node.Identifier).startswith("v") and int(str(node.Identifier)[1:]) in self.numbers

    def _request(self, request: Any) -> int | None:
        if isinstance(request, ua.CreateMonitoredItemsRequest):
            for one in request.Parameters.ItemsToCreate:
                handle = one.RequestedParameters.ClientHandle
                self._handles[handle] = int(str(one.ItemToMonitor.NodeId.Identifier)[1:])
        if isinstance(request, ua.ReadRequest):
            values = [one for one in request.Parameters.NodesToRead if one.AttributeId == ua.AttributeIds.Value]
            if (self.read and any(self._is_poison(one.NodeId) for one in values)) or (self.ill and self.read):
                return self.how
        return None

    def _response(self, response: Any) -> int | None:
        if not self.publish or not isinstance(response, ua.PublishResponse | ua.RepublishResponse):
            return None
        if self.ill:
            return self.how
        is_again = isinstance(response, ua.RepublishResponse)
        message = response.NotificationMessage if is_again else response.Parameters.NotificationMessage
        for told in message.NotificationData or ():
            for item in getattr(told, "MonitoredItems", None) or ():
                if self._handles.get(item.ClientHandle) in self.numbers:
                    return self.how
        return None


@pytest.fixture
async def server(port):
    async with PoisonServer(port, MANY) as running:
        yield running


@pytest.fixture
async def mangler(server, port):
    async with Mangler(port) as running:
        yield running


QUICK = Intervals(
    check_s=0.5,
    warning_shown_s=0.5,
    poison_retry_s=0.5,
    poison_retry_most_s=1.0,
    costly_retry_s=1.0,
    costly_retry_most_s=2.0,
    search_pause_s=0.5,
    search_pause_most_s=0.5,
)
"""Retries soon."""


def is_settled(field: Field, poisoned: Collection[int], count: int = MANY) -> bool:
    """All others are good, and nothing is searched for any more."""
    good = all(field.latest.get(tag) == Quality.GOOD for tag in range(count) if tag not in poisoned)
    return good and bool(field.states) and "searched" not in field.states[-1].reason


@pytest.mark.parametrize("mode", ["subscribe", "poll"])
async def test_values_that_the_server_cannot_encode_cost_their_own_tags(server, mode):
    nodes = [*NODES, *(f"ns=2;s=xml{i}" for i in range(3))]
    poisoned = range(MANY, MANY + 3)
    async with in_the_field(server.url, nodes, mode=mode, intervals=QUICK) as field:
        await field.until(lambda: is_settled(field, poisoned) and "3 of 43 nodes refused" in field.states[-1].reason)
        assert field.states[-1].state == "degraded"
        assert "t40 (ns=2;s=xml0) BadInternalError" in field.states[-1].reason
        assert all(field.qualities[tag][-1] == Quality.BAD for tag in poisoned)
        downs = len(field.downs)
        assert downs <= (1 if mode == "subscribe" else 0)
        for k in range(1, 4):
            await server.write(7, float(k))
            await field.until(lambda k=k: field.values[7][-1] == k)
        for i in range(3):
            await server.cure(i)
        await field.until(lambda: all(field.values[tag][-1] == 5.0 for tag in poisoned))
        await field.until(lambda: field.states[-1].state == "ok")
        assert len(field.downs) == downs


@asynccontextmanager
async def changing(server: AsyncuaServer, numbers: Collection[int]) -> AsyncIterator[None]:
    """These variables have another value, greater than 0, five times a second."""

    async def change() -> None:
        for k in count(1):
            for i in numbers:
                await server.write(i, float(k))
            await asyncio.sleep(0.2)

    task = asyncio.create_task(change())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


CASES = {
    "fault": (INTERNAL, "subscribe", True),
    "encoding": (0x80060000, "subscribe", True),
    "only publish": (INTERNAL, "subscribe", False),
    "hang-up": (HANG_UP, "subscribe", True),
    "hang-up of publish": (HANG_UP, "subscribe", False),
    "poll": (INTERNAL, "poll", True),
    "poll, hang-up": (HANG_UP, "poll", True),
}


@pytest.mark.parametrize("case", CASES)
async def test_three_of_forty_are_found_and_come_back(server, mangler, case):
    """However the server fails: the others are good while the culprits are retried, and so are these once they are cured."""
    how, mode, read = CASES[case]
    poisoned = (0, 1, 33)
    venom = Venom(mangler, poisoned, how)
    venom.read = read
    async with (
        in_the_field(mangler.url, NODES, mode=mode, timeout="1s", intervals=QUICK) as field,
        changing(server, poisoned),
    ):
        await field.until(lambda: is_settled(field, poisoned) and "3 of 40 nodes refused: t0" in field.states[-1].reason)
        await field.until(lambda: all(field.qualities[tag][-1:] < [Quality.UNCERTAIN] for tag in poisoned))
        assert len(field.downs) <= 12
        for k in range(1, 4):
            await server.write(7, float(k))
            await field.until(lambda k=k: field.values[7][-1] == k)
        venom.numbers.clear()
        await field.until(lambda: all(field.values[tag][-1] > 0 for tag in poisoned))
        await field.until(lambda: field.states[-1].state == "ok" and is_settled(field, ()))


@pytest.mark.parametrize("how", [INTERNAL, HANG_UP])
async def test_a_node_that_turns_to_poison_later_is_found_as_well(server, mangler, how):
    venom = Venom(mangler, (), how)
    async with in_the_field(mangler.url, NODES, timeout="1s", intervals=QUICK) as field:
        await field.until(lambda: is_settled(field, ()))
        venom.numbers.add(20)
        await server.write(20, 1.0)
        await field.until(lambda: is_settled(field, {20}) and "1 of 40 nodes refused: t20" in field.states[-1].reason)
        await server.write(7, 7.0)
        await field.until(lambda: field.values[7][-1] == 7.0)


@pytest.mark.parametrize(("mode", "how"), [("subscribe", INTERNAL), ("subscribe", HANG_UP), ("poll", INTERNAL)])
async def test_a_server_that_is_ill_for_a_while_gets_all_nodes_back(server, mangler, mode, how):
    venom = Venom(mangler, (), how)
    async with in_the_field(mangler.url, NODES, mode=mode, timeout="1s", intervals=QUICK) as field:
        await field.until(lambda: is_settled(field, ()))
        venom.ill = True
        for k in range(1, 31):
            await server.write(0, float(k))
            await asyncio.sleep(0.1)
        assert not field.source._state.poison.culprits or field.source._state.poison.is_searching
        venom.ill = False
        await server.write(0, 99.0)
        await field.until(lambda: field.values[0][-1] == 99.0 and is_settled(field, ()))
        await field.until(lambda: field.states[-1].state == "ok")
        assert not field.source._state.poison.untrusted


async def test_a_value_that_cannot_be_decoded_costs_its_tag_and_no_connection(server, monkeypatch):
    """What else was in the lost notification is read once, so that nothing stays unknown."""

    def picky(buffer: BoundedBuffer) -> str | None:
        if (value := read_text(buffer)) == "rubbish":
            raise ValueError("no text")
        return value

    monkeypatch.setattr("gateway.sources.opcua.codec.types.structures.read_text", picky)
    await server.add("text", "fine")
    text = server.server.get_node("ns=2;s=text")
    async with in_the_field(server.url, [*NODES, "ns=2;s=text"], intervals=QUICK) as field:
        await field.until(lambda: is_settled(field, ()) and field.texts[MANY] == ["fine"])
        await server.write(7, 1.0)
        await text.write_value("rubbish")
        await server.write(9, 3.0)
        await field.until(lambda: "t40 (ns=2;s=text) BadDecodingError" in field.states[-1].reason)
        await field.until(lambda: field.values[7][-1] == 1.0 and field.values[9][-1] == 3.0)
        assert field.latest[MANY] < Quality.UNCERTAIN
        assert field.source.stats()[0]["lost"] == 1
        await text.write_value("better")
        await field.until(lambda: field.texts[MANY][-1] == "better" and field.states[-1].state == "ok")
        assert field.downs == []


async def test_a_notification_that_is_lost_for_good_leaves_no_value_unknown(server, mangler):
    """Nodes that do not change again are read once."""

    def swallow(response: Any) -> int | None:
        if isinstance(response, ua.RepublishResponse):
            return 0x807B0000  # BadMessageNotAvailable
        if isinstance(response, ua.PublishResponse) and response.Parameters.NotificationMessage.NotificationData:
            mangler.response = lambda one: 0x807B0000 if isinstance(one, ua.RepublishResponse) else None
            return DROP
        return None

    async with in_the_field(mangler.url, NODES, intervals=QUICK) as field:
        await field.until(lambda: is_settled(field, ()))
        mangler.response = swallow
        await server.write(3, 3.0)
        await field.until(lambda: field.values[3][-1] == 3.0)
        assert field.downs == []
        await field.until(lambda: [event.kind for event in field.events] == ["samples_lost"])
        assert field.values[4] == [0.0], "what has not changed is not told again"


async def test_browsing_shows_a_node_that_cannot_be_encoded_among_the_others(server):
    config = entry(url=server.url, nodes=["i=1"]).config
    async with session(config) as connection:
        found = [one async for level in browse(connection, config, Browse(root="/Objects/2:Line"), 1000) for one in level]
    told = {one.path[-1]: (one.value, one.status) for one in found}
    assert told["xml1"] == ("", "BadInternalError")
    assert told["v7"] == ("0", "")
    assert len(told) == MANY + 3


@pytest.mark.parametrize("is_told", [True, False])
async def test_a_node_that_is_created_again_is_back_soon(server, mangler, is_told):
    """At once where the server tells that its model has changed, else when its turn comes, two minutes later at most."""
    intervals = QUICK if is_told else replace(QUICK, node_retry_s=0.5)
    async with in_the_field(server.url, [*NODES, "ns=2;s=late"], intervals=intervals) as field:
        await field.until(lambda: bool(field.states) and "t40 (ns=2;s=late) BadNodeIdUnknown" in field.states[-1].reason)
        await server.add("late", 8.0)
        if is_told:
            emitter = await server.emitter(ua.ObjectIds.GeneralModelChangeEventType)
            await emitter.trigger(message="a node more")
        await field.until(lambda: field.values[MANY][-1:] == [8.0], 25)
        await field.until(lambda: field.states[-1].state == "ok")
