"""The session with a server, without one."""

from types import SimpleNamespace

import pytest
from asyncua.ua.uaerrors import BadSecurityPolicyRejected, BadServiceUnsupported

from gateway.core.errors import NotConnected
from gateway.core.loop_watch import LoopWatch
from gateway.sources.opcua.client import link as client
from gateway.sources.opcua.client.addresses import Addresses
from gateway.sources.opcua.client.history_read import HistoryReads
from gateway.sources.opcua.client.link import Link
from gateway.sources.opcua.client.login import Login
from gateway.sources.opcua.client.session import AsyncuaSession
from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.port.adaptive_timeout import AdaptiveTimeout
from gateway.sources.opcua.port.batches import Batches
from gateway.sources.opcua.port.errors import HungUp
from gateway.sources.opcua.port.node_names import NodeNames
from gateway.sources.opcua.port.values import Item
from gateway.sources.opcua.security.endpoints import Token
from tests.support.clock import ManualClock

LOGIN = Login(Token("anonymous", "None", "a"), b"", None, b"")


def connection_on(clock: ManualClock) -> AsyncuaSession:
    config = OpcUaDevice.model_validate(
        {"name": "plc", "protocol": "opcua", "url": "opc.tcp://127.0.0.1", "security": "none"}
    )
    link = Link(config, clock, AdaptiveTimeout(1.0, clock.monotonic), LoopWatch())
    link.has_session, link._login = True, LOGIN
    return AsyncuaSession(link, config, clock, NodeNames())


async def test_a_server_that_hangs_up_over_an_old_session_gets_a_new_one_in_the_end(monkeypatch):
    """Else it would be asked for ever: that it forgets a session is an answer, but not every server gives it."""
    connection = connection_on(ManualClock(monotonic_s=0))
    resumed = []

    async def channel(*_):
        return None

    async def resume(*_):
        resumed.append(1)
        raise ConnectionResetError

    monkeypatch.setattr(client, "open_channel", channel)
    monkeypatch.setattr(client, "resume_session", resume)
    for _ in range(3):
        with pytest.raises(HungUp):
            await connection.resume()
    assert not await connection.resume()
    assert len(resumed) == 3


async def test_a_server_that_is_away_does_not_lose_the_session(monkeypatch):
    connection = connection_on(ManualClock(monotonic_s=0))
    is_there = False

    async def channel(*_):
        if not is_there:
            raise ConnectionRefusedError

    async def resume(*_):
        return LOGIN

    monkeypatch.setattr(client, "open_channel", channel)
    monkeypatch.setattr(client, "resume_session", resume)
    for _ in range(9):
        with pytest.raises(HungUp):
            await connection.resume()
    is_there = True
    assert await connection.resume()


async def test_a_server_that_does_not_release_history_has_given_it_all_the_same():
    class Session:
        asked = 0

        async def _send_request(self, request):
            self.asked += 1
            raise BadServiceUnsupported

    session, services = Session(), SimpleNamespace()
    addresses = Addresses(services, ManualClock(monotonic_s=0), NodeNames())
    item = Item(0, "ns=1;s=v0", 0, 1)
    await addresses.resolve([item.node])
    await HistoryReads(session, Batches(10), addresses).release([item], [b"point"])
    assert session.asked == 1


async def test_a_channel_that_may_not_be_renewed_is_a_lost_connection_and_no_bug(monkeypatch):
    clock = ManualClock(monotonic_s=0)
    connection = connection_on(clock)

    async def read(items):
        return [SimpleNamespace(refused=0)]

    async def refuse(renew):
        raise BadSecurityPolicyRejected

    monkeypatch.setattr(connection.values, "read", read)
    monkeypatch.setattr(connection._link._client, "open_secure_channel", refuse)
    assert await connection.check() == 0
    await clock.advance(connection._link._client.secure_channel_timeout / 2e3 + 1)
    with pytest.raises(NotConnected, match="cannot renew the secure channel: BadSecurityPolicyRejected"):
        await connection.check()
