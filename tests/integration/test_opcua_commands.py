"""discover, browse and read against both servers."""

import asyncio
import csv
import io

import pytest
import yaml
from asyncua import ua
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.cli.reports import run_command
from gateway.sources.opcua.config.device import OpcUaTag
from gateway.sources.opcua.security.pki import Pki
from gateway.sources.opcua.tools.options import device_of, tags_of
from gateway.sources.opcua.tools.reports import tag_values
from tests.support.opcua_secure import KEY, SecureServer, peer
from tests.support.opcua_server import AsyncuaServer, NodeServer

P = ua.SecurityPolicyType


def read_now(config, tags):
    """What `gateway read` prints and returns."""
    return run_command(lambda: asyncio.run(tag_values(config, tags)))


async def command(*words: str):
    return await asyncio.to_thread(CliRunner().invoke, app, list(words))


async def test_discover_lists_policies_and_certificates(tmp_path, port):
    policy = ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt
    async with SecureServer(port, tmp_path, [policy], key=KEY) as server:
        result = await command("discover", server.url)
    assert result.exit_code == 0
    assert {"Aes256_Sha256_RsaPss", "SignAndEncrypt", server.fingerprint} <= set(result.stdout.split())


async def test_discover_lists_what_a_discovery_server_knows(port):
    async with AsyncuaServer(port, 1) as server:
        for endpoint in server.server.iserver.endpoints:
            endpoint.UserIdentityTokens = []
        result = await command("discover", server.url)
    assert result.exit_code == 0
    assert "nobody can log in here: a server for discovery, which knows 1 server" in result.stderr
    assert f"{server.url}" in result.stderr
    assert "next:" not in result.stderr


@pytest.mark.parametrize(
    ("policies", "options"),
    [
        ([P.Basic256Sha256_SignAndEncrypt, P.NoSecurity], ""),
        ([P.Basic256Sha256_Sign, P.Basic256_SignAndEncrypt], " --security-mode Sign"),
        ([P.Basic256_Sign], " --security Basic256 --security-mode Sign"),
        ([P.NoSecurity], " --security none"),
    ],
)
async def test_discover_names_the_options_of_the_strongest_endpoint(tmp_path, port, policies, options):
    async with SecureServer(port, tmp_path, policies, key=KEY) as server:
        result = await command("discover", server.url)
    assert result.stderr.strip() == f"next: gateway browse {server.url}{options}"


async def test_discover_says_that_nobody_answers(port):
    result = await command("discover", f"opc.tcp://127.0.0.1:{port}")
    assert result.exit_code == 1
    assert "cannot ask" in result.stderr


async def test_browse_writes_a_tag_file_that_the_configuration_takes(node, port, store):
    async with NodeServer(node, port, store, count=150, period=0) as server:
        result = await command("browse", server.url, "--security", "none", "--csv")
    assert result.exit_code == 0, result.stderr
    rows = [{key: cell for key, cell in row.items() if cell} for row in csv.DictReader(io.StringIO(result.stdout))]
    tags = [OpcUaTag.model_validate(row) for row in rows]
    nodes = {tag.name: tag.node for tag in tags}
    assert {nodes[f"Line.v{i}"].rpartition(";")[2] for i in range(150)} == {f"s=v{i}" for i in range(150)}
    assert "Line.text" not in nodes
    assert {tag.name: (tag.unit, tag.range) for tag in tags if tag.unit} == {"Line.analog": ("°C", (0, 100))}
    assert {"Line.typeUInt64", "Line.mode", "Line.typeBoolean"} <= nodes.keys()
    assert not {"Line.array", "Line.machine", "Line.typeDateTime"} & nodes.keys()


async def test_browse_says_what_a_tag_file_leaves_out_and_how_to_have_it(node, port, store):
    async with NodeServer(node, port, store, count=12, period=0) as server:
        url = ("browse", server.url, "--security", "none", "--csv", "--root", "/Objects/1:Line")
        numbers = await command(*url, "--include", "v?", "--include", "text", "--exclude", "v9", "--most", "4")
        everything = await command(*url, "--include", "v?", "--include", "text", "--all", "--most", "11")
        shallow = await command("browse", server.url, "--security", "none", "--csv", "--depth", "1")
        tree = await command("browse", server.url, "--security", "none", "--depth", "1")
    names = [row["name"] for row in csv.DictReader(io.StringIO(numbers.stdout))]
    assert (names, numbers.exit_code) == (["v0", "v1", "v2", "v3"], 1)
    said = numbers.stderr.splitlines()
    assert said[0] == "4 tags"
    assert said[1] == "left out: 5 beyond --most 4 (--most 9 takes them): v4, v5, v6, v7, v8"
    assert said[2] == "left out: 1 not a single number (--all takes them): text"
    assert said[3].startswith("left out: ")
    assert " not wanted by --include, --exclude or --type: v9, v10, v11, " in said[3]
    assert [row["name"] for row in csv.DictReader(io.StringIO(everything.stdout))] == [*(f"v{i}" for i in range(10)), "text"]
    assert everything.exit_code == 0
    assert "objects at --depth 1, not looked into (--depth N goes deeper): " in shallow.stderr
    assert "Line" in shallow.stderr
    assert "objects not looked into: --depth N goes deeper" in tree.stderr


async def test_browse_shows_a_tree_over_an_encrypted_channel(tmp_path, port):
    policy = ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt
    async with SecureServer(port, tmp_path, [policy], key=KEY) as server:
        refused = await command("browse", server.url, "--pki", str(tmp_path / "pki"))
        Pki(tmp_path / "pki").trust(peer(server.certificate))
        shown = await command("browse", server.url, "--pki", str(tmp_path / "pki"))
    assert refused.exit_code == 1
    assert "gateway cert trust" in refused.stderr
    assert "v0 ns=2;s=v0 Double 42" in shown.stdout


async def test_browse_has_a_ceiling_and_says_so(port):
    async with AsyncuaServer(port, 50) as server:
        result = await command("browse", server.url, "--security", "none", "--most", "20")
    assert result.exit_code == 1
    assert "more than 20 nodes" in result.stderr


async def test_read_shows_values_and_fails_on_a_missing_node(port, capsys):
    async with AsyncuaServer(port, 2) as server:
        config = device_of(server.url, security="none")
        assert await asyncio.to_thread(read_now, config, tags_of(["ns=2;s=v0"])) == 0
        assert await asyncio.to_thread(read_now, config, tags_of(["ns=2;s=v0", "ns=2;s=none"])) == 1
    assert "BadNodeIdUnknown" in capsys.readouterr().out


async def test_read_takes_paths_and_parts_and_shows_labels_units_and_ranges(node, port, store, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    tags = [
        {"node": "/Objects/1:Line/1:analog", "scale": 2},
        {"node": "nsu=urn:absent;s=v0"},
        {"node": "ns=1;s=machine", "field": "temperature.value"},
        {"node": "ns=1;s=multi"},
        {"node": "/Objects/1:Nowhere"},
        {"node": "/Objects/1:Line/1:analog"},
    ]
    given = [OpcUaTag.model_validate({"name": f"t{i}", **tag}) for i, tag in enumerate(tags)]
    async with NodeServer(node, port, store, count=1, period=0) as server:
        assert await asyncio.to_thread(read_now, device_of(server.url, security="none"), given) == 1
    told = capsys.readouterr()
    shown = [" ".join(part.strip() for part in row.split("│")).split() for row in told.out.splitlines()]
    rows = {row[0]: row[1:] for row in shown if row and row[0].startswith("t") and row[0] != "tag"}
    assert rows["t0"] == ["Double", "40", "Good", "/Objects/1:Line/1:analog"], "scaled: the server's unit is not the tag's"
    assert rows["t5"] == ["Double", "20", "°C", "0", "to", "100", "Good", "/Objects/1:Line/1:analog"]
    assert rows["t1"] == ["BadNodeIdUnknown", "nsu=urn:absent;s=v0"]
    assert rows["t2"][1:3] == ["23.45", "Good"]
    assert rows["t3"][1:4] == ["1", "(two)", "Good"]
    assert rows["t4"] == ["BadNoMatch", "/Objects/1:Nowhere"]
    assert "t1: BadNodeIdUnknown: the server has no namespace urn:absent; it has 1 urn:" in told.err
    assert "t4: BadNoMatch: no node has this path" in told.err


async def test_browse_is_narrowed_by_names_depth_and_type(node, port, store):
    async with NodeServer(node, port, store, count=30, period=0) as server:
        url = (server.url, "--security", "none", "--csv")
        some = await command("browse", *url, "--root", "/Objects/1:Line", "--include", "v1*", "--exclude", "v13")
        shallow = await command("browse", *url, "--depth", "1")
        nobody = await command("browse", *url, "--type", "i=61", "--include", "Line.v0")
        mistaken = await command("browse", *url, "--root", "/Objects//Line")
        absent = await command("browse", *url, "--root", "/Objects/1:Lane")
    rows = list(csv.DictReader(io.StringIO(some.stdout)))
    assert [row["name"] for row in rows] == ["v1", *(f"v1{i}" for i in range(10) if i != 3)]
    assert rows[0]["node"].startswith("nsu=urn:")
    assert rows[0]["node"].endswith(";s=v1")
    assert "Line" not in shallow.stdout
    assert (shallow.exit_code, nobody.exit_code) == (0, 0)
    assert "Line.v0," not in nobody.stdout, "Line is no folder"
    assert (mistaken.exit_code, absent.exit_code) == (2, 1)
    assert "expected a browse path" in mistaken.stderr
    assert "/Objects/1:Lane is not there: BadNoMatch" in absent.stderr


class Awkward(AsyncuaServer):
    """Two objects of one name, and a name of two lines."""

    async def fill(self, server, line):
        for number in (1, 2):
            motor = await line.add_object(ua.NodeId(f"motor{number}", self._index), f"{self._index}:Motor")
            await motor.add_variable(ua.NodeId(f"speed{number}", self._index), f"{self._index}:Speed", float(number))
        await line.add_variable(ua.NodeId("x" * 200, self._index), f"{self._index}:long", 0.0)
        await line.add_variable(ua.NodeId("two", self._index), ua.QualifiedName("two\nlines", self._index), 0.0)


async def test_browse_keeps_objects_of_one_name_apart_and_each_node_whole_on_one_line(port, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    async with Awkward(port, 0) as server:
        tree = await command("browse", server.url, "--security", "none", "--root", "/Objects/2:Line")
    lines = [line.strip("│├└─ ") for line in tree.stdout.splitlines()]
    assert lines[1:] == [
        *("Motor ns=2;s=motor1", "Speed ns=2;s=speed1 Double 1"),
        *("Motor ns=2;s=motor2", "Speed ns=2;s=speed2 Double 2"),
        f"long ns=2;s={'x' * 200} Double 0",
        "two\\nlines ns=2;s=two Double 0",
    ]


async def test_browse_says_what_a_pattern_is_compared_with_when_nothing_matches(port):
    async with AsyncuaServer(port, 2) as server:
        url = ("browse", server.url, "--security", "none", "--include", "v1")
        tree, table = await command(*url), await command(*url, "--csv")
    assert "compared with the whole name" in tree.stderr
    assert "compared with the whole name" in table.stderr
    assert "next:" not in tree.stderr + table.stderr


async def test_browse_names_the_namespaces_that_there_are(port):
    async with AsyncuaServer(port, 2) as server:
        url = ("browse", server.url, "--security", "none", "--root")
        index, uri = await command(*url, "ns=7;s=v0"), await command(*url, "nsu=urn:lost;s=v0")
    assert "the server has no namespace 7; it has 1 urn:" in index.stderr
    assert "the server has no namespace urn:lost; it has 1 urn:" in uri.stderr


async def test_browse_prints_the_device_file_that_reaches_the_server(port, tmp_path, monkeypatch):
    monkeypatch.setenv("GATEWAY_OPCUA_PASSWORD", "secret")
    policy = ua.SecurityPolicyType.Basic256Sha256_Sign
    options = ("--security-mode", "Sign", "--pki", str(tmp_path / "pki #1"), "--no-check-host", "--csv", "--username", "me")
    async with SecureServer(port, tmp_path, [policy], key=KEY) as server:
        Pki(tmp_path / "pki #1").trust(peer(server.certificate))
        result = await command("browse", server.url, *options)
    assert result.exit_code == 0, result.stderr
    file = yaml.safe_load(result.stderr.partition("devices/NAME.yaml:\n")[2])
    assert file == {
        "protocol": "opcua", "url": server.url, "security_mode": "Sign", "check_host": False, "username": "me",
        "pki": str(tmp_path / "pki #1"), "found": str(tmp_path / "found"), "tag_file": "NAME.csv",
    }  # fmt: skip


async def test_options_are_refused_by_their_names(port):
    result = await command("browse", f"opc.tcp://127.0.0.1:{port}", "--security-mode", "signed")
    assert result.exit_code == 2
    assert result.stderr.strip() == "--security-mode: 'signed' is not allowed; expected 'SignAndEncrypt' or 'Sign'"


HOSTILE = "x\x1b[2J\x9b31m\u2028\x85\u202e[red]"
"""Clears the screen, changes colours, ends lines, turns the direction of writing round, and is markup."""


@pytest.mark.parametrize("options", [(), ("--csv",), ("--csv", "--all")])
async def test_no_text_of_a_server_reaches_the_terminal_as_it_is(port, options):
    async with AsyncuaServer(port, 1) as server:
        folder = await server.server.nodes.objects.add_object(ua.NodeId("folder", 2), ua.QualifiedName(f"=1+1{HOSTILE}", 2))
        for node, name in (("s=plain", f"=2{HOSTILE}"), (f"s={HOSTILE}", "hidden"), ("s=a;=1+1", "formula")):
            variable = await folder.add_variable(ua.NodeId(node[2:], 2), ua.QualifiedName(name, 2), HOSTILE)
            unit = ua.EUInformation(HOSTILE, 1, ua.LocalizedText(f"+bar{HOSTILE}"), ua.LocalizedText(HOSTILE))
            await variable.add_property(ua.NodeId(f"unit of {node}", 2), ua.QualifiedName("EngineeringUnits", 0), unit)
        result = await command("browse", server.url, "--security", "none", *options)
        for endpoint in server.server.iserver.endpoints:
            endpoint.Server.ApplicationUri = endpoint.SecurityPolicyUri = f"urn:{HOSTILE}"
        found = await command("discover", server.url)
    for text in (found.stdout, found.stderr, result.stdout, result.stderr):
        assert text.replace("\n", "").isprintable(), ascii(text)
    assert "\\x1b[2J" in found.stdout
    if options == ("--csv", "--all"):
        rows = {row["node"].partition(";")[2]: row for row in csv.DictReader(io.StringIO(result.stdout))}
        assert "s=plain" in rows
        assert rows["s=plain"]["name"].startswith("'=1_1x_[2J"), "no formula"
        assert rows["s=plain"]["unit"].startswith("'+barx\\x1b[2J")
        assert not any("=1+1" in node or "[2J" in node for node in rows)
        assert "left out: 2 whose node ids have characters that do not survive a CSV file" in result.stderr
