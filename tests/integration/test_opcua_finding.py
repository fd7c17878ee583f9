"""A folder as one entry: found at the start, kept while the server is away, compared while the gateway runs."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from asyncua import ua
from typer.testing import CliRunner

from gateway.app import find_tags
from gateway.cli.main import app
from gateway.core.clock import SystemClock
from gateway.core.errors import NotConnected
from gateway.settings import load
from gateway.sources.opcua.finding import find
from tests.support.opcua_mangler import Mangler
from tests.support.opcua_reader import reading
from tests.support.opcua_server import NodeServer

CLOCK = SystemClock()


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("opcua-store")


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
        settings = await find_tags(load(config), CLOCK)
        names = [tag.name for tag in settings.table.tags]
        assert {*names} == {*(f"v{i}" for i in range(30) if not str(i).startswith("1")), "analog", "mode", "valve"}
        assert [tag.unit for tag in settings.table.tags if tag.name == "analog"] == ["°C"]
        assert (await find_tags(settings, CLOCK)) is settings, "nothing has changed"
        nodes = [tag.node for tag in settings.entries[0].tags]
        async with reading(server.url, nodes) as reader:
            await reader.until(lambda: reader.seen(len(nodes)), 30)
    again = await find_tags(load(config), CLOCK)
    assert [tag.name for tag in again.table.tags] == names


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


async def test_a_type_chooses_the_variables_of_its_objects(node, port, store, tmp_path):
    """Both found objects are of FolderType's supertype BaseObjectType; none is of a type of its own."""
    async with NodeServer(node, port, store, count=3, period=0) as server:
        every = folder(tmp_path / "a", server.url, "{type: /Types/ObjectTypes/BaseObjectType, include: Line.v*}")
        none = folder(tmp_path / "b", server.url, "{type: i=2004, include: Line.v*}")
        assert len((await find_tags(load(every), CLOCK)).table) == 4
        assert len((await find_tags(load(none), CLOCK)).table) == 0


async def test_a_ceiling_holds(node, port, store, tmp_path):
    async with NodeServer(node, port, store, count=30, period=0) as server:
        config = folder(tmp_path, server.url, "[{root: /Objects/1:Line, most: 7}]")
        settings = await find_tags(load(config), CLOCK)
    assert [tag.name for tag in settings.table.tags] == [f"v{i}" for i in range(7)]


async def test_a_wrong_root_costs_nothing_but_a_warning(node, port, store, tmp_path, caplog):
    async with NodeServer(node, port, store, count=3, period=0) as server:
        settings = load(folder(tmp_path, server.url, "{root: /Objects/1:Lane}"))
        assert await find_tags(settings, CLOCK) is settings


async def test_a_bug_in_asking_one_device_does_not_end_the_gateway(tmp_path):
    async def bug(*_):
        raise ZeroDivisionError

    settings = load(folder(tmp_path, "opc.tcp://127.0.0.1:1", "{root: i=85}"))
    broken = replace(settings, kinds=tuple(replace(kind, find=bug) for kind in settings.kinds))
    assert await find_tags(broken, CLOCK) is broken


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
    told = [(event.kind, event.detail["added"], event.detail["removed"]) for event in reader.events]
    assert told == [("model", 4, 0), ("model", 1, 0), ("model", 0, 1)]
    assert reader.events[1].detail["names"] == ["new1"]


@pytest.mark.parametrize("kind", ["BrowseRequest", "BrowseNextRequest"])
async def test_a_server_that_refuses_to_browse_costs_no_tags(node, port, store, tmp_path, kind):
    """What was found before stays: nobody says that it is gone."""
    async with NodeServer(node, port, store, count=150, period=0) as server, Mangler(port) as mangler:
        config = folder(tmp_path, server.url, "{root: /Objects/1:Line, include: v*}")
        await find_tags(load(config), CLOCK)
        found = (tmp_path / "found" / "line.csv").read_text()
        mangler.request = narrow(kind, 0x801F0000)
        refused = load(folder(tmp_path, f"{mangler.url}/test", "{root: /Objects/1:Line, include: v*}"))
        device = refused.entries[0].config
        with pytest.raises(NotConnected, match=r"/Objects/1:Line cannot be browsed: BadUserAccessDenied: this user may not"):
            await find(device, CLOCK)
        assert (tmp_path / "found" / "line.csv").read_text() == found
        mangler.request = narrow("", 0)
        assert await find(device, CLOCK) is None, "all of it, by many calls"


def narrow(kind: str, status: int):
    """Browse ten references at once, so that there is more to be had; refuse one kind of request."""

    def change(request):
        if type(request).__name__ == kind:
            return status
        if isinstance(request, ua.BrowseRequest):
            request.Parameters.RequestedMaxReferencesPerNode = 10
        return None

    return change
