"""A plant with a gateway that has several sinks: one Modbus device, several brokers, a subscriber at each that runs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.audit.ledger import Ledger, Report
from tests.support.gateway import GatewayProcess, Got, Modbus, Subscriber, write_config
from tests.support.line import EVERY_WINDOW, QUEUES, impatient
from tests.support.modbus_server import ScriptedServer
from tests.support.mosquitto import Mosquitto
from tests.support.network import free_port, until


@dataclass
class Plant:
    """Everything that is running."""

    folder: Path
    device: ScriptedServer
    brokers: Mapping[str, Mosquitto]
    gateway: GatewayProcess
    subscribers: dict[str, Subscriber] = field(default_factory=dict)

    def configure(self, sinks: str, *, outbox: str = "") -> None:
        """Write gateway.yaml. sinks: lines of `sinks:`, in which {name} is the URL of a broker."""
        urls = {name: broker.url for name, broker in self.brokers.items()}
        text = sinks.format(**urls)
        (self.folder / "config" / "gateway.yaml").write_text(
            f"name: test\noutbox: {{path: {self.folder / 'outbox.db'}, keep_free: 0B{outbox}}}\n{EVERY_WINDOW}{text}\n"
        )

    async def start(self, name: str, *lines: str) -> None:
        """Start a broker, with a subscriber from the first time on."""
        await self.brokers[name].start(QUEUES, *lines)
        if name not in self.subscribers:
            port = self.brokers[name].port
            self.subscribers[name] = await asyncio.to_thread(lambda: Subscriber(port).wait_ready())

    def got(self, name: str, suffix: str = "") -> list[Got]:
        """What has arrived at a broker, without states."""
        return [m for m in self.subscribers[name].of(suffix) if not m.topic.endswith("/status")]

    def proof(self, name: str) -> Report:
        """What a subscriber at a broker can say of everything that it has got."""
        ledger = Ledger(from_start=True)
        for m in self.got(name):
            ledger.add(m.topic, m.payload, is_repeated=m.dup, is_kept=m.retain)
        return ledger.report()

    async def more(self, name: str, count: int, suffix: str = "/press/window") -> None:
        """Wait for `count` further messages at a broker."""
        target = len(self.got(name, suffix)) + count
        await until(lambda: len(self.got(name, suffix)) >= target, 40, lambda: f"{name}: {self.gateway.log()[-2500:]}")

    async def in_step(self, name: str, other: str) -> None:
        """Wait until one broker has every window that another has now."""
        wanted = {(m.payload["boot"], m.payload["seq"]) for m in self.got(other, "/press/window")}

        def there() -> bool:
            return wanted <= {(m.payload["boot"], m.payload["seq"]) for m in self.got(name, "/press/window")}

        await until(there, 60, lambda: f"{name}: {self.gateway.log()[-2500:]}")


@contextlib.asynccontextmanager
async def running_plant(
    folder: Path, mosquitto: str, sinks: str, *, names: tuple[str, ...] = ("a", "b"), outbox: str = ""
) -> AsyncIterator[Plant]:
    """Start the device and the gateway; the brokers are for the test to start."""
    brokers = {}
    for name in names:
        (folder / name).mkdir()
        brokers[name] = Mosquitto(mosquitto, folder / name, persistent=True)
    async with ScriptedServer(free_port()) as device:
        press = Modbus("press", f"tcp://127.0.0.1:{device.port}", 2, interval="200ms")
        config = write_config(folder, "mqtt://127.0.0.1", [press])
        gateway = GatewayProcess(config)
        gateway.program = ("-c", impatient(0.5))
        plant = Plant(folder, device, brokers, gateway)
        plant.configure(sinks, outbox=outbox)
        gateway.start()
        try:
            yield plant
        finally:
            gateway.kill()
            for subscriber in plant.subscribers.values():
                subscriber.close()
            for broker in brokers.values():
                if broker.running:
                    broker.kill()
