"""What foreign servers have among their variables (open types, no finite numbers, bodies in XML), and how they refuse."""

import asyncio
import struct
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from asyncua import Node, Server, ua
from asyncua.common.structures104 import new_struct, new_struct_field
from asyncua.ua import ua_binary
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.core.quality import Quality
from gateway.sources.opcua.security.certificates import der
from tests.support.gateway import ROOT
from tests.support.opcua_mangler import Mangler
from tests.support.opcua_reader import reading
from tests.support.opcua_secure import KEY
from tests.support.opcua_server import AsyncuaServer

VALUES = {
    "free": ua.Variant(7, ua.VariantType.Int32),
    "words": ua.Variant("on", ua.VariantType.String),
    "list": ua.Variant([1, 2], ua.VariantType.Int32),
    "nan": ua.Variant(float("nan"), ua.VariantType.Double),
    "inf": ua.Variant(float("inf"), ua.VariantType.Float),
    "text": ua.Variant(ua.LocalizedText("läuft"), ua.VariantType.LocalizedText),
    "markup": ua.Variant(ua.XmlElement("<a/>"), ua.VariantType.XmlElement),
}


@dataclass
class InXml:
    """A structure whose body is XML (Part 6, 5.2.2.15), as Milo sends it where it was given one."""


class OddServer(AsyncuaServer):
    """Variables of BaseDataType, which leaves open what they hold."""

    async def fill(self, server: Server, line: Node) -> None:
        for name, value in VALUES.items():
            await line.add_variable(ua.NodeId(name, 2), f"2:{name}", value, datatype=ua.NodeId(24))
        value = ua.Variant(InXml(), ua.VariantType.ExtensionObject)
        await line.add_variable(ua.NodeId("xml", 2), "2:xml", value, datatype=ua.NodeId(22))


class BareServer(AsyncuaServer):
    """A structure of its own without a node for its encoding, as on open62541 with types made by hand."""

    async def fill(self, server: Server, line: Node) -> None:
        fields = [new_struct_field("load", ua.VariantType.Double), new_struct_field("name", ua.VariantType.String)]
        node, encodings = await new_struct(server, self._index, "Bare", fields)
        await server.load_data_type_definitions()
        made = vars(ua)["Bare"]  # where asyncua puts the class, once for the whole process
        ua.register_extension_object("Bare", encodings[0].nodeid, made, node.nodeid)
        value = ua.Variant(made(load=7.25, name="press"), ua.VariantType.ExtensionObject)
        await line.add_variable(ua.NodeId("bare", 2), "2:bare", value, datatype=node.nodeid)
        await server.delete_nodes(encodings)


@pytest.fixture
def xml_bodies(monkeypatch):
    """asyncua encodes and decodes no bodies in XML."""
    binary = ua_binary.extensionobject_to_binary

    def encode(value: object) -> bytes:
        if not isinstance(value, InXml):
            return binary(value)
        body = b"<a>1</a>"
        return ua_binary.nodeid_to_binary(ua.NodeId(885)) + b"\x02" + struct.pack("<i", len(body)) + body

    monkeypatch.setattr(ua_binary, "extensionobject_to_binary", encode)
    ua_binary.create_uatype_serializer.cache_clear()  # it remembers who encodes what
    yield
    monkeypatch.undo()
    ua_binary.create_uatype_serializer.cache_clear()


async def command(*words: str):
    return await asyncio.to_thread(CliRunner(env={"COLUMNS": "200"}).invoke, app, list(words))


async def test_browse_shows_values_as_they_are_published_and_one_that_asyncua_cannot_decode_hides_no_other(port, xml_bodies):
    async with OddServer(port, 1) as server:
        result = await command("browse", server.url, "--security", "none", "--root", "/Objects/2:Line")
    assert result.exit_code == 0, result.stderr
    shown = {line.split()[1]: " ".join(line.split()[3:]) for line in result.stdout.splitlines()[1:]}
    assert shown == {
        "v0": "Double 0", "free": "Int32 7", "words": "String on", "list": "Int32[] [1, 2]", "nan": "Double nan",
        "inf": "Float inf", "text": "LocalizedText läuft", "markup": "XmlElement <a/>",
        "xml": "ExtensionObject {type: 'i=885', body: 'PGE+MTwvYT4='}",
    }  # fmt: skip


async def test_where_the_data_type_leaves_it_open_the_value_says_whether_it_is_a_number(port, xml_bodies):
    async with OddServer(port, 1) as server:
        result = await command("browse", server.url, "--security", "none", "--root", "/Objects/2:Line", "--csv")
    assert [row.split(",")[0] for row in result.stdout.splitlines()[1:]] == ["v0", "free", "nan", "inf"]


@pytest.mark.parametrize("mode", ["subscribe", "poll"])
async def test_a_structure_is_found_by_its_definition_where_its_encoding_is_no_node(port, mode):
    tags = [{"node": "ns=2;s=bare"}, {"node": "ns=2;s=bare", "field": "load"}]
    async with BareServer(port, 1) as server, reading(server.url, tags, mode=mode, timeout="10s") as reader:
        await reader.until(lambda: bool(reader.objects[0] and reader.values[1]), 30)
        assert reader.objects[0][-1] == {"load": 7.25, "name": "press"}
        assert reader.values[1][-1] == 7.25


async def test_browse_paths_are_followed_by_browsing_where_the_server_cannot_translate_them(port):
    def refuse(request: object) -> int | None:
        return 0x800B0000 if isinstance(request, ua.TranslateBrowsePathsToNodeIdsRequest) else None

    async with AsyncuaServer(port, 2) as server, Mangler(port) as mangler:
        mangler.request = refuse
        await server.write(1, 4.5)
        tags = ["/Objects/2:Line/2:v1", "/Objects/2:Line/2:absent", "/Objects/2:Lane/2:v1"]
        async with reading(mangler.url, tags, mode="poll", timeout="10s") as reader:
            await reader.until(lambda: reader.seen(3), 30)
        assert "TranslateBrowsePathsToNodeIdsRequest" in mangler.seen
    assert reader.values[0][-1] == 4.5
    assert {*reader.qualities[1], *reader.qualities[2]} == {Quality.BAD_ADDRESS}


async def test_an_address_that_the_server_does_not_know_is_told_in_words_and_nothing_else_is_printed(capfd):
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(8)
        reason = b"unrecognized endpoint url"
        writer.write(b"ERRF" + struct.pack("<IIi", 16 + len(reason), 0x80830000, len(reason)) + reason)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        url = f"opc.tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        results = [await command(*words) for words in (("discover", url), ("browse", url, "--security", "none"))]
    for result in results:
        assert result.exit_code == 1
        assert result.stderr.startswith(f"{url} refuses: BadTcpEndpointUrlInvalid: the server does not know this address")
    assert capfd.readouterr() == ("", "")


def test_a_certificate_with_an_empty_country_is_trusted_without_a_line_of_python(tmp_path):
    with pytest.warns(UserWarning, match="length must be"):
        country = x509.NameAttribute(NameOID.COUNTRY_NAME, "", _validate=False)  # as Milo makes them
    name = x509.Name([country, x509.NameAttribute(NameOID.COMMON_NAME, "plc")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key()).serial_number(1)
    made = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1)).sign(KEY, hashes.SHA256())
    (tmp_path / "plc.der").write_bytes(der(made))
    words = ("-m", "gateway", "cert", "trust", str(tmp_path / "plc.der"), "--pki", str(tmp_path / "pki"))
    result = subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=ROOT, timeout=60, check=True)
    assert result.stdout.startswith("trusted: CN=plc, SHA-256 ")
    assert result.stderr == "the server must trust this gateway as well: gateway cert show\n"
