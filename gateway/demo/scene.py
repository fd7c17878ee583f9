"""The environment of a demo: broker, simulated devices, and the gateway as a child process."""

import asyncio
import os
import signal
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import gateway
from gateway.core.errors import GatewayError
from gateway.core.ports.plugin import DeviceEntry
from gateway.demo.broker import EmbeddedBroker
from gateway.demo.modbus_device import SimulatedModbusDevice
from gateway.demo.opcua_server import SimulatedOpcUaServer
from gateway.demo.plant import PressLine
from gateway.demo.ports import LOOPBACK, choose_ports
from gateway.settings import Settings, load

_BROKER_PORT: Final = 1883
_STOP_S: Final = 20.0
_SIMULATORS: Final[dict[str, Any]] = {"modbus": SimulatedModbusDevice, "opcua": SimulatedOpcUaServer}


def shipped_config() -> Path:
    """Return the example configuration: inside the package when installed from a wheel, beside it in a checkout."""
    package = Path(gateway.__file__).parent
    installed = package / "demo" / "config"
    return installed if installed.is_dir() else package.parent / "config"


class Scene:
    """A running plant and broker on loopback; `start_gateway` adds the gateway. Use: `async with`.

    Attributes:
        settings: The configuration, with the addresses of the simulators.
        broker_url: Where the broker listens.
        log: The file of the gateway's log.
        socket: The file through which `gateway status` and `gateway top` ask it.
    """

    settings: Settings
    broker_url: str
    log: Path
    socket: Path

    def __init__(self, config: Path, seed: int = 1) -> None:
        self._config = config
        self._line = PressLine(seed)
        self._begin_s = 0.0
        self._stack = AsyncExitStack()
        self._gateway: Process | None = None

    async def __aenter__(self) -> Self:
        """Start broker and simulators. Raises ConfigError, BrokerMissing, BrokerFailed, PortTaken, NoSimulator."""
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-demo-")))
            self.log = folder / "gateway.log"
            self.socket = folder / "outbox.db.sock"
            configured = load(self._config)
            _check_simulators(configured)
            entries = configured.entries
            ports = stack.enter_context(choose_ports([_BROKER_PORT, *(_port(entry) for entry in entries)]))
            self.broker_url = f"mqtt://{LOOPBACK}:{ports[0]}"
            variables = {
                "GATEWAY__MQTT__URL": self.broker_url,
                "GATEWAY__OUTBOX__PATH": str(folder / "outbox.db"),
                "GATEWAY__OUTBOX__KEEP_FREE": "0B",
            }
            for entry, port in zip(entries, ports[1:], strict=True):
                prefix = f"GATEWAY__DEVICES__{_variable(entry.config.name)}__"
                variables[f"{prefix}URL"] = _local_url(entry, port)
                if hasattr(entry.config, "found"):
                    variables[f"{prefix}FOUND"] = str(folder / "found")
            stack.enter_context(_environment(variables))
            self.settings = load(self._config)
            await stack.enter_async_context(EmbeddedBroker(ports[0], folder))
            self._begin_s = time.monotonic()
            for plugin, entry, port in zip(self.settings.plugins, self.settings.entries, ports[1:], strict=True):
                simulator = _SIMULATORS[plugin.name]
                await stack.enter_async_context(simulator(entry.config, entry.tags, self._values(entry), port))
            stack.push_async_callback(self.stop_gateway)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def start_gateway(self) -> None:
        """Start `gateway run` with the same configuration; its log goes to `log`."""
        with self.log.open("wb") as log:
            # A session of its own: Ctrl-C is for the demo, which ends the gateway in order. Its input ends with the demo.
            self._gateway = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gateway.cli.demo_child", "run", "--config", str(self._config),
                "--log-format", "plain",
                stdin=PIPE, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    async def gateway_ended(self) -> int:
        """Return the gateway's exit code once it has ended."""
        return await self._started().wait()

    async def stop_gateway(self) -> int | None:
        """Send SIGTERM once and wait; SIGKILL after 20 s. Returns the exit code, None when it was never started."""
        process = self._gateway
        if process is None:
            return None
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(_STOP_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
        return await process.wait()

    def log_tail(self, lines: int = 20) -> list[str]:
        """Return the last lines of the gateway's log."""
        return self.log.read_text(errors="replace").splitlines()[-lines:] if self.log.exists() else []

    def _started(self) -> Process:
        if self._gateway is None:
            raise RuntimeError("the gateway was not started")
        return self._gateway

    def _values(self, entry: DeviceEntry) -> Callable[[], Mapping[str, float]]:
        labels = {tag.name: f"{entry.config.name}/{tag.name}" for tag in entry.tags}

        def values() -> Mapping[str, float]:
            time_s = time.monotonic() - self._begin_s
            known = self._line.at(time_s)
            return {
                name: known[label] if label in known else self._line.other(label, time_s) for name, label in labels.items()
            }

        return values


class NoSimulator(GatewayError):
    """A device of the configuration cannot be simulated."""


def _check_simulators(settings: Settings) -> None:
    for plugin, entry in zip(settings.plugins, settings.entries, strict=True):
        if plugin.name not in _SIMULATORS:
            able = " and ".join(_SIMULATORS)
            raise NoSimulator(f"{entry.config.name}: protocol {plugin.name} cannot be simulated; {able} can")


def _port(entry: DeviceEntry) -> int:
    port = urlsplit(entry.config.url).port or 0
    return port if port >= 1024 else 0


def _local_url(entry: DeviceEntry, port: int) -> str:
    url: str = entry.config.url
    return urlsplit(url)._replace(netloc=f"{LOOPBACK}:{port}").geturl()


def _variable(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name).upper()


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables for this process and its children, and restore them afterwards."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
