"""The demo as a user runs it, and its simulated devices read by the gateway's own sources."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from gateway.core.messages import DeviceState
from gateway.core.quality import GOOD_FROM
from gateway.demo.modbus_device import SimulatedModbusDevice
from gateway.demo.opcua_server import SimulatedOpcUaServer
from gateway.demo.plant import PressLine
from gateway.demo.ports import PortTaken, choose_ports, is_free
from gateway.demo.scene import shipped_config
from gateway.settings import load
from tests.support.gateway import Subscriber
from tests.support.network import free_port
from tests.support.watermarks_fake import services

SIMULATORS = {"press": SimulatedModbusDevice, "line": SimulatedOpcUaServer}


class Demo:
    """A running `gateway demo`, in a process group of its own like a shell's foreground job."""

    def __init__(self, log: Path, *options: str) -> None:
        self._log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "demo", *options], stdout=out, stderr=out, process_group=0
            )

    @property
    def text(self) -> str:
        return self._log.read_text(errors="replace")

    def says(self, words: str, deadline_s: float = 60) -> None:
        end = time.monotonic() + deadline_s
        while words not in self.text:
            assert self.process.poll() is None, self.text
            assert time.monotonic() < end, self.text
            time.sleep(0.05)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


def test_a_bounded_run_ends_well(tmp_path):
    demo = Demo(tmp_path / "log", "--seconds", "28")
    assert demo.process.wait(90) == 0, demo.text
    assert "ALARM  vib_bearing" in demo.text
    assert "no gap, no unexplained duplicate" in demo.text
    assert "\x1b" not in demo.text, "no control codes where there is no terminal"


def test_ctrl_c_ends_everything_in_order(tmp_path):
    demo = Demo(tmp_path / "log")
    demo.says(" tags  oil_temp")
    children = demo.children()
    port = int(re.search(r"gateway tail --broker mqtt://127.0.0.1:(\d+)", demo.text)[1])
    with Subscriber(port) as subscriber:  # ends with an error if a message does not keep the published schema
        until = time.monotonic() + 30
        while len(subscriber.of("/window")) < 4:
            assert time.monotonic() < until, demo.text
            time.sleep(0.05)
    os.killpg(demo.process.pid, signal.SIGINT)
    assert demo.process.wait(30) == 0, demo.text
    assert "is offline" in demo.text
    assert "Complete: " in demo.text
    assert "Traceback" not in demo.text
    assert not psutil.wait_procs(children, timeout=5)[1], "no process is left behind"


def test_a_gateway_that_dies_ends_the_demo_with_1_and_its_log(tmp_path):
    demo = Demo(tmp_path / "log")
    demo.says(" tags  oil_temp")
    next(child for child in demo.children() if "run" in child.cmdline()).kill()
    assert demo.process.wait(30) == 1
    assert "the gateway ended by itself" in demo.text
    assert "event=running" in demo.text


def test_a_configuration_that_cannot_be_used_is_2(tmp_path):
    (tmp_path / "gateway.yaml").write_text("nam: x\n")
    demo = Demo(tmp_path / "log", "--config", str(tmp_path))
    assert demo.process.wait(30) == 2
    assert "expected name?" in demo.text


@pytest.mark.parametrize("device", SIMULATORS)
async def test_a_source_reads_what_the_plant_says(device, monkeypatch):
    port = free_port()
    scheme = {"press": "tcp", "line": "opc.tcp"}[device]
    monkeypatch.setenv(f"GATEWAY__DEVICES__{device.upper()}__URL", f"{scheme}://127.0.0.1:{port}")
    settings = load(shipped_config())
    number = settings.table.devices.index(device)
    entry = settings.entries[number]
    plant = {name.partition("/")[2]: value for name, value in PressLine(1).at(5.0).items() if name.startswith(f"{device}/")}
    (source,) = settings.plugins[number].build([entry], services())
    seen: dict[int, float] = {}
    async with SIMULATORS[device](entry.config, entry.tags, lambda: plant, port), asyncio.timeout(20):
        await source.open()
        while len(seen) < len(entry.tags):
            block = await source.read()
            if not isinstance(block, DeviceState):
                assert (block.quality >= GOOD_FROM).all()
                seen |= dict(zip(block.tag.tolist(), block.value.tolist(), strict=True))
        await source.close()
    for row, tag in enumerate(entry.tags):
        tolerance = max(abs(getattr(tag, "scale", 1)), 1e-4) if hasattr(tag, "address") else 1e-9
        assert seen[entry.first_tag + row] == pytest.approx(float(plant[tag.name]), abs=tolerance), tag.name


@pytest.mark.parametrize("device", SIMULATORS)
async def test_a_simulator_says_that_its_port_is_taken(device):
    settings = load(shipped_config())
    entry = settings.entries[settings.table.devices.index(device)]
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(PortTaken, match=str(port)):
        await SIMULATORS[device](entry.config, entry.tags, dict, port).__aenter__()
    server.close()


def test_a_second_demo_gets_other_ports():
    wanted = free_port()
    with choose_ports([wanted, wanted, 0]) as ports:
        assert len(set(ports)) == 3
        assert all(map(is_free, ports))
        with choose_ports([wanted]) as others:
            assert others[0] not in ports


def test_a_killed_demo_leaves_nothing_behind(tmp_path):
    """SIGKILL of the demo: broker and gateway end by themselves."""
    demo = Demo(tmp_path / "log")
    demo.says(" tags  oil_temp")
    children = demo.children()
    assert len(children) == 2
    demo.process.kill()
    demo.process.wait(10)
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
