"""Variables below variables, types by name, what `browse` says of both: servers like an S7-1500, Kepware, MachineTool."""

import asyncio
import csv
import io
import json
from pathlib import Path

import pytest
from asyncua import ua
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.core.clock import SystemClock
from gateway.sources.opcua.client.session import connect
from gateway.sources.opcua.port.errors import NotFound
from gateway.sources.opcua.tools.options import device_of
from tests.support.opcua_mangler import Mangler
from tests.support.opcua_plcs import KepwareServer, MachineToolServer, S7Server
from tests.support.opcua_reader import Reader, make_source

BLOCK = "/Objects/2:PLC/2:DataBlocksGlobal/2:DB"
LEAVES = [
    *("ready", "motor.speed", "motor.running", "levels.[0]", "levels.[1]", "levels.[2]"),
    *("motors.[0].speed", "motors.[0].running", "motors.[1].speed", "motors.[1].running"),
]


async def command(*words: str):
    return await asyncio.to_thread(CliRunner().invoke, app, list(words))


async def table(url: str, *words: str) -> tuple[dict[str, str], str]:
    """What `gateway browse --csv` finds below the data block, by name, and what it says beside."""
    result = await command("browse", url, "--security", "none", "--csv", *words)
    return {row["name"]: row["node"] for row in csv.DictReader(io.StringIO(result.stdout))}, result.stderr


async def findings(url: str, **keys: object):
    """What an entry of `browse:` finds."""
    config = device_of(url, security="none", browse=keys)
    connection = await connect(config.model_copy(update={"mode": "poll"}), SystemClock())
    try:
        return await connection.metadata.browse(config.browse)
    finally:
        await connection.close()


def names(found) -> list[str]:
    return [".".join(tag.path) for tag in found.tags]


async def test_the_leaves_of_a_data_block_become_tags(port: int) -> None:
    """Each once, though one element leads back to its array, and another to a variable that is there already."""
    async with S7Server(port) as server:
        found, said = await table(server.url, "--root", BLOCK)
        flat, said_of_flat = await table(server.url, "--root", BLOCK, "--members", "none")
        several = [await findings(server.url, root=BLOCK, values="all", members=one) for one in ("instead", "also", "none")]
        one_block = await findings(server.url, root='ns=2;s="DB"."motors"')
    assert list(found) == LEAVES
    assert found["motors.[1].speed"] == 'nsu=urn:gateway:test;s="DB"."motors"[1]."speed"'
    assert "left out: 1 not a single number (--all takes them): text\n" in said
    assert (
        "left out: 5 told by the variables below them (--members also takes them beside these): motor, levels, motors"
        in said
    )
    assert list(flat) == ["ready"]
    assert "left out: 4 not a single number (--all takes them): text, motor, levels, motors" in said_of_flat
    assert [set(names(one)) - set(LEAVES) for one in several] == [
        {"text"},
        {"text", "motor", "levels", "motors", "motors.[0]", "motors.[1]"},
        {"text", "motor", "levels", "motors"},
    ]
    assert [one.by_members.count for one in several] == [5, 0, 0]
    assert set(names(one_block)) == {"ready", "[0].speed", "[0].running", "[1].speed", "[1].running"}


async def test_ceilings_hold_below_variables_and_what_is_beyond_is_counted(port: int) -> None:
    async with S7Server(port) as server:
        few = await findings(server.url, root=BLOCK, most=4)
        shallow = await findings(server.url, root=BLOCK, depth=1)
        narrow = await findings(server.url, root=BLOCK, include=["*.speed", "motors"], values="all")
    assert (names(few), few.beyond.count, few.is_cut) == (LEAVES[:4], 6, True)
    assert names(shallow) == ["ready"]
    assert names(narrow) == ["motor.speed", "motors", "motors.[0].speed", "motors.[1].speed"], (
        "an array whose elements are not"
    )


async def test_limits_of_the_server_are_kept_and_nothing_is_missing(port: int) -> None:
    """At most two nodes in a Browse, one reference in an answer, and no more than one continuation point."""
    seen: list[int] = []

    def one_at_a_time(request: object) -> None:
        if isinstance(request, ua.BrowseRequest):
            seen.append(len(request.Parameters.NodesToBrowse))
            request.Parameters.RequestedMaxReferencesPerNode = 1

    async with S7Server(port) as server:
        await server.server.get_node("i=11710").write_value(ua.Variant(2, ua.VariantType.UInt32))
        async with Mangler(port) as mangler:
            mangler.request = one_at_a_time
            found = await findings(f"{mangler.url}/", root=BLOCK)
    assert names(found) == LEAVES
    assert max(seen) <= 2


@pytest.mark.parametrize("mode", ["subscribe", "poll"])
async def test_members_are_found_again_where_numbers_mean_others_after_a_restart(port: int, mode: str) -> None:
    async with S7Server(port, numbered=True) as server:
        found, _ = await table(server.url, "--root", BLOCK)
        assert found["motors.[1].speed"].startswith(f"{BLOCK}/{{urn:gateway:test}}motors/")
        source = make_source(server.url, list(found.values()), mode=mode)
        reader = Reader(source)
        speeds = [list(found).index(f"motors.[{at}].speed") for at in (0, 1)]
        level = list(found).index("levels.[2]")
        try:
            for order in (server.order, ("motors", "levels", "ready", "motor")):
                await server.stop()
                server.order = order
                await server.start()
                reader.values.clear()
                await source.close()
                await source.open()
                await reader.until(lambda: all(reader.good(tag) for tag in (*speeds, level)))
                assert [set(reader.good(tag)) for tag in (*speeds, level)] == [{20.0}, {21.0}, {3.0}]
        finally:
            await source.close()


def folder(tmp_path: Path, url: str, browse: str) -> Path:
    config = tmp_path / "config"
    (config / "devices").mkdir(parents=True, exist_ok=True)
    (config / "gateway.yaml").write_text(
        f"name: g\nmqtt: {{url: mqtt://127.0.0.1}}\noutbox: {{path: {tmp_path}/outbox.db}}\n"
    )
    text = f"protocol: opcua\nurl: {url}\nsecurity: none\ntimeout: 2s\nfound: {tmp_path / 'found'}\nbrowse: {browse}\n"
    (config / "devices" / "line.yaml").write_text(text)
    return config


async def test_what_became_no_tag_is_told_by_browse_and_check(port: int, tmp_path: Path) -> None:
    async with S7Server(port) as server:
        config = folder(tmp_path, server.url, f"{{root: {BLOCK}, exclude: '*.[2]'}}")
        asked = await command("browse", "line", "--config", str(config))
        again = await command("browse", "line", "--config", str(config))
    checked = await command("check", "--config", str(config))
    assert "line: 9 new, 0 gone, 0 altered" in asked.stdout
    reasons = ["1 variable not a single number (values): text", "5 structures or arrays told by the variables below it"]
    reasons += ["1 variable not wanted by include, exclude or type: levels.[2]"]
    for reason in reasons:
        assert f"line: left out: {reason}" in asked.stderr.replace("\n", " ")
        assert f"line: left out: {reason}" in again.stderr.replace("\n", " ")
        assert f"line: left out: {reason}" in checked.stdout.replace("\n", " ")


async def test_properties_that_describe_are_no_tags_and_others_by_choice(port: int) -> None:
    async with KepwareServer(port, 0) as server:
        default = await findings(server.url, root="/Objects/2:Channel1")
        asked = await findings(server.url, root="/Objects/2:Channel1", properties=True)
    assert names(default) == ["Device1.Oven.Temp", "Device1._System._Error"]
    assert (default.properties.count, default.properties.names) == (1, ["Device1.Oven.Temp.ScanRate"])
    assert default.tags[0].measure.range == "0 to 250"
    assert (default.no_numbers.names, default.by_members.count) == (["Device1.Oven.Recipe"], 0)
    assert names(asked) == ["Device1.Oven.Temp", "Device1.Oven.Temp.ScanRate", "Device1._System._Error"]


async def test_arrays_are_folded_and_descriptions_bounded(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    async with KepwareServer(port, 0) as server:
        tree = await command("browse", server.url, "--security", "none", "--root", "/Objects/2:Channel1")
        read = await command("read", server.url, "ns=2;s=Channel1.Device1.Oven.Recipe", "--security", "none")
        lines = await command("browse", server.url, "--security", "none", "--root", "/Objects/2:Channel1", "--json")
    (recipe,) = [line for line in tree.stdout.splitlines() if "Recipe" in line]
    assert recipe.endswith("Double[] [1.5, 1.5, 1.5, … 1000 elements]")
    (temp,) = [line for line in tree.stdout.splitlines() if "Oven.Temp" in line]
    assert "Double 180.5 0 to 250  Temperature of the zone xxx" in temp
    assert temp.endswith("x…")
    assert "[1.5, 1.5, 1.5, … 1000 elements]" in read.stdout
    nodes = [json.loads(line) for line in lines.stdout.splitlines()]
    (shown,) = [node for node in nodes if node["path"][-1] == "Temp"]
    assert shown["type"] == "Double"
    assert shown["description"].endswith("x" * 200)
    assert {node["class"] for node in nodes} == {"object", "variable"}


async def test_a_type_is_chosen_by_its_name(port: int) -> None:
    async with MachineToolServer(port, 0) as server:
        for of_type in ("MachineToolType", "2:MachineToolType", "{urn:gateway:test}MachineToolType", "ns=2;i=5001"):
            found, _ = await table(server.url, "--type", of_type)
            assert set(found) == {"Mill.Spindle.Speed", "Mill.Mode", "Lathe.Spindle.Speed", "Lathe.Mode"}
        own = await findings(server.url, type="MillingMachineType")
        several = await command("browse", server.url, "--security", "none", "--csv", "--type", "PrinterType")
        unknown = await command("browse", server.url, "--security", "none", "--csv", "--type", "MachinToolType")
        capitals = await command("browse", server.url, "--security", "none", "--csv", "--type", "machinetooltype")
        with pytest.raises(
            NotFound, match=r"no type is called 3:MachineToolType; there is {urn:gateway:test}MachineToolType"
        ):
            await findings(server.url, type="3:MachineToolType")
        tree = await command("browse", server.url, "--security", "none")
    assert names(own) == ["Mill.Spindle.Speed", "Mill.Mode"]
    assert several.exit_code == unknown.exit_code == 1
    listed = "{http://example.com/UA/}PrinterType, {urn:gateway:test}PrinterType; name one of these, or its NodeId"
    assert f"several types are called PrinterType: {listed}" in several.stderr.replace("\n", " ")
    assert "there is {urn:gateway:test}MachineToolType" in unknown.stderr.replace("\n", " ")
    assert "there is {urn:gateway:test}MachineToolType" in capitals.stderr.replace("\n", " ")
    lines = [line.strip("│├└─ ") for line in tree.stdout.splitlines()]
    assert any(line.startswith("Mill ns=2;s=Mill MillingMachineType") for line in lines)
    assert "Mode ns=2;s=Mill.Mode MachineMode 1 (On)" in lines
    assert "Speed ns=2;s=Mill.Speed Double 1200" in lines
