"""The whole gateway as a process, and a subscriber that forgets nothing: for end-to-end tests and benches."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.encoding.formats import read_document
from tests.support.schemas import fault_of

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Modbus:
    """A Modbus device whose tag t{i} is the float32 at holding register 2 i."""

    name: str
    url: str
    tags: int
    unit: int = 1
    interval: str = "1s"
    extra: str = ""


def write_config(
    folder: Path, broker: str, devices: Sequence[Modbus], *, root: str = "", files: dict[str, str] | None = None
) -> Path:
    """A configuration folder with an outbox beside it. root: more lines of gateway.yaml; files: further device files."""
    config = folder / "config"
    (config / "devices").mkdir(parents=True, exist_ok=True)
    (config / "tags").mkdir(exist_ok=True)
    outbox = folder / "outbox.db"
    (config / "gateway.yaml").write_text(
        f"name: test\nmqtt:\n  url: {broker}\n  keepalive: 5s\n  timeout: 2s\n"
        f"outbox:\n  path: {outbox}\n  keep_free: 0B\n{root}\n"
    )
    for device in devices:
        (config / "devices" / f"{device.name}.yaml").write_text(
            f"protocol: modbus\nurl: {device.url}\nunit: {device.unit}\ninterval: {device.interval}\n"
            f"tag_file: {device.name}.csv\n{device.extra}\n"
        )
        rows = "".join(f"t{i},holding:{2 * i},float32\n" for i in range(device.tags))
        (config / "tags" / f"{device.name}.csv").write_text("name,address,type\n" + rows)
    for name, text in (files or {}).items():
        (config / "devices" / name).write_text(text)
    return config


class GatewayProcess:
    """`gateway run` on a configuration; may be started again after every end."""

    def __init__(self, config: Path, **environ: str) -> None:
        self.config = config
        self.log_path = config.parent / "gateway.log"
        self._environ = os.environ | {"PYTHONUNBUFFERED": "1"} | environ
        self.process: subprocess.Popen[bytes] | None = None
        self.program: tuple[str, ...] = ("-m", "gateway")

    def start(self) -> None:
        """Start it; returns at once."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.program, "run", "--config", str(self.config)],
                stdout=log, stderr=log, env=self._environ, cwd=ROOT,
            )  # fmt: skip

    def terminate(self, deadline_s: float = 60.0) -> int:
        """SIGTERM and wait; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(deadline_s)

    def kill(self) -> None:
        """SIGKILL and wait."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)

    def log(self) -> str:
        """What it has said so far, over all starts."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def __enter__(self) -> "GatewayProcess":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.kill()


@dataclass(frozen=True, slots=True)
class Got:
    """One received message; at: wall time of its arrival in seconds."""

    topic: str
    payload: Any
    retain: bool
    at: float
    size: int
    dup: bool = False
    qos: int = 0


class Subscriber:
    """A foreign view on the broker (paho's own threads, a persistent session): every message of every topic, in order."""

    def __init__(self, port: int, topic: str = "#", *, keep: bool = True, of_contract: bool = True) -> None:
        """of_contract: payloads have to keep the published schema."""
        self.messages: list[Got] = []
        self.faults: list[str] = []
        """What does not keep the published schema."""
        self.count = self.bytes = 0
        self._keep = keep
        self._of_contract = of_contract
        self._topic = topic
        self._lock = threading.Lock()
        self._subscribed = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, f"sub-{os.getpid()}-{port}", protocol=paho.MQTTv5)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        self._client.connect("127.0.0.1", port, keepalive=5, clean_start=False, properties=properties)
        self._client.loop_start()

    def wait_ready(self) -> "Subscriber":
        assert self._subscribed.wait(10), "no SUBACK"
        return self

    def _on_connect(self, client: paho.Client, *_: object) -> None:
        client.subscribe(self._topic, qos=1)

    def _on_message(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        if message.topic.endswith("/raw/request"):  # of others, and possibly nonsense
            return
        foreign = message.topic.startswith("spBv1.0/")  # Sparkplug: kept as bytes
        body = message.payload if foreign else read_document(message.payload) if message.payload else None
        got = Got(message.topic, body, message.retain, time.time(), len(message.payload), message.dup, message.qos)
        fault = fault_of(got.topic, body) if message.payload and not foreign and self._of_contract else ""
        with self._lock:
            self.faults += [fault] if fault and len(self.faults) < 100 else []
            self.count += 1
            self.bytes += got.size
            if self._keep:
                self.messages.append(got)

    def of(self, suffix: str) -> list[Got]:
        """Messages whose topic ends with `suffix`, in the order of their arrival."""
        with self._lock:
            return [m for m in self.messages if m.topic.endswith(suffix)]

    def close(self) -> None:
        """Disconnect. Fails when a message did not keep the published schema."""
        self._client.disconnect()
        self._client.loop_stop()
        assert not self.faults, self.faults

    def come_back(self) -> None:
        """After `close`: the broker has kept the session."""
        self._client.reconnect()
        self._client.loop_start()

    def __enter__(self) -> "Subscriber":
        return self.wait_ready()

    def __exit__(self, *_: object) -> None:
        self.close()
