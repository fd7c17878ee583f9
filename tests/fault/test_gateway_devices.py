"""Devices that are not there, go away and come back, under the whole gateway."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support.line import running_line
from tests.support.network import free_port, until


def quality(line, device: str, tag: str) -> list[tuple[str, str | None, int]]:
    """(q, reason, n) of a tag in the windows of a device so far."""
    windows = [m.payload["tags"].get(tag) for m in line.windows(device)]
    return [(w["q"], w.get("reason"), w["n"]) for w in windows if w]


def states(line, device: str) -> list[str]:
    """States of a device in the statuses so far."""
    return [m.payload["devices"].get(device, {}).get("state", "") for m in line.subscriber.of("/status")]


class OpcUaServer:
    """asyncua's server as a process: nodes ns=2;s=n0.. of type Double that change every second."""

    def __init__(self, nodes: int = 50) -> None:
        self.port, self._modbus, self._nodes = free_port(), free_port(), nodes
        self._process: subprocess.Popen[bytes] | None = None
        self._found = tempfile.TemporaryDirectory()

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.bench.servers", str(self._modbus), str(self.port), str(self._nodes)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def device_file(self) -> str:
        tags = "".join(f"  - {{name: n{i}, node: ns=2;s=n{i}}}\n" for i in range(self._nodes))
        head = f"protocol: opcua\nurl: opc.tcp://127.0.0.1:{self.port}/bench/\nsecurity: none\ntimeout: 3s\n"
        return f"{head}found: {self._found.name}\ntags:\n{tags}"


@pytest.fixture
def opcua_server():
    server = OpcUaServer()
    yield server
    server.kill()


async def test_a_device_that_leaves_is_bad_at_once_and_hurts_nobody(tmp_path: Path, mosquitto: str, opcua_server) -> None:
    """Both servers are taken away in turn and brought back: bad with a reason meanwhile, the other device unmoved."""
    opcua_server.start()
    async with running_line(tmp_path, mosquitto) as line:
        (line.gateway.config / "devices" / "server.yaml").write_text(opcua_server.device_file())
        line.gateway.terminate()
        line.gateway.start()
        await until(lambda: ("good", None, 1) in quality(line, "server", "n0"), 20, "OPC UA values")

        opcua_server.kill()
        await until(
            lambda: quality(line, "server", "n0")[-1] == ("bad", "not_connected", 0), 20, "bad windows of the server"
        )
        assert states(line, "server")[-1] == "down"
        begin = len(line.windows())
        await line.more_windows(3)
        assert all(w.payload["tags"]["t0"]["q"] == "good" for w in line.windows()[begin:])
        opcua_server.start()
        await until(lambda: states(line, "server")[-1] == "ok", 30, "the server is back")
        await until(lambda: quality(line, "server", "n0")[-1][0] == "good", 20, "good values again")

        await line.device.stop()
        await until(lambda: quality(line, "press", "t0")[-1] == ("bad", "not_connected", 0), 20, "bad windows of the press")
        begin = len(line.windows("server"))
        await until(lambda: len(line.windows("server")) > begin + 2, 20, "windows of the server go on")
        await line.device.start()
        await until(lambda: quality(line, "press", "t0")[-1][0] == "good", 20, "the press is back")
        await until(lambda: states(line, "press")[-1] == "ok", 20, "all of its requests are answered")
        kinds = [(m.payload["kind"], m.payload["state"]) for m in line.subscriber.of("/press/event")]
        assert ("device", "down") in kinds


async def test_a_device_that_is_not_there_at_the_start_says_so_and_comes_later(
    tmp_path: Path, mosquitto: str, opcua_server
) -> None:
    """Its tags are bad with a reason from the first window on; the other device starts as if nothing were wrong."""
    async with running_line(tmp_path, mosquitto) as line:
        (line.gateway.config / "devices" / "server.yaml").write_text(opcua_server.device_file())
        line.gateway.terminate()
        line.gateway.start()
        await until(lambda: quality(line, "server", "n0")[-1:] == [("bad", "not_connected", 0)], 20, "bad windows")
        await line.more_windows(2)
        assert states(line, "server")[-1] == "down"
        assert states(line, "press")[-1] == "ok"
        opcua_server.start()
        await until(lambda: quality(line, "server", "n0")[-1][0] == "good", 60, "values once the server is there")
