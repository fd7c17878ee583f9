"""The session with a server, without one."""

from types import SimpleNamespace

import pytest
from asyncua.ua.uaerrors import BadSecurityPolicyRejected

from gateway.core.errors import NotConnected
from gateway.sources.opcua.config import OpcUaDevice
from gateway.sources.opcua.patience import Patience
from gateway.sources.opcua.session.client import AsyncuaConnection
from tests.support.opcua_fake import FakeClock


async def test_a_channel_that_may_not_be_renewed_is_a_lost_connection_and_no_bug(monkeypatch):
    config = OpcUaDevice.model_validate(
        {"name": "plc", "protocol": "opcua", "url": "opc.tcp://127.0.0.1", "security": "none"}
    )
    clock = FakeClock()
    connection = AsyncuaConnection(config, clock, Patience(1.0, clock.monotonic))

    async def read(items):
        return [SimpleNamespace(refused=0)]

    async def refuse(renew):
        raise BadSecurityPolicyRejected

    monkeypatch.setattr(connection, "read", read)
    monkeypatch.setattr(connection._client, "open_secure_channel", refuse)
    assert await connection.check() == 0
    await clock.advance(connection._client.secure_channel_timeout / 2e3 + 1)
    with pytest.raises(NotConnected, match="cannot renew the secure channel: BadSecurityPolicyRejected"):
        await connection.check()
