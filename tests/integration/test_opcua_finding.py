"""A folder as one entry: found at the start, kept while the server is away, compared while the gateway runs."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from asyncua import ua
from typer.testing import CliRunner

from gateway.app.tag_discovery import discover_tags
from gateway.cli.main import app
from gateway.core.clock import SystemClock
from gateway.core.errors import NotConnected
from gateway.settings import load
from gateway.sources.opcua.client.event_items import EventItems
from gateway.sources.opcua.client.session import connect
from gateway.sources.opcua.plugin import OpcUaPlugin
from gateway.sources.opcua.port.errors import NotFound
from gateway.sources.opcua.source.intervals import Intervals
from gateway.sources.opcua.tools.refresh_tags import refresh_tags
from tests.support.listener import Listener
from tests.support.opcua_mangler import Mangler
from tests.support.opcua_reader import reading
from tests.support.opcua_server import AsyncuaServer, NodeServer

CLOCK = SystemClock()


def folder(tmp_path: Path, url: str, browse: str) -> Path:
    config = tmp_path / "config"
    (config / "devices").mkdir(parents=True, exist_ok=True)
    (config / "gateway.yaml").write_text("name: g\n")
    (config / "devices" / "line.yaml").write_text(
        f"protocol: opcua\nurl: {url}\nsecurity: none\ntimeout: 2s\nfound: {tmp_path / 'found'}\nbrowse: {browse}\n"
    )
    return config


async def test_tags_are_found_at_the_start_and_outlive_the_server(node, port, store, tmp_path):
    browse = "{root: /Objects/1:Line, include: ['v*', analog, mode], exclude: v1*}"
    async with NodeServer(node, port, store, count=30, period=50, limit=10) as server:
        config = folder(tmp_path, server.url, browse)
        settings = await discover_tags(load(config), CLOCK)
        names = [tag.name for tag in settings.table.tags]
        assert {*names} == {*(f"v{i}" for i in range(30) if not str(i).startswith("1")), "analog", "mode", "valve"}
        assert [tag.unit for tag in settings.table.tags if tag.name == "analog"] == ["°C"]
        assert (await discover_tags(settings, CLOCK)) is settings, "nothing has changed"
        nodes = [tag.node for tag in settings.entries[0].tags]
        async with reading(server.url, nodes) as reader:
            await reader.until(lambda: reader.seen(len(nodes)), 30)
    again = await discover_tags(load(config), CLOCK)
    assert [tag.name for tag in again.table.tags] == names


async def test_a_root_that_comes_and_comes_anew_is_found_at_once_in_the_same_session(port, tmp_path):
    """The server says so; what was not there a moment ago is asked for again."""
    async with AsyncuaServer(port, 1) as server:
        device = load(folder(tmp_path, server.url, "{root: /Objects/2:Line/2:Cell}")).entries[0].config
        line = await server.server.nodes.objects.get_child("2:Line")
        connection = await connect(device, CLOCK)
        try:
            for name in ("first", "second"):
                with pytest.raises(NotFound, match="Cell"):
                    await connection.metadata.browse(device.browse)
                cell = await line.add_object(f"ns=2;s=cell {name}", "2:Cell")
                await cell.add_variable(f"ns=2;s={name}", f"2:{name}", 7.0)
                found = (await connection.metadata.browse(device.browse)).tags
                assert [tag.path for tag in found] == [(name,)]
                await server.server.delete_nodes([cell], recursive=True)
        finally:
            await connection.close()


class Mute(Listener):
    async def _serve(self, reader, writer):
        await asyncio.Event().wait()


async def test_a_start_waits_longer_for_tags_that_are_not_known_yet(node, port, store, tmp_path):
    browse = "{root: /Objects/1:Line, include: v*}"
    async with NodeServer(node, port, store, count=3, period=0) as server:
        known = await discover_tags(load(folder(tmp_path, server.url, browse)), CLOCK)
    async with Mute() as mute:
        again = load(folder(tmp_path, f"opc.tcp://127.0.0.1:{mute.port}", browse))
        with pytest.raises(NotConnected, match=r"longer than 0.1 s; it is asked again once it is connected"):
            await refresh_tags(again.entries[0].config, (), CLOCK, 0.1)
    assert again.table.tags == known.table.tags


async def test_tags_are_found_anew_on_demand(node, port, store, tmp_path):
    async with NodeServer(node, port, store, count=3, period=0) as server:
        config = folder(tmp_path, server.url, "{root: /Objects/1:Line, include: v*}")
        results = [
            await asyncio.to_thread(CliRunner().invoke, app, ["browse", device, "--config", str(config)])
            for device in ("line", "line", "nobody")
        ]
    assert [result.exit_code for result in results] == [0, 0, 2]
    assert "line: 4 new, 0 gone, 0 altered" in results[0].stdout
    assert "nothing has changed" in results[1].stdout
    assert "there are: line" in results[2].stderr
    assert [tag.name for tag in load(config).table.tags] == ["v0", "v1", "v2", "valve"]


class Measured(AsyncuaServer):
    """v0 has a unit and a range, v1 nothing."""

    async def fill(self, server, line):
        node = server.get_node("ns=2;s=v0")
        unit = ua.EUInformation("http://www.opcfoundation.org/UA/units/un/cefact", 4408652, ua.LocalizedText("°C"))
        await node.add_property(0, "EngineeringUnits", unit)
        self.range = await node.add_property(0, "EURange", ua.Range(-40.0, 120.5))


def measured(tmp_path: Path, url: str, node: str, plain: str) -> Path:
    """A device whose tags stand in its file: a node with a unit, three times, and one without."""
    config = folder(tmp_path, url, "{}")
    (config / "devices" / "line.yaml").write_text(
        f"protocol: opcua\nurl: {url}\nsecurity: none\ntimeout: 2s\nfound: {tmp_path / 'found'}\ntags:\n"
        f"  - {{name: own, node: {node}}}\n  - {{name: given, node: {node}, unit: K}}\n"
        f"  - {{name: scaled, node: {node}, scale: 1.8, offset: 32, unit: °F}}\n  - {{name: plain, node: {plain}}}\n"
    )
    return config


def measures(settings):
    return [(tag.name, tag.unit, tag.range) for tag in settings.table.tags]


async def test_configured_tags_have_the_servers_units_and_keep_them_while_it_is_away(port, tmp_path):
    told = [("own", "°C", (-40, 120.5)), ("given", "K", (-40, 120.5)), ("scaled", "°F", None), ("plain", "", None)]
    async with Measured(port, 2) as server:
        config = measured(tmp_path, server.url, "ns=2;s=v0", "ns=2;s=v1")
        settings = await discover_tags(load(config), CLOCK)
        assert measures(settings) == told
        assert (await discover_tags(settings, CLOCK)) is settings, "told once, a start does not wait for them again"
        shown = await asyncio.to_thread(CliRunner().invoke, app, ["read", "line", "--config", str(config)])
        assert ["°C" in line for line in shown.stdout.splitlines() if "ns=2" in line] == [True, False, False, False]
        assert "own <- ns=2;s=v0 in °C, -40 to 120.5" in "\n".join(settings.plugins[0].describe(settings.entries))
        await server.range.write_value(ua.Range(0.0, 50.0))
        nodes = [{"name": "own", "node": "ns=2;s=v0"}, {"name": "given", "node": "ns=2;s=v0", "unit": "K"}]
        more = {"name": "line", "found": str(tmp_path / "found"), "refresh": "100ms"}
        async with reading(server.url, nodes, **more) as reader:
            await reader.until(lambda: len(reader.events) == 1, 20)
        assert (reader.events[0].kind, reader.events[0].names) == ("model", ["own", "given"])
    assert measures(await discover_tags(load(config), CLOCK))[0] == ("own", "°C", (0, 50))


async def test_units_are_told_later_where_the_server_was_away_at_the_first_start(port, tmp_path):
    """As an event, and from the next start on the tags have them."""
    server = Measured(port, 2)
    config = measured(tmp_path, server.url, "ns=2;s=v0", "ns=2;s=v1")
    settings = await discover_tags(load(config), CLOCK)
    assert measures(settings)[0] == ("own", "", None)
    nodes = [{"name": "own", "node": "ns=2;s=v0"}]
    more = {"name": "line", "found": str(tmp_path / "found")}
    async with server, reading(server.url, nodes, **more, intervals=Intervals(model_first_s=0.5)) as reader:
        await reader.until(lambda: len(reader.events) == 1, 20)
    assert "at the next start" in str(reader.events[0].reason)
    assert measures(await discover_tags(load(config), CLOCK))[0] == ("own", "°C", (-40, 120.5))


async def test_configured_tags_have_the_units_of_a_foreign_server(node, port, store, tmp_path):
    async with NodeServer(node, port, store, count=3, period=0, limit=1) as server:
        config = measured(tmp_path, server.url, "/Objects/1:Line/1:analog", "nsu=urn:nobody;s=x")
        settings = await discover_tags(load(config), CLOCK)
    told = [("own", "°C", (0, 100)), ("given", "K", (0, 100)), ("scaled", "°F", None), ("plain", "", None)]
    assert measures(settings) == told


async def test_a_type_chooses_the_variables_of_its_objects(node, port, store, tmp_path):
    """Both found objects are of FolderType's supertype BaseObjectType; none is of a type of its own."""
    async with NodeServer(node, port, store, count=3, period=0) as server:
        every = folder(tmp_path / "a", server.url, "{type: /Types/ObjectTypes/BaseObjectType, include: Line.v*}")
        none = folder(tmp_path / "b", server.url, "{type: i=2004, include: Line.v*}")
        assert len((await discover_tags(load(every), CLOCK)).table) == 4
        assert len((await discover_tags(load(none), CLOCK)).table) == 0


async def test_a_ceiling_holds(node, port, store, tmp_path):
    async with NodeServer(node, port, store, count=30, period=0) as server:
        config = folder(tmp_path, server.url, "[{root: /Objects/1:Line, most: 7}]")
        settings = await discover_tags(load(config), CLOCK)
    assert [tag.name for tag in settings.table.tags] == [f"v{i}" for i in range(7)]


async def test_a_wrong_root_costs_nothing_but_a_warning(node, port, store, tmp_path, caplog):
    async with NodeServer(node, port, store, count=3, period=0) as server:
        settings = load(folder(tmp_path, server.url, "{root: /Objects/1:Lane}"))
        assert await discover_tags(settings, CLOCK) is settings


async def test_a_bug_in_asking_one_device_does_not_end_the_gateway(tmp_path):
    class Broken(OpcUaPlugin):
        async def discover_tags(self, *_):
            raise ZeroDivisionError

    settings = load(folder(tmp_path, "opc.tcp://127.0.0.1:1", "{root: i=85}"))
    broken = replace(settings, plugins=(Broken(),))
    assert await discover_tags(broken, CLOCK) is broken


async def test_a_changed_model_is_an_event(node, port, store, tmp_path):
    browse = {"root": "/Objects/1:Line", "include": ["v*", "new*"]}
    more = {"browse": browse, "found": str(tmp_path), "refresh": "100ms"}
    server = NodeServer(node, port, store, count=3, period=50)
    async with server, reading(server.url, ["ns=1;s=v0"], **more) as reader:
        await reader.until(lambda: len(reader.events) == 1, 20)
        server.command(add="new1", value=5)
        await reader.until(lambda: len(reader.events) == 2, 20)
        server.command(delete="new1")
        await reader.until(lambda: len(reader.events) == 3, 20)
    told = [(event.kind, event.added, event.removed) for event in reader.events]
    assert told == [("model", 4, 0), ("model", 1, 0), ("model", 0, 1)]
    assert reader.events[1].names == ["new1"]


async def test_what_the_server_says_of_its_model_is_looked_at_soon(node, port, store, tmp_path):
    """node-opcua tells of nodes that come and go, and of units; nothing is asked by the clock here."""
    browse = {"root": "/Objects/1:Line", "include": ["v0", "new*"]}
    more = {"browse": browse, "found": str(tmp_path), "refresh": "1h"}
    nodes = ["ns=1;s=v0", {"name": "analog", "node": "ns=1;s=analog"}]
    server = NodeServer(node, port, store, count=3, period=50, versions=1)
    async with (
        server,
        reading(server.url, nodes, **more, intervals=Intervals(model_pause_s=0.5, model_quiet_s=0.3)) as reader,
    ):
        await reader.until(lambda: reader.seen(2))
        server.command(add="new1", value=5)
        server.command(add="new2", value=5)
        await reader.until(lambda: bool(reader.events), 20)
        server.command(delete="new1")
        await reader.until(lambda: len(reader.events) == 2, 20)
        server.command(high=70)
        await reader.until(lambda: len(reader.events) == 3, 20)
    told = [tuple(getattr(event, key) for key in ("added", "removed", "altered")) for event in reader.events]
    assert told == [(3, 0, 1), (0, 1, 0), (0, 0, 1)], "two nodes at once are one change; the first names all that was found"
    assert reader.events[2].names == ["analog"]
    assert (tmp_path / "units" / "plc.csv").read_text().splitlines()[1:] == ["analog,ns=1;s=analog,°C,0 to 70"]


async def test_polled_devices_hear_of_changes_and_notice_them(node, port, store, tmp_path, monkeypatch):
    """By the events of a subscription that has no values; without events, by the NodeVersion of what is browsed."""
    browse = {"root": "/Objects/1:Line", "include": ["v0", "new*"]}
    more = {"browse": browse, "refresh": "1h", "mode": "poll", "interval": "200ms"}
    server = NodeServer(node, port, store, count=3, period=50, versions=1)
    async with server:
        async with reading(
            server.url,
            ["ns=1;s=v0"],
            found=str(tmp_path / "a"),
            **more,
            intervals=Intervals(model_pause_s=0.5, model_quiet_s=0.3),
        ) as reader:
            await reader.until(lambda: reader.seen(1))
            server.command(add="new1", value=5)
            await reader.until(lambda: len(reader.events) == 1, 20)
            polls = len(reader.values[0])
            await reader.until(lambda: len(reader.values[0]) > polls + 3)
        monkeypatch.setattr(EventItems, "subscribe", refused)
        async with reading(
            server.url,
            ["ns=1;s=v0"],
            found=str(tmp_path / "b"),
            **more,
            intervals=Intervals(model_pause_s=0.5, model_quiet_s=0.3),
        ) as reader:
            await reader.until(lambda: len(reader.values[0]) > 5)
            server.command(add="new2", value=5)
            await reader.until(lambda: len(reader.events) == 1, 20)
    assert sorted(reader.events[0].names) == ["new1", "new2", "v0"]


async def refused(self, wanted, *, model):
    return [0x800B0000] * (len(wanted) + model)


async def test_a_value_that_says_that_its_unit_has_changed_has_it_asked_again(node, port, store, tmp_path):
    """node-opcua sets SemanticsChanged in the next value; nothing is browsed here, and it has no events of it."""
    nodes = [{"name": "analog", "node": "ns=1;s=analog"}]
    server = NodeServer(node, port, store, count=1, period=50)
    async with (
        server,
        reading(
            server.url, nodes, found=str(tmp_path), refresh="1h", intervals=Intervals(model_pause_s=0.5, model_quiet_s=0.3)
        ) as reader,
    ):
        await reader.until(lambda: reader.seen(1))
        server.command(high=70)
        server.command(set="analog", value=21)
        await reader.until(lambda: bool(reader.events), 20)
        assert [event.names for event in reader.events] == [["analog"]]
    assert (tmp_path / "units" / "plc.csv").read_text().splitlines()[1:] == ["analog,ns=1;s=analog,°C,0 to 70"]


@pytest.mark.parametrize("kind", [2132, 2133, 2738], ids=["base", "general", "semantic"])
async def test_every_kind_of_change_is_understood_beside_other_events(port, tmp_path, kind):
    more = {"browse": {"include": "Line.v*"}, "found": str(tmp_path), "refresh": "1h", "events": [{"severity": 1}]}
    async with (
        AsyncuaServer(port, 2) as server,
        reading(server.url, ["ns=2;s=v0"], **more, intervals=Intervals(model_quiet_s=0.05)) as reader,
    ):
        await reader.until(lambda: reader.seen(1))
        other, change = await server.emitter(2041), await server.emitter(kind)
        await other.trigger(message="something else")
        await reader.until(lambda: bool(reader.events))
        await asyncio.sleep(0.2)  # four times as long as a change waits for the next one
        assert not list(tmp_path.iterdir()), "that was no change of the model"
        await change.trigger(message="the model has changed")
        await reader.until(lambda: len(reader.events) == 3)
    kinds = [event.kind for event in reader.events]
    assert sorted(kinds) == ["model", "opcua_event", "opcua_event"], "who asks for all events gets these, too"
    assert next(e for e in reader.events if e.kind == "model").names == ["Line.v0", "Line.v1"]


@pytest.mark.parametrize("kind", ["BrowseRequest", "BrowseNextRequest"])
async def test_a_server_that_refuses_to_browse_costs_no_tags(node, port, store, tmp_path, kind):
    """What was found before stays: nobody says that it is gone."""
    async with NodeServer(node, port, store, count=150, period=0) as server, Mangler(port) as mangler:
        config = folder(tmp_path, server.url, "{root: /Objects/1:Line, include: v*}")
        await discover_tags(load(config), CLOCK)
        found = (tmp_path / "found" / "line.csv").read_text()
        mangler.request = narrow(kind, 0x801F0000)
        refused = load(folder(tmp_path, f"{mangler.url}/test", "{root: /Objects/1:Line, include: v*}"))
        device = refused.entries[0].config
        with pytest.raises(NotConnected, match=r"/Objects/1:Line cannot be browsed: BadUserAccessDenied: this user may not"):
            await refresh_tags(device, (), CLOCK)
        assert (tmp_path / "found" / "line.csv").read_text() == found
        mangler.request = narrow("", 0)
        assert await refresh_tags(device, (), CLOCK) is None, "all of it, by many calls"


def narrow(kind: str, status: int):
    """Browse ten references at once, so that there is more to be had; refuse one kind of request."""

    def change(request):
        if type(request).__name__ == kind:
            return status
        if isinstance(request, ua.BrowseRequest):
            request.Parameters.RequestedMaxReferencesPerNode = 10
        return None

    return change
