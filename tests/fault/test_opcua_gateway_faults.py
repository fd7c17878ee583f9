"""What may go wrong with OPC UA servers, under the whole gateway: processes, broker, and what a subscriber is told of it."""

import asyncio
import contextlib
import itertools
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.server import uaprocessor

from gateway.sources.opcua.security.certificates import fingerprint
from gateway.sources.opcua.security.pki import Pki
from tests.support.gateway import ROOT, GatewayProcess, Subscriber, write_config
from tests.support.line import QUEUES, impatient
from tests.support.mosquitto import Mosquitto
from tests.support.network import free_port, until
from tests.support.opcua_ledger import told_in
from tests.support.opcua_secure import KEY, SecureServer, certificate, peer
from tests.support.opcua_server import AsyncuaServer
from tests.support.proxy import Proxy

WAIT_S = 60.0
HASTY = f"""
from functools import partial
from gateway.sources.opcua.source import source
from gateway.sources.opcua.source.intervals import Intervals
source.OpcUaSource = partial(source.OpcUaSource, intervals=Intervals(node_retry_s=0.5, check_s=0.2))
{impatient(0.5)}
"""
"""The gateway that asks for refused nodes again at once."""
BASIC = [ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt]


class Heard:
    """What the subscriber knows of the devices."""

    def __init__(self, subscriber: Subscriber, gateway: GatewayProcess) -> None:
        self.subscriber = subscriber
        self._gateway = gateway

    def state(self, device: str) -> tuple[str, str]:
        """State and reason by the newest status."""
        status = self.subscriber.of("/status")
        one = status[-1].payload["devices"].get(device, {}) if status else {}
        return one.get("state", ""), one.get("reason") or ""

    def states(self, device: str) -> list[str]:
        """All that were told, one after the other."""
        return [m.payload["state"] for m in self.subscriber.of(f"/{device}/event") if m.payload["kind"] == "device"]

    def rows(self, device: str, tag: str) -> list[tuple[int, dict[str, Any]]]:
        """(ts in ms, row) of a tag, in the order of their arrival."""
        windows = [m.payload for m in self.subscriber.of(f"/{device}/window")]
        return [(window["ts"], window["tags"][tag]) for window in windows if tag in window["tags"]]

    def says(self, device: str, value: float, tag: str = "v0") -> bool:
        """The tag's last word is this value."""
        rows = self.rows(device, tag)
        return bool(rows) and rows[-1][1]["last"] == value

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait; fail with the end of the gateway's log."""
        try:
            await until(condition, WAIT_S, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._gateway.log()[-4000:]}") from None


@contextlib.asynccontextmanager
async def gateway_with(folder: Path, mosquitto: str, devices: Mapping[str, str]) -> AsyncIterator[Heard]:
    """The gateway with these devices: name to further lines of their files. Each has v0 to v2."""
    (folder / "broker").mkdir()
    broker = Mosquitto(mosquitto, folder / "broker", persistent=True)
    await broker.start(QUEUES)
    tags = "".join(f"  - {{name: v{i}, node: ns=2;s=v{i}, unit: mm, range: 0 to 1}}\n" for i in range(3))
    files = {
        f"{name}.yaml": f"protocol: opcua\ninterval: 100ms\nsampling: 20ms\nqueue_size: 500\ntimeout: 2s\n"
        f"pki: {folder}/pki/{name}\nfound: {folder}/found\n{lines}\ntags:\n{tags}"
        for name, lines in devices.items()
    }
    gateway = GatewayProcess(write_config(folder, broker.url, [], files=files))
    gateway.program = ("-c", HASTY)
    with Subscriber(broker.port) as subscriber, gateway:
        yield Heard(subscriber, gateway)
        assert await asyncio.to_thread(gateway.terminate) == 0, gateway.log()[-3000:]
    broker.stop()


async def test_twenty_servers_of_which_five_are_unreachable(tmp_path, mosquitto, port):
    """The good ones deliver as if they were alone; the others are down with a reason, and come when they are there."""
    async with AsyncuaServer(port, 3) as server:
        silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        ports = [free_port() for _ in range(18)]
        good = [server.url, *[await server.also_at(one) for one in ports[:14]]]
        mute = [f"opc.tcp://127.0.0.1:{silent.sockets[0].getsockname()[1]}"] * 2
        away = [f"opc.tcp://127.0.0.1:{one}" for one in ports[14:17]]
        devices = {f"s{i}": f"url: {url}\nsecurity: none" for i, url in enumerate([*good, *mute, *away])}
        async with gateway_with(tmp_path, mosquitto, devices) as heard:
            await heard.until(lambda: all(heard.says(f"s{i}", 0.0) for i in range(15)), "fifteen deliver")
            reasons = dict.fromkeys((15, 16), "no answer in time") | dict.fromkeys((17, 18, 19), "refused")
            for i, reason in reasons.items():
                await heard.until(lambda i=i, reason=reason: reason in heard.state(f"s{i}")[1], f"s{i} is down: {reason}")
            await server.write(0, 1.0)
            await heard.until(lambda: all(heard.says(f"s{i}", 1.0) for i in range(15)), "fifteen go on")
            assert all(heard.states(f"s{i}") == ["ok"] for i in range(15))
            await server.also_at(ports[14])
            await heard.until(lambda: heard.says("s17", 1.0) and heard.state("s17")[0] == "ok", "one has come")
            assert all(heard.state(f"s{i}")[0] == "down" for i in (15, 16, 18, 19))
        silent.close()


async def test_certificates_untrusted_swapped_and_expired(tmp_path, mosquitto):
    """Each is refused with what to do about it; the command that is named does it, while the gateway runs."""
    (tmp_path / "servers").mkdir()
    folder = tmp_path / "servers"
    before = certificate(KEY)
    old = certificate(KEY, age=timedelta(days=30), valid=timedelta(days=10))
    async with (
        SecureServer(free_port(), folder, BASIC, key=KEY) as untrusted,
        SecureServer(free_port(), folder, BASIC, key=KEY) as swapped,
        SecureServer(free_port(), folder, BASIC, key=KEY, one=old) as expired,
    ):
        Pki(tmp_path / "pki" / "swapped").trust(peer(before))
        Pki(tmp_path / "pki" / "expired").trust(peer(old))
        servers = {"untrusted": untrusted, "swapped": swapped, "expired": expired}
        devices = {name: f"url: {server.url}" for name, server in servers.items()}
        async with gateway_with(tmp_path, mosquitto, devices) as heard:
            for name, part in (
                ("untrusted", untrusted.fingerprint),
                ("swapped", swapped.fingerprint),
                ("expired", "expired on"),
            ):
                await heard.until(lambda name=name, part=part: part in heard.state(name)[1], f"{name} is refused")
            assert fingerprint(before)[:16] in heard.state("swapped")[1]
            _, _, command = heard.state("untrusted")[1].partition("if it is the right one: gateway ")
            done = await asyncio.to_thread(
                subprocess.run, [sys.executable, "-m", "gateway", *shlex.split(command)], cwd=ROOT, capture_output=True
            )
            assert done.returncode == 0, done.stderr
            await heard.until(lambda: heard.says("untrusted", 42.0), "the trusted one delivers")
            assert all(heard.states(name)[-1] == "down" for name in ("swapped", "expired"))


@pytest.mark.filterwarnings("ignore:coroutine 'MonitoredItemService.datachange_callback':RuntimeWarning")
async def test_half_open_connections_deleted_nodes_and_clocks_that_are_off(tmp_path, mosquitto, port, monkeypatch):
    """A connection that stops without a word is noticed and loses nothing; a node that was deleted comes back; the values of
    a server whose clock is an hour ahead have our time."""
    off_port = free_port()
    async with AsyncuaServer(port, 2) as server, AsyncuaServer(off_port, 3) as off, Proxy(port) as proxy:
        shift_clock(monkeypatch, off, timedelta(hours=1))
        await server.add("v2", 5.0)
        devices = {
            "line": f"url: opc.tcp://127.0.0.1:{proxy.port}\nsecurity: none",
            "plc": f"url: {server.url}\nsecurity: none\nsilence: 1s",
            "late": f"url: {off.url}\nsecurity: none",
        }
        async with gateway_with(tmp_path, mosquitto, devices) as heard:
            await heard.until(lambda: all(heard.rows(name, "v0") for name in devices), "all deliver")
            writing = asyncio.create_task(count_up(server))

            proxy.stall()
            await heard.until(lambda: heard.states("line")[-1] == "down", "silence is noticed")
            assert heard.states("plc") == ["ok"]
            proxy.cut()
            proxy.flow()
            await heard.until(lambda: heard.states("line")[-1] == "ok", "the line is back")

            await server.server.delete_nodes([server.server.get_node("ns=2;s=v2")])
            await heard.until(lambda: heard.rows("plc", "v2")[-1][1]["q"] == "bad", "the node is gone")
            assert heard.rows("plc", "v2")[-1][1]["reason"] == "address"
            await server.add("v2", 7.0)
            await heard.until(lambda: heard.says("plc", 7.0, "v2"), "the node is back")

            await off.write(0, 3.0)
            await heard.until(lambda: heard.says("late", 3.0), "the server whose clock is off")
            ts, row = heard.rows("late", "v0")[-1]
            assert (row["q"], row["reason"]) == ("uncertain", "clock")
            assert abs(ts / 1000 - heard.subscriber.of("/late/window")[-1].at) < 600

            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            end = await server.server.get_node("ns=2;s=v0").read_value()
            await heard.until(lambda: heard.says("line", end) and heard.says("plc", end), "the last value")
            for name in ("line", "plc"):
                told = told_in({"ts": ts, "tags": {"v0": row}} for ts, row in heard.rows(name, "v0"))["v0"]
                assert set(told.counted.values()) == {1}
                assert told.counted.keys() | told.in_force == set(range(int(end) + 1)), name


async def count_up(server: AsyncuaServer) -> None:
    """1, 2, 3 ... into v0."""
    for k in itertools.count(1):
        await server.write(0, float(k))
        await asyncio.sleep(0.1)


def shift_clock(monkeypatch, server: AsyncuaServer, by: timedelta) -> None:
    """This server answers with another time."""
    shifted = server.server.iserver
    send = uaprocessor.UaProcessor.send_response

    def late(self: Any, handle: Any, header: Any, response: Any, *rest: Any, **named: Any) -> Any:
        if self.iserver is shifted:
            response.ResponseHeader.Timestamp += by
        return send(self, handle, header, response, *rest, **named)

    monkeypatch.setattr(uaprocessor.UaProcessor, "send_response", late)
