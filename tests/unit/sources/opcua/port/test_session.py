"""What a server says of its own health."""

from gateway.sources.opcua.port.session import ServerHealth


def test_a_server_is_healthy_from_200_while_running() -> None:
    assert [ServerHealth(0, level).is_healthy for level in (199, 200, 255)] == [False, True, True]
    assert not ServerHealth(1, 255).is_healthy
    assert str(ServerHealth(3, 10)) == "ServiceLevel 10 and not running (state 3)"
