"""A server whose nodes change, under the whole gateway: found, told, and taken where that is wanted."""

import asyncio
import itertools
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.audit.ledger import Ledger
from tests.support.gateway import Got
from tests.support.line import running_line
from tests.support.network import free_port, until
from tests.support.opcua_server import AsyncuaServer


@asynccontextmanager
async def plant(folder: Path, mosquitto: str, on_change: str):
    """The usual line, and beside it a server of which a folder is browsed."""
    async with AsyncuaServer(free_port(), 2) as server, running_line(folder, mosquitto) as line:
        browse_server(line, server, "/Objects/2:Line", on_change)
        await eventually(line, lambda: shown(line) == {"v0", "v1"}, 30)
        yield server, line


def browse_server(line, server: AsyncuaServer, root: str, on_change: str) -> None:
    """One device more, and a new start."""
    (line.gateway.config / "devices" / "server.yaml").write_text(
        f"protocol: opcua\nurl: {server.url}\nsecurity: none\ninterval: 200ms\n"
        f"found: {line.gateway.config.parent / 'found'}\nbrowse: {{root: {root}, on_change: {on_change}}}\n"
    )
    line.gateway.terminate()
    line.gateway.start()


async def eventually(line, condition, deadline_s: float = 60.0) -> None:
    """As `until`, with the gateway's log where it fails."""
    try:
        await until(condition, deadline_s)
    except AssertionError:
        raise AssertionError(line.gateway.log()[-3000:]) from None


def shown(line) -> set[str]:
    """The server's tags in its newest window."""
    return {name for window in line.windows("server")[-1:] for name in window.payload["tags"]}


def models(line) -> list[Got]:
    return [m for m in line.subscriber.of("/server/event") if m.payload["kind"] == "model"]


async def add(server: AsyncuaServer, name: str) -> None:
    """A variable of the line, as an engineer loads it into the controller: the server says so."""
    parent = await server.server.nodes.objects.get_child("2:Line")
    await parent.add_variable(f"ns=2;s={name}", f"2:{name}", 7.0)
    await (await server.emitter(2133)).trigger(message="the model has changed")


async def flap(server: AsyncuaServer) -> None:
    """A controller whose model never comes to rest: other nodes each time it is looked at, and it says so all the time."""
    for number in itertools.count(100):
        await add(server, f"v{number}")
        await asyncio.sleep(0.2)


async def test_a_new_node_is_a_tag_without_anybody_touching_the_gateway(tmp_path: Path, mosquitto: str) -> None:
    """In the same run, at once; no other device notices; events say so; every message arrives."""
    async with plant(tmp_path, mosquitto, "take") as (server, line):
        boot = line.windows("server")[-1].payload["boot"]
        await add(server, "v2")
        await eventually(line, lambda: shown(line) == {"v0", "v1", "v2"}, 60)
        assert line.windows("server")[-1].payload["tags"]["v2"]["last"] == 7.0
        assert line.windows("server")[-1].payload["boot"] == boot
        (event,) = models(line)
        assert (event.payload["taken"], event.payload["names"]) == (True, ["v2"])
        (taken,) = [m.payload for m in line.subscriber.of("/test/event") if m.payload["kind"] == "reload"]
        assert (taken["result"], taken["reason"]) == ("applied", "the tags of server have changed")
        assert taken["changes"] == ["server is changed: 1 tag new (v2)"]
        await line.more_windows(2)
        starts = [m.payload["ts"] for m in line.windows() if m.payload["boot"] == boot]
        assert starts == list(range(starts[0], starts[0] + 1000 * len(starts), 1000))
        ledger = Ledger(from_start=True)
        for m in line.subscriber.messages:
            if not m.retain and m.topic.endswith(("/window", "/event", "/summary")):
                ledger.add(m.topic, m.payload, is_repeated=m.dup, is_kept=False)
        report = ledger.report()
        assert report.complete, report
        flapping = asyncio.create_task(flap(server))
        await eventually(line, lambda: len(models(line)) >= 2, 90)
        await line.more_windows(3)
        flapping.cancel()
        assert line.gateway.terminate() == 0, "a stop does not wait for it"


async def test_a_change_is_only_told_unless_more_is_wanted(tmp_path: Path, mosquitto: str) -> None:
    async with plant(tmp_path, mosquitto, "tell") as (server, line):
        boot = line.windows("server")[-1].payload["boot"]
        await add(server, "v2")
        await eventually(line, lambda: bool(models(line)), 60)
        await line.more_windows(3)
        assert "taken" not in models(line)[0].payload
        assert shown(line) == {"v0", "v1"}
        assert line.windows()[-1].payload["boot"] == boot
        line.gateway.terminate()
        line.gateway.start()
        await eventually(line, lambda: shown(line) == {"v0", "v1", "v2"}, 30)


async def test_a_configuration_that_is_bad_by_then_does_not_replace_the_good_one(tmp_path: Path, mosquitto: str) -> None:
    """A fault of another device hinders nothing, and that device goes on as it runs."""
    async with plant(tmp_path, mosquitto, "restart") as (server, line):
        boot = line.windows("server")[-1].payload["boot"]
        press = line.gateway.config / "devices" / "press.yaml"
        press.write_text(press.read_text() + "nonsense: 1\n")
        await add(server, "v2")
        await eventually(line, lambda: shown(line) == {"v0", "v1", "v2"}, 60)
        await line.more_windows(3)
        assert line.windows()[-1].payload["boot"] == boot


@pytest.mark.parametrize("on_change", ["tell", "take"])
async def test_a_root_that_is_not_there_is_told_until_it_is(tmp_path: Path, mosquitto: str, on_change: str) -> None:
    """A misspelt or missing folder: the device is connected and has no tags, so nothing else would say so."""
    async with AsyncuaServer(free_port(), 2) as server, running_line(tmp_path, mosquitto) as line:
        browse_server(line, server, "/Objects/2:Line/2:Cell", on_change)

        def state() -> dict[str, str]:
            online = [m.payload for m in line.subscriber.of("/status") if m.payload["state"] == "online"]
            return online[-1]["devices"].get("server", {}) if online else {}

        await eventually(line, lambda: "is not there" in state().get("reason", ""))
        assert state()["state"] == "degraded"
        assert "browse has found no tags: /Objects/2:Line/2:Cell is not there: BadNoMatch" in state()["reason"]
        assert "gateway browse shows what is there" in state()["reason"]

        def told() -> list[tuple[str, str]]:
            events = [m.payload for m in line.subscriber.of("/server/event") if m.payload["kind"] == "device"]
            return [(event["state"], event["reason"]) for event in events]

        await eventually(line, lambda: ("degraded", state()["reason"]) in told(), 20)

        parent = await server.server.nodes.objects.get_child("2:Line")
        cell = await parent.add_object("ns=2;s=cell", "2:Cell")
        await cell.add_variable("ns=2;s=torque", "2:torque", 7.0)
        await (await server.emitter(2133)).trigger(message="the model has changed")
        if on_change == "take":
            await eventually(line, lambda: shown(line) == {"torque"}, 100)
            await eventually(line, lambda: state().get("state") == "ok")
            return
        await eventually(line, lambda: "taken at the next start" in state().get("reason", ""), 100)
        assert state()["state"] == "degraded"
        line.gateway.terminate()
        line.gateway.start()
        await eventually(line, lambda: shown(line) == {"torque"}, 30)
        await eventually(line, lambda: state().get("state") == "ok")
