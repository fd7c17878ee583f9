"""A server that numbers its nodes in the order of their creation, and creates them in another order after a restart.

No value is ever good under the name of another node: what was found is found again by its browse path, in every new session;
a NodeId of the configuration whose node has another name than before is bad, with the reason.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from asyncua import Node, Server, ua

from gateway.core.clock import SystemClock
from gateway.core.errors import NotConnected
from gateway.core.quality import GOOD_FROM, Quality
from gateway.sources.opcua.plugin import OpcUaPlugin
from gateway.sources.opcua.source.source import OpcUaSource
from gateway.sources.opcua.source.tag_discovery import found_path
from tests.support.opcua_fake import entry
from tests.support.opcua_reader import Reader, make_source
from tests.support.opcua_server import AsyncuaServer

VALUES = {"Temp": 20.0, "Press": 5.0, "Cycles": 1000.0}
FIRST, LATER = ["Temp", "Press", "Cycles"], ["Cycles", "Temp", "Press"]


class NumberingServer(AsyncuaServer):
    """names: of the variables of ns=2;i=1000 (Line/Cell), in the order of their numbers from 1001 on."""

    def __init__(self, port: int) -> None:
        super().__init__(port, 0)
        self.names: Sequence[str] = FIRST

    async def fill(self, server: Server, line: Node) -> None:
        cell = await line.add_object(ua.NodeId(1000, self._index), f"{self._index}:Cell")
        for number, name in enumerate(self.names, 1001):
            await cell.add_variable(ua.NodeId(number, self._index), f"{self._index}:{name}", VALUES[name])


async def drive(source: OpcUaSource, reader: Reader, server: NumberingServer, names: Sequence[str], wanted: int) -> None:
    """Read until `wanted` tags have values, restart the server with other numbers, read until they have news."""
    await source.open()
    await reader.until(lambda: sum(bool(reader.good(tag)) for tag in range(3)) == 3, 30)
    await server.stop()
    with contextlib.suppress(NotConnected):
        await reader.until(lambda: False, 10)
    await source.close()
    server.names = names
    await server.start()
    before = [len(reader.values[tag]) for tag in range(3)]
    for _ in range(5):
        try:
            await source.open()
            await reader.until(lambda: sum(len(reader.values[tag]) > before[tag] for tag in range(3)) >= wanted, 30)
            break
        except NotConnected:
            await source.close()
            await asyncio.sleep(0.2)


def assert_only_its_own(reader: Reader, names: Sequence[str]) -> None:
    for tag, name in enumerate(names):
        assert set(reader.good(tag)) == {VALUES[name]}, f"{name} has values of another node"


async def found_nodes(url: str, folder: Path, root: str) -> dict[str, str]:
    device = entry(nodes=[], url=url, browse={"root": root}, found=str(folder)).config
    await OpcUaPlugin().discover_tags(device, [], SystemClock())
    path = found_path(device)
    assert path is not None
    rows = [row.split(",") for row in path.read_text().splitlines()[1:]]
    return {row[0]: row[1] for row in rows}


@pytest.mark.parametrize("mode", ["subscribe", "poll"])
@pytest.mark.parametrize("root", ["/Objects/2:Line/2:Cell", "ns=2;i=1000", "i=85"])
async def test_what_was_found_is_read_under_its_right_name_after_a_restart(
    port: int, tmp_path: Path, mode: str, root: str
) -> None:
    async with NumberingServer(port) as server:
        nodes = await found_nodes(server.url, tmp_path, root)
        names = [name.rpartition(".")[2] for name in nodes]
        assert sorted(names) == sorted(FIRST)
        source = make_source(server.url, list(nodes.values()), mode=mode)
        reader = Reader(source)
        try:
            await drive(source, reader, server, LATER, 3)
        finally:
            await source.close()
        assert_only_its_own(reader, names)


async def test_a_root_whose_number_is_another_folder_now_is_not_taken_for_the_first(port: int, tmp_path: Path) -> None:
    """Two machines with the same names below them change places while nobody looks."""

    class Machines(AsyncuaServer):
        machines: Sequence[str] = ("Press1", "Press2")

        async def fill(self, server: Server, line: Node) -> None:
            for number, machine in enumerate(self.machines, 1000):
                folder = await line.add_object(ua.NodeId(number, self._index), f"{self._index}:{machine}")
                await folder.add_variable(ua.NodeId(f"{machine}.Temp", self._index), f"{self._index}:Temp", 1.0)

    server = Machines(port, 0)
    async with server:
        before = await found_nodes(server.url, tmp_path, "ns=2;i=1000")
        assert before["Temp"].endswith("s=Press1.Temp")
        await server.stop()
        server.machines = ("Press2", "Press1")
        await server.start()
        with pytest.raises(NotConnected, match=r"ns=2;i=1000 is another node than before: it was /Objects/.*Press1"):
            await found_nodes(server.url, tmp_path, "ns=2;i=1000")
        (kept,) = tmp_path.glob("*.csv")
        assert "Press1.Temp" in kept.read_text()
        (tmp_path / "roots" / "plc.json").unlink()
        after = await found_nodes(server.url, tmp_path, "ns=2;i=1000")
        assert after["Temp"].endswith("s=Press2.Temp")


@pytest.mark.parametrize("mode", ["subscribe", "poll"])
async def test_what_was_found_and_is_gone_is_bad(port: int, tmp_path: Path, mode: str) -> None:
    async with NumberingServer(port) as server:
        nodes = await found_nodes(server.url, tmp_path, "/Objects/2:Line")
        source = make_source(server.url, list(nodes.values()), mode=mode)
        reader = Reader(source)
        try:
            await drive(source, reader, server, ["Cycles", "Press"], 3)
        finally:
            await source.close()
        names = [name.rpartition(".")[2] for name in nodes]
        assert_only_its_own(reader, names)
        assert reader.qualities[names.index("Temp")][-1] == Quality.BAD_ADDRESS
        assert reader.qualities[names.index("Cycles")][-1] >= GOOD_FROM


@pytest.mark.parametrize("mode", ["subscribe", "poll"])
async def test_a_configured_number_that_means_another_node_is_bad(port: int, mode: str) -> None:
    """Cycles and Press change places, Temp keeps its number."""
    async with NumberingServer(port) as server:
        source = make_source(server.url, [f"ns=2;i={1001 + i}" for i in range(3)], mode=mode)
        reader = Reader(source)
        try:
            await drive(source, reader, server, ["Temp", "Cycles", "Press"], 3)
        finally:
            await source.close()
        assert_only_its_own(reader, FIRST)
        assert [reader.qualities[tag][-1] for tag in (1, 2)] == [Quality.BAD_ADDRESS] * 2
        assert reader.qualities[0][-1] >= GOOD_FROM
        assert "gives this NodeId to another node" in " ".join(state.reason for state in reader.states)
