"""The whole process: 10,000 tags at one sample a second from simulated servers, a real mosquitto, a foreign subscriber."""

import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

from tests.bench.figures import Bench, Figure
from tests.bench.servers import ALARM_AT
from tests.support.gateway import GatewayProcess, Got, Modbus, Subscriber, write_config
from tests.support.mosquitto import Mosquitto
from tests.support.network import free_port

_MODBUS_DEVICES, _PER_DEVICE, _NODES = 80, 100, 2000
_SETTLE_S, _MEASURE_S = 10, 30


def _config(folder: Path, broker: str, modbus_port: int, opcua_port: int) -> Path:
    devices = [Modbus(f"m{i:02}", f"tcp://127.0.0.1:{modbus_port}", _PER_DEVICE, unit=i + 1) for i in range(_MODBUS_DEVICES)]
    rows = "".join(f"n{i},ns=2;s=n{i}\n" for i in range(_NODES))
    config = write_config(
        folder,
        broker,
        devices,
        root="defaults:\n  deadband: 0.2%\nalarms:\n  hold_chattering: false\n  most: 100000\n",
        files={
            "server.yaml": f"protocol: opcua\nurl: opc.tcp://127.0.0.1:{opcua_port}/bench/\nsecurity: none\n"
            f"found: {folder / 'found'}\ntag_file: server.csv\n"
        },
    )
    (config / "tags" / "server.csv").write_text("name,node\n" + rows)
    for path in (config / "tags").glob("m*.csv"):
        lines = path.read_text().splitlines()
        lines[0] += ",hi,off_delay"
        lines[1] += f",{ALARM_AT:g},0s"
        path.write_text("\n".join(lines) + "\n")
    return config


class _Rig:
    """Servers, broker, subscriber and gateway, all processes of their own but for the subscriber's thread."""

    def __init__(self, folder: Path) -> None:
        binary = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin")
        assert binary, "mosquitto is needed: make servers"
        self.folder = folder
        (folder / "broker").mkdir()
        self.broker = Mosquitto(binary, folder / "broker")
        self.ports = free_port(), free_port()
        self.servers = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.servers", *map(str, self.ports), str(_NODES)], stdout=subprocess.PIPE
        )
        assert self.servers.stdout is not None
        self.servers.stdout.readline()
        asyncio.run(self.broker.start("max_queued_messages 100000"))
        self.gateway = GatewayProcess(_config(folder, self.broker.url, *self.ports))

    def close(self) -> None:
        self.gateway.kill()
        self.servers.kill()
        self.servers.wait()
        self.broker.stop()


def _first_values(subscriber: Subscriber) -> float | None:
    """When the first window arrived that rests on samples."""
    windows = subscriber.of("/window")
    return next((m.at for m in windows if any(tag["n"] for tag in m.payload["tags"].values())), None)


def _disk_bytes(process: psutil.Process) -> int:
    return int(process.io_counters().write_bytes)


def _measure() -> Iterator[Figure]:
    tags = _MODBUS_DEVICES * _PER_DEVICE + _NODES
    on = (
        f"{tags:,} tags at 1/s: {_MODBUS_DEVICES} Modbus devices x {_PER_DEVICE} float32, {_NODES:,} OPC UA nodes, mosquitto"
    )
    with tempfile.TemporaryDirectory() as name:
        rig = _Rig(Path(name))
        try:
            with Subscriber(rig.broker.port, "plant/#") as subscriber:
                begin = time.time()
                rig.gateway.start()
                while (first := _first_values(subscriber)) is None:
                    assert time.time() - begin < 30, rig.gateway.log()
                    time.sleep(0.01)
                yield Figure("start_to_first_window_s", first - begin, "s", f"{on}; the first window with values", "< 3")
                yield from _online(rig, subscriber, tags, on)
                yield from _offline(rig, on)
        finally:
            rig.close()


def _online(rig: _Rig, subscriber: Subscriber, tags: int, on: str) -> Iterator[Figure]:
    assert rig.gateway.process is not None
    process = psutil.Process(rig.gateway.process.pid)
    time.sleep(_SETTLE_S)
    begin, cpu, disk = time.monotonic(), process.cpu_times(), _disk_bytes(process)
    since = time.time()
    time.sleep(_MEASURE_S)
    took = time.monotonic() - begin
    cpu_now = process.cpu_times()
    share = (cpu_now.user + cpu_now.system - cpu.user - cpu.system) / took * 100
    yield Figure("process_cpu_share", share, "% of one core", f"{on}, {_MEASURE_S} s")
    yield Figure("disk_bytes_per_s_online", (_disk_bytes(process) - disk) / took, "B/s", on)
    alarms = [
        (m.at - m.payload["ts"] / 1e3) * 1e3
        for m in subscriber.of("/event")
        if m.payload["kind"] == "alarm" and m.at > since
    ]
    about = f"{on}; {len(alarms)} alarms, from the sample's time to the subscriber's callback"
    yield Figure("alarm_latency_p99_ms", float(np.percentile(alarms, 99)), "ms", about)
    yield from _upstream(subscriber, since, since + took, tags, on)


def _upstream(subscriber: Subscriber, since: float, until: float, tags: int, on: str) -> Iterator[Figure]:
    """Payload bytes per sample. Summaries come all together once a minute, so they are not measured over a part of one."""
    deadline = time.time() + 70
    summaries: list[Got] = []
    while sum(len(m.payload["tags"]) for m in summaries) < tags:
        assert time.time() < deadline, "no summaries within a minute"
        time.sleep(0.1)
        summaries = _newest(subscriber.of("/summary"))
    summary = sum(m.size for m in summaries) / tags / 60
    others = [m.size for m in list(subscriber.messages) if since <= m.at < until and not m.topic.endswith("/summary")]
    rest = sum(others) / tags / (until - since)
    about = f"{on}, noise 0.05 %, deadband 0.2 %; windows and events {rest:.2f}, summaries of a whole minute {summary:.2f}"
    yield Figure("upstream_bytes_per_sample", rest + summary, "B/sample", about)


def _newest(messages: list[Got]) -> list[Got]:
    """Those of the last window there is."""
    newest = max((m.payload["ts"] for m in messages), default=0)
    return [m for m in messages if m.payload["ts"] == newest]


def _offline(rig: _Rig, on: str) -> Iterator[Figure]:
    assert rig.gateway.process is not None
    process = psutil.Process(rig.gateway.process.pid)
    rig.broker.stop()
    time.sleep(3)
    begin, disk = time.monotonic(), _disk_bytes(process)
    time.sleep(_MEASURE_S)
    yield Figure("disk_bytes_per_s_offline", (_disk_bytes(process) - disk) / (time.monotonic() - begin), "B/s", on)
    status = Path(f"/proc/{process.pid}/status").read_text()
    peak_kb = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    yield Figure("process_rss_mb", peak_kb / 1024, "MiB (peak)", f"{on}, broker away at the end", "< 150")


BENCHES = (
    Bench(
        (
            "start_to_first_window_s",
            "process_cpu_share",
            "upstream_bytes_per_sample",
            "disk_bytes_per_s_online",
            "alarm_latency_p99_ms",
            "disk_bytes_per_s_offline",
            "process_rss_mb",
        ),
        _measure,
    ),
)
