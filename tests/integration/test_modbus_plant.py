"""What plants have: connections that are closed, allowed once, slow to wake, unplugged, refused, doubled; on both loops."""

import asyncio
import gc
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.core.blocks import SampleBlock
from gateway.core.errors import NotConnected
from gateway.core.messages import DeviceState
from gateway.core.ports.source import Source
from gateway.core.quality import Quality
from gateway.sources.modbus import transport
from gateway.sources.modbus.client import ModbusLink
from gateway.sources.modbus.endpoint import parse
from gateway.sources.modbus.link import NoReply
from gateway.sources.modbus.plugin import ModbusPlugin
from tests.support.absent import absent
from tests.support.modbus_bus import Bus
from tests.support.modbus_fake import entry
from tests.support.modbus_server import Ask, ScriptedServer
from tests.support.network import free_port, until
from tests.support.watermarks_fake import services

BOTH_LOOPS = True


def source(url: str, **keys: object) -> Source:
    """One tag, register 5, read every 200 ms unless said otherwise."""
    device = entry([{"address": "holding:5"}], url=url, **({"interval": "200ms", "timeout": "500ms"} | keys))
    (made,) = ModbusPlugin().build([device], services())
    return made


async def good(running: Source, count: int = 1) -> list[DeviceState]:
    """Read until so many good samples have come; the states told meanwhile."""
    states = []
    async with asyncio.timeout(20):
        while count:
            item = await running.read()
            if isinstance(item, DeviceState):
                states.append(item)
            elif isinstance(item, SampleBlock) and item.quality[0] == Quality.GOOD:
                count -= 1
    return states


async def read_one(link: ModbusLink) -> bytes:
    return await link.read(1, "holding", 5, 1, 5.0)


class Counting(ScriptedServer):
    """Counts its connections."""

    connections = 0

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        super()._serve(reader, writer)


async def test_a_controller_that_closes_idle_connections_is_read_as_if_it_did_not(port: int) -> None:
    async def answer_and_close(ask: Ask, writer: asyncio.StreamWriter) -> None:
        writer.write(ask.good())
        asyncio.get_running_loop().call_later(0.05, writer.close)

    async with Counting(port, answer_and_close) as server:
        running = source(f"tcp://127.0.0.1:{port}")
        await running.open()
        assert await good(running, 5) == [DeviceState(0, "ok")]
        stats = running.stats()[0]
        await running.close()
    assert stats["timeouts"] == stats["bad_replies"] == 0
    assert stats["connection_connects"] == server.connections


async def test_a_controller_that_allows_one_connection_says_so_and_is_read_when_the_other_is_gone(port: int) -> None:
    class Single(ScriptedServer):
        def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if self._writers:
                writer.close()
            else:
                super()._serve(reader, writer)

    async with Single(port) as server:
        first = ModbusLink(parse(f"tcp://127.0.0.1:{port}"))
        await first.open(5.0)
        await read_one(first)
        running = source(f"tcp://127.0.0.1:{port}")
        await running.open()
        with pytest.raises(NotConnected):
            await good(running)
        await running.close()
        first.close()
        await until(lambda: not server._writers, 10, "the first connection is gone")
        await running.open()
        assert await good(running) == [DeviceState(0, "ok")]
        await running.close()


async def test_a_device_that_hears_nothing_for_a_while_after_connecting(port: int) -> None:
    async def drowsy(ask: Ask, writer: asyncio.StreamWriter) -> None:
        if asyncio.get_running_loop().time() - server.connected_at > 0.25:
            writer.write(ask.good())

    class Drowsy(ScriptedServer):
        connected_at = 0.0

        def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connected_at = asyncio.get_running_loop().time()
            super()._serve(reader, writer)

    async with Drowsy(port, drowsy) as server:
        link = ModbusLink(parse(f"tcp://127.0.0.1:{port}"))
        await link.open(5.0)
        with pytest.raises(NoReply):
            await link.read(1, "holding", 5, 1, 0.05)
        link.close()
        link = ModbusLink(parse(f"tcp://127.0.0.1:{port}?connect_pause=300ms"))
        await link.open(5.0)
        assert await read_one(link) == b"\0\5"
        link.close()


async def test_pauses_between_requests_on_tcp(port: int) -> None:
    heard: list[float] = []

    async def note(ask: Ask, writer: asyncio.StreamWriter) -> None:
        heard.append(asyncio.get_running_loop().time())
        writer.write(ask.good())

    async with ScriptedServer(port, note):
        link = ModbusLink(parse(f"tcp://127.0.0.1:{port}?turnaround=50ms&unit_pause=120ms"))
        await link.open(5.0)
        for unit in (1, 1, 2):
            await link.read(unit, "holding", 5, 1, 5.0)
        link.close()
    assert heard[1] - heard[0] >= 0.045
    assert heard[2] - heard[1] >= 0.115


async def test_a_server_that_resets_in_the_middle_of_a_reply(port: int) -> None:
    async def torn(ask: Ask, writer: asyncio.StreamWriter) -> None:
        writer.write(ask.good()[:10])
        await writer.drain()
        peer = writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    async with ScriptedServer(port, torn) as server:
        running = source(f"tcp://127.0.0.1:{port}")
        await running.open()
        with pytest.raises(NotConnected):
            await good(running)
        await running.close()
        server.script = ScriptedServer(0).script
        await running.open()
        assert await good(running, 3) == [DeviceState(0, "ok")]
        await running.close()


async def test_all_requests_that_were_in_flight_when_the_connection_went_end_quietly(port: int) -> None:
    """One error is told to the supervisor; the others are not left behind for asyncio to complain about."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    async def hang_up_at_four(ask: Ask, writer: asyncio.StreamWriter) -> None:
        if len(server.asks) == 4:
            writer.transport.abort()

    async with ScriptedServer(port, hang_up_at_four) as server:
        tags: list[dict[str, object]] = [{"address": f"holding:{200 * place}"} for place in range(4)]
        device = entry(tags, url=f"tcp://127.0.0.1:{port}", interval="1h", timeout="10s", max_in_flight=4)
        (running,) = ModbusPlugin().build([device], services())
        await running.open()
        with pytest.raises(NotConnected):
            await good(running)
        await running.close()
        del running
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []


async def test_a_vanished_peer_is_left_to_the_kernel_to_notice(port: int) -> None:
    """What is not acknowledged for ten seconds is lost; idle connections are probed."""
    async with ScriptedServer(port):
        link = ModbusLink(parse(f"tcp://127.0.0.1:{port}"))
        await link.open(5.0)
        peer = link._transport.get_extra_info("socket")
        assert peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000
        assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10
        link.close()


async def test_the_backup_address_is_read_while_the_first_is_away(port: int) -> None:
    second = free_port()
    async with ScriptedServer(second):
        running = source(f"tcp://127.0.0.1:{port}", backup=f"tcp://127.0.0.1:{second}")
        await running.open()
        assert await good(running) == [DeviceState(0, "ok")]
        assert running.stats()[0]["connection_address"] == f"tcp://127.0.0.1:{second}"
        await running.close()
        async with ScriptedServer(port):
            await running.open()
            await good(running)
            assert running.stats()[0]["connection_address"] == f"tcp://127.0.0.1:{port}"
            await running.close()


async def test_ipv6_and_its_literals() -> None:
    server = ScriptedServer(0)
    try:
        listener = await asyncio.start_server(server._serve, "::1", 0)
    except OSError:
        absent("IPv6 on loopback")
    link = ModbusLink(parse(f"tcp://[::1]:{listener.sockets[0].getsockname()[1]}"))
    await link.open(5.0)
    assert await read_one(link) == b"\0\5"
    link.close()
    listener.close()
    await asyncio.gather(*server._conversations)


async def test_a_name_is_looked_up_at_every_connect_and_all_its_addresses_are_tried(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first address takes no connection and says nothing: its listener is full."""
    full = socket.socket()
    full.bind(("127.0.0.3", port))
    full.listen(0)
    fillers = [socket.socket() for _ in range(3)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.3", port))
    names = [["127.0.0.3", "127.0.0.1"], ["127.0.0.1"]]

    async def addresses(host: str, port: int) -> list[str]:
        assert host == "plc"
        return names.pop(0)

    monkeypatch.setattr(transport, "_addresses", addresses)
    async with ScriptedServer(port):
        link = ModbusLink(parse(f"tcp://plc:{port}"))
        for _ in range(2):
            await link.open(1.0)
            assert await read_one(link) == b"\0\5"
    link.close()
    assert not names
    for one in (full, *fillers):
        one.close()


async def test_an_adapter_that_is_unplugged_and_comes_back_on_the_same_path(tmp_path: Path) -> None:
    path = tmp_path / "ttyUSB0"
    running = source(f"rtu://{path}?parity=N&stopbits=1")
    with pytest.raises(NotConnected, match="no such device; is the adapter plugged in"):
        await running.open()
    for _ in range(2):
        async with Bus() as bus:
            await bus.add_pymodbus(1)
            path.symlink_to(bus.path)
            await running.open()
            assert await good(running, 2) == [DeviceState(0, "ok")]
            path.unlink()
            bus.unplug()
            with pytest.raises(NotConnected, match="plugged"):
                await good(running, 100)
            await running.close()


async def test_a_serial_device_of_others_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """As the user nobody, when the tests run as root: root may do everything."""
    program = (
        "import asyncio, os, sys; from gateway.sources.modbus.client import ModbusLink, NotConnected\n"
        "from gateway.sources.modbus.endpoint import parse\n"
        "link = ModbusLink(parse(sys.argv[1]))\n"
        "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "try: asyncio.run(link.open(2.0))\n"
        "except NotConnected as error: print(error)\n"
    )
    async with Bus() as bus:
        await asyncio.to_thread(os.chmod, bus.path, 0o000)
        command = [sys.executable, "-c", program, f"rtu://{bus.path}"]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert "permission denied; the gateway's user needs the group that owns the device" in done.stdout, done.stderr


async def test_certificates_that_cannot_be_used_are_named_and_nobody_asks_for_a_password(tmp_path: Path) -> None:
    def key(name: str, *words: str) -> str:
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-keyout", f"{name}.key", "-out", f"{name}.pem"]
        subprocess.run([*command, "-subj", "/CN=x", *words], cwd=tmp_path, check=True, capture_output=True)
        return f"cert={tmp_path}/{name}.pem&key={tmp_path}/{name}.key"

    locked = await asyncio.to_thread(key, "locked", "-passout", "pass:secret")
    (tmp_path / "text.pem").write_text("no certificate")
    wrong = {
        locked: "the key has a password",
        locked.replace("locked.key", "gone.key"): "gone.key cannot be used: No such file",
        f"ca={tmp_path}/gone.pem": "ca=.*gone.pem cannot be used: No such file",
        f"ca={tmp_path}/text.pem": "ca=.*text.pem cannot be used",
    }
    for options, reason in wrong.items():
        with pytest.raises(NotConnected, match=reason):
            await ModbusLink(parse(f"tls://127.0.0.1:1?{options}")).open(5.0)
