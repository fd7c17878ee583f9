"""Who shares a session with whom, and for how long somebody does not."""

from types import SimpleNamespace
from typing import Any

import pytest

from gateway.core.errors import NotConnected
from gateway.core.loop_watch import LoopWatch
from gateway.sources.opcua.client import link_pool
from gateway.sources.opcua.client.link_pool import ALONE_S, LinkPool, SharedConnect
from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.port.adaptive_timeout import AdaptiveTimeout
from gateway.sources.opcua.port.node_names import NodeNames
from gateway.sources.opcua.tools.plan import plan
from tests.support.clock import ManualClock
from tests.support.opcua_fake import entry


class Server:
    """In place of links and sessions: opened links, and whether the server opens more."""

    def __init__(self) -> None:
        self.links: list[Any] = []
        self.is_full = False
        self.join_fails = False

    async def open_link(self, config: OpcUaDevice, *_: object) -> Any:
        if self.is_full:
            raise NotConnected("BadTooManySessions")

        async def resume() -> bool:
            return link.is_known

        link = SimpleNamespace(is_known=True, resume=resume)
        self.links.append(link)
        return link

    async def join(self, link: Any, *_: object, is_shared: bool = False) -> Any:
        if self.join_fails:
            raise NotConnected("hung up")
        return SimpleNamespace(link=link, is_shared=is_shared, ended_soon=False)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    monkeypatch.setattr(link_pool, "open_link", made.open_link)
    monkeypatch.setattr(link_pool, "join", made.join)
    return made


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.watch = LoopWatch()
        self.pool = LinkPool(self.watch)

    def device(self, name: str, **keys: object):
        config = entry(share_session=True, **{"name": name, **keys}).config
        connect = SharedConnect(self.pool, NodeNames(), self.watch)
        return lambda: connect(config, self.clock, AdaptiveTimeout(1.0, self.clock.monotonic))


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_one_link_for_the_same_server_security_and_login(server, bench):
    same = [await bench.device(name)() for name in ("a", "b")]
    other = await bench.device("c", username="u", password="p")()
    assert same[0].link is same[1].link is not other.link
    assert len(server.links) == 2


async def test_a_link_that_the_server_has_forgotten_is_opened_anew(server, bench):
    connect = bench.device("a")
    first = await connect()
    first.link.is_known = False
    assert (await connect()).link is not first.link


async def test_a_device_whose_connection_ends_soon_is_alone_for_a_while(server, bench):
    connect, other = bench.device("a"), bench.device("b")
    first = await connect()
    first.ended_soon = True
    for _ in range(2):
        alone = await connect()
        assert (alone.is_shared, alone.link is first.link) == (False, False)
    assert (await other()).link is first.link
    await bench.clock.advance(ALONE_S + 1)
    assert (await connect()).link is first.link


async def test_a_device_that_cannot_join_is_alone_and_stays_so_where_it_fails_there_as_well(server, bench):
    connect = bench.device("a")
    await bench.device("b")()
    server.join_fails = True
    for _ in range(3):
        with pytest.raises(NotConnected, match="hung up"):
            await connect()
    assert len(server.links) == 3, "one shared, two of its own"


async def test_where_the_server_opens_no_more_sessions_it_shares_again(server, bench):
    connect = bench.device("a")
    first = await connect()
    first.ended_soon = True
    server.is_full = True
    with pytest.raises(NotConnected, match="BadTooManySessions"):
        await connect()
    assert (await connect()).link is first.link


def test_the_plan_names_who_shares():
    entries = [entry(share_session=True, name=name) for name in ("a", "b")] + [entry(name="c")]
    lines = plan(entries)
    assert [line for line in lines if "shared" in line] == ["  session shared with b", "  session shared with a"]
