"""UDP, TLS with client certificates, RTU over TCP, several requests in flight: each against a real server."""

import asyncio
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from pymodbus.framer import FramerType
from pymodbus.server import ModbusTcpServer, ModbusTlsServer, ModbusUdpServer

from gateway.core.blocks import SampleBlock
from gateway.core.errors import NotConnected
from gateway.core.messages import DeviceState
from gateway.core.quality import Quality
from gateway.sources.modbus.client import ModbusLink
from gateway.sources.modbus.endpoint import parse
from gateway.sources.modbus.link import ExceptionReply, NoReply
from gateway.sources.modbus.plugin import ModbusPlugin
from tests.support.absent import absent
from tests.support.modbus_bus import compiled, device
from tests.support.modbus_fake import entry
from tests.support.modbus_server import Ask, ScriptedServer
from tests.support.watermarks_fake import services

BOTH_LOOPS = True


def registers(payload: bytes) -> list[int]:
    return list(struct.unpack(f">{len(payload) // 2}H", payload))


@asynccontextmanager
async def serving(server: Any) -> AsyncIterator[None]:
    await server.serve_forever(background=True)
    try:
        yield
    finally:
        await server.shutdown()


async def check(url: str) -> None:
    """Reads of registers and bits, and an exception, on one connection."""
    link = ModbusLink(parse(url))
    await link.open(5.0)
    try:
        assert registers(await link.read(1, "holding", 10, 125, 5.0)) == list(range(1010, 1135))
        assert await link.read(1, "discrete", 1, 9, 5.0) == b"\x55\x01"
        with pytest.raises(ExceptionReply, match="exception 2"):
            await link.read(1, "holding", 2000, 1, 5.0)
        assert registers(await link.read(1, "input", 999, 1, 5.0)) == [1999]
    finally:
        link.close()
    assert not link.connected


async def test_udp(port: int) -> None:
    async with serving(ModbusUdpServer(device(1), address=("127.0.0.1", port))):
        await check(f"udp://127.0.0.1:{port}")


async def test_nobody_on_udp_is_told_with_the_first_read(port: int) -> None:
    link = ModbusLink(parse(f"udp://127.0.0.1:{port}"))
    await link.open(2.0)
    with pytest.raises((NotConnected, NoReply)):
        await link.read(1, "holding", 0, 1, 0.3)
    link.close()


async def test_garbage_in_a_datagram_is_dropped(port: int) -> None:
    class Peer(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            good = data[:4] + b"\0\5" + data[6:8] + b"\2\0\7"
            for datagram in (b"\xff" * 40, b"", good[:-1], good[:1] + b"\x77" + good[2:], good):
                self.transport.sendto(datagram, addr)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Peer, local_addr=("127.0.0.1", port))
    link = ModbusLink(parse(f"udp://127.0.0.1:{port}"))
    await link.open(2.0)
    for _ in range(3):
        assert registers(await link.read(1, "holding", 0, 1, 5.0)) == [7]
    link.close()
    transport.close()


async def test_rtu_over_tcp(port: int) -> None:
    async with serving(ModbusTcpServer(device(1), framer=FramerType.RTU, address=("127.0.0.1", port))):
        await check(f"rtu+tcp://127.0.0.1:{port}")


@pytest.fixture(scope="session")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, a server certificate for localhost and a client certificate, made by openssl."""
    folder = tmp_path_factory.mktemp("pem")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
            "-subj", "/CN=test ca")  # fmt: skip
    (folder / "localhost.ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    (folder / "client.ext").write_text("extendedKeyUsage=clientAuth\n")
    for name in ("localhost", "client"):
        openssl(
            "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"
        )
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-out", f"{name}.pem", "-extfile", f"{name}.ext")  # fmt: skip
    return folder


def demanding(pem: Path) -> ssl.SSLContext:
    """A server's context that wants a client certificate of the CA."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pem / "ca.pem"))
    context.load_cert_chain(pem / "localhost.pem", pem / "localhost.key")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def serve_image(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server in ten lines, with replies cut in two: pymodbus's TLS framer takes each piece for a frame."""
    try:
        while True:
            transaction, _, _, unit, function, start, count = struct.unpack(">HHHBBHH", await reader.readexactly(12))
            body = bytes((function, 2 * count)) + struct.pack(f">{count}H", *range(start, start + count))
            data = struct.pack(">HHHB", transaction, 0, len(body) + 1, unit) + body
            writer.write(data[:9])
            await asyncio.sleep(0.005)
            writer.write(data[9:])
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def revoking(pem: Path, *names: str) -> Path:
    """The CA's list, on which these certificates stand."""
    ca = x509.load_pem_x509_certificate((pem / "ca.pem").read_bytes())
    key = serialization.load_pem_private_key((pem / "ca.key").read_bytes(), None)
    made = datetime.now(UTC) - timedelta(minutes=1)
    builder = x509.CertificateRevocationListBuilder().issuer_name(ca.subject).last_update(made)
    builder = builder.next_update(made + timedelta(days=1))
    for name in names:
        serial = x509.load_pem_x509_certificate((pem / f"{name}.pem").read_bytes()).serial_number
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(made).build()
        builder = builder.add_revoked_certificate(entry)
    path = pem / "list.pem"
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


async def test_tls_with_revocation_lists(port: int, pem: Path) -> None:
    """A server on the list is refused, and so is a file that would make authorities of its certificates."""
    server = await asyncio.start_server(serve_image, "127.0.0.1", port, ssl=demanding(pem))
    options = f"ca={pem}/ca.pem&cert={pem}/client.pem&key={pem}/client.key&crl="
    link = ModbusLink(parse(f"tls://127.0.0.1:{port}?{options}{revoking(pem)}"))
    await open_and_read(link)
    link.close()
    for crl, reason in (
        (revoking(pem, "localhost"), "certificate revoked"),
        (pem / "ca.pem", "other things than revocation"),
    ):
        link = ModbusLink(parse(f"tls://127.0.0.1:{port}?{options}{crl}"))
        with pytest.raises(NotConnected, match=reason):
            await open_and_read(link)
        link.close()
    server.close()


async def open_and_read(link: ModbusLink) -> None:
    """TLS 1.3 tells that a client certificate is missing only after the handshake."""
    await link.open(5.0)
    await link.read(1, "holding", 0, 1, 5.0)


async def test_tls_with_a_client_certificate(port: int, pem: Path) -> None:
    server = await asyncio.start_server(serve_image, "127.0.0.1", port, ssl=demanding(pem))
    certificate = f"cert={pem}/client.pem&key={pem}/client.key"
    link = ModbusLink(parse(f"tls://127.0.0.1:{port}?ca={pem}/ca.pem&{certificate}"))
    await link.open(5.0)
    assert registers(await link.read(1, "holding", 10, 125, 5.0)) == list(range(10, 135))
    link.close()
    bad = {
        "no client certificate": f"ca={pem}/ca.pem",
        "unknown ca": certificate,
        "another name": f"ca={pem}/ca.pem&{certificate}&server_name=plc.example",
        "no such file": f"ca={pem}/nothing.pem",
    }
    for options in bad.values():
        link = ModbusLink(parse(f"tls://127.0.0.1:{port}?{options}"))
        with pytest.raises(NotConnected):
            await open_and_read(link)
        link.close()
    server.close()


async def test_tls_against_pymodbus(port: int, pem: Path) -> None:
    server = ModbusTlsServer(device(1), address=("127.0.0.1", port), sslctx=demanding(pem))
    async with serving(server):
        await check(f"tls://localhost:{port}?ca={pem}/ca.pem&cert={pem}/client.pem&key={pem}/client.key")


@pytest.fixture
def libmodbus(tmp_path: Path, port: int) -> Iterator[int]:
    """The foreign TCP server; returns its port."""
    binary = compiled(tmp_path)
    if binary is None:
        absent("a C compiler and libmodbus-dev (make test installs them where it can)")
    with subprocess.Popen([str(binary), "tcp", str(port)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield port
        process.kill()


@pytest.mark.parametrize("in_flight", [1, 8])
async def test_libmodbus_under_load(libmodbus: int, in_flight: int) -> None:
    """Every sample right, every tag read, whether one or eight requests are on the way."""
    tags: list[dict[str, object]] = [{"address": f"holding:{place}"} for place in range(1000)]
    device = entry(tags, url=f"tcp://127.0.0.1:{libmodbus}", interval="20ms", max_in_flight=in_flight)
    (source,) = ModbusPlugin().build([device], services())
    await source.open()
    seen: set[int] = set()
    async with asyncio.timeout(30):
        for _ in range(400):
            item = await source.read()
            if isinstance(item, SampleBlock):
                assert (item.value == item.tag).all()
                assert (item.quality == Quality.GOOD).all()
                seen.update(item.tag.tolist())
    assert seen == set(range(1000))
    await source.close()


async def test_requests_in_flight_may_be_answered_in_any_order(port: int) -> None:
    """Four wait at a time, no more; their replies come back to front."""
    held: list[tuple[Ask, asyncio.StreamWriter]] = []
    most = 0

    async def hold_four(ask: Ask, writer: asyncio.StreamWriter) -> None:
        nonlocal most
        held.append((ask, writer))
        most = max(most, len(held))
        if len(held) == 4:
            for kept, to in reversed(held):
                to.write(kept.good())
            held.clear()

    async with ScriptedServer(port, hold_four):
        tags: list[dict[str, object]] = [{"address": f"holding:{200 * place}"} for place in range(8)]
        device = entry(tags, url=f"tcp://127.0.0.1:{port}", interval="1h", timeout="10s", max_in_flight=4)
        (source,) = ModbusPlugin().build([device], services())
        await source.open()
        found: dict[int, float] = {}
        async with asyncio.timeout(20):
            while len(found) < 8:
                item = await source.read()
                if isinstance(item, SampleBlock):
                    found |= dict(zip(item.tag.tolist(), item.value.tolist(), strict=True))
        assert found == {place: 200.0 * place for place in range(8)}
        assert most == 4
        await source.close()


async def test_a_silent_unit_with_requests_in_flight_goes_down_and_comes_back(port: int) -> None:
    silent = {2}

    async def some(ask: Ask, writer: asyncio.StreamWriter) -> None:
        if ask.unit not in silent:
            writer.write(ask.good())

    async with ScriptedServer(port, some):
        tags: list[dict[str, object]] = [{"address": f"holding:{200 * place}"} for place in range(6)]
        keys = {"url": f"tcp://127.0.0.1:{port}", "interval": "50ms", "timeout": "100ms", "max_in_flight": 4}
        units = [entry(tags, number=n, first_tag=6 * n, unit=n + 1, **keys) for n in range(2)]
        (source,) = ModbusPlugin().build(units, services())
        await source.open()

        async def until(state: str) -> int:
            """Samples of the other unit until unit 2 is told in that state."""
            good = 0
            async with asyncio.timeout(20):
                while True:
                    item = await source.read()
                    if isinstance(item, DeviceState) and (item.device, item.state) == (1, state):
                        return good
                    good += isinstance(item, SampleBlock) and item.tag[0] < 6 and item.quality[0] == Quality.GOOD

        await until("down")
        silent.clear()
        assert await until("ok") > 0
        await source.close()
