"""`gateway demo`: run plant, broker, gateway and subscriber on this machine, and check the result."""

import asyncio
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from gateway.audit.ledger import Report
from gateway.cli.output import discard_output
from gateway.cli.problems import EXIT_CONFIG, print_problems
from gateway.cli.subscriber import MessagePrinter, auditor_of, run_until, stop_on_signals
from gateway.cli.tag_highlights import highlights, units
from gateway.cli.terminal import Screen, console
from gateway.cli.topic_filters import disjoint, filters_of, open_filters
from gateway.core.decoded_message import DecodedMessage
from gateway.core.errors import ConfigError, GatewayError, NotConnected, Permanent
from gateway.core.foreign_text import clean
from gateway.core.plural import counted
from gateway.core.ports.sink import Subscriber
from gateway.core.ports.sink_plugin import Followable
from gateway.demo.scene import Scene, shipped_config

_EVENTS_DUE_S: Final = 60.0
_OFFLINE_S: Final = 3.0


def run_demo(config: Path | None, seconds: float | None) -> int:
    """Run until stopped, or for `seconds`; returns the exit code."""
    folder = config or shipped_config()
    out = console()
    try:
        return asyncio.run(_Demo(folder, seconds, out).run())
    except ConfigError as error:
        print_problems(error, folder)
        return EXIT_CONFIG
    except GatewayError as error:
        console(stderr=True).print(clean(error, 400), style="red", soft_wrap=True)
    except BrokenPipeError:
        discard_output()
    except OSError as error:
        discard_output()
        console(stderr=True).print(f"Cannot go on: {error.strerror}", style="red")
    return 1


@dataclass(slots=True)
class _Received:
    """Facts about the messages received, for the checks at the end."""

    anything: bool = False
    """Whether any message has come."""
    devices: set[str] = field(default_factory=set)
    """Devices of which a window has come."""
    alarms: int = 0
    """Alarms and anomalies."""
    offline: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the gateway has published that it stops."""

    def add(self, message: DecodedMessage) -> None:
        self.anything = True
        if message.kind == "window":
            self.devices.add(message.device)
        elif message.kind == "event" and message.body["kind"] in ("alarm", "anomaly"):
            self.alarms += 1
        elif (message.kind == "status" and message.body["state"] == "offline") or (
            message.kind == "death" and not message.device
        ):
            self.offline.set()


class _Demo:
    def __init__(self, folder: Path, seconds: float | None, out: Console) -> None:
        self._folder = folder
        self._seconds = seconds
        self._out = out
        self._received = _Received()
        self._problems: list[str] = []

    async def run(self) -> int:
        """Run the demo and print its result. Returns the exit code. Raises GatewayError when it cannot start."""
        stop = stop_on_signals()
        self._out.print(f"Starting a simulated press line with the configuration {self._folder} ...", soft_wrap=True)
        async with Scene(self._folder) as scene:
            screen = Screen(self._out, units(scene.settings), highlights(scene.settings))
            printer = MessagePrinter(screen, auditor_of(scene.settings.root.topic_root, from_start=True))
            client = _subscriber(scene)
            try:
                await client.open()
                await client.subscribe("#")  # nobody else is at this broker, and a layout may have any topics
                self._print_welcome(scene)
                receiving = asyncio.create_task(self._receive(client, printer), name="subscriber")
                await self._run_gateway(scene, receiving, stop)
            finally:
                await client.close()
            report = printer.finish(self._out)
            self._check(report, printer, scene.settings.table.devices)
            return self._print_result(scene)

    async def _receive(self, client: Subscriber, printer: MessagePrinter) -> None:
        """Receive messages until the connection ends."""
        try:
            while True:
                message = printer.add(await client.receive())
                if message is not None:
                    self._received.add(message)
        except NotConnected as error:
            self._problems.append(f"the connection to the broker broke: {error}")

    async def _run_gateway(self, scene: Scene, receiving: "asyncio.Task[None]", stop: asyncio.Event) -> None:
        """Run the gateway until the time is over or something ends early; then stop it and wait for its last messages."""
        try:
            await scene.start_gateway()
            ended = asyncio.create_task(scene.gateway_ended(), name="gateway")
            stopped = asyncio.create_task(stop.wait(), name="signal")
            done, _ = await asyncio.wait(
                (ended, stopped, receiving), timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED
            )
            stopped.cancel()
            if stopped in done and self._seconds is not None:
                self._problems.append(f"stopped before the {self._seconds:g} s were over")
            await self._stop(scene, ended in done)
            if not self._problems:
                await run_until(self._received.offline, asyncio.wait_for(receiving, _OFFLINE_S))
        except TimeoutError:
            self._problems.append("the gateway did not say that it stops")
        finally:
            receiving.cancel()
            await asyncio.wait((receiving,))
        if not receiving.cancelled():
            receiving.result()

    async def _stop(self, scene: Scene, ended: bool) -> None:
        self._out.print("\nStopping ...", style="dim")
        code = await scene.stop_gateway()
        if ended:
            self._problems.append(f"the gateway ended by itself with exit code {code}")
        elif code == -signal.SIGTERM and not self._received.anything:
            # Stopped while it was still starting: there is no signal handler yet, and nothing was published.
            self._received.offline.set()
        elif code:
            self._problems.append(f"the gateway ended with exit code {code}")

    def _check(self, report: Report, printer: MessagePrinter, devices: Sequence[str]) -> None:
        missing = sum(row.unproven for row in report.rows)
        if missing:
            self._problems.append(f"{counted(missing, 'sequence number')} missing")
        if sum(row.unexplained_duplicates for row in report.rows):
            self._problems.append("messages came twice without a reason")
        if printer.stats.malformed:
            self._problems.append(f"{counted(printer.stats.malformed, 'malformed message')}")
        if self._seconds is None:
            return
        silent = [device for device in devices if device not in self._received.devices]
        if silent:
            self._problems.append(f"no window arrived from {', '.join(silent)}")
        if self._seconds >= _EVENTS_DUE_S and not self._received.alarms:
            self._problems.append("no alarm or anomaly arrived")

    def _print_result(self, scene: Scene) -> int:
        if not self._problems:
            self._out.print("Demo ended well.", style="bold green")
            return 0
        self._out.print(
            Text("Demo failed: ", style="bold red").append(clean("; ".join(self._problems), 500)), soft_wrap=True
        )
        self._out.print("The end of the gateway's log:", style="bold")
        for line in scene.log_tail():
            self._out.print(Text("  " + clean(line, 1000)), soft_wrap=True)
        return 1

    def _print_welcome(self, scene: Scene) -> None:
        out, settings = self._out, scene.settings
        out.print()
        width = max(len(name) for name in (*settings.table.devices, "gateway"))
        for plugin, entry in zip(settings.plugins, settings.entries, strict=True):
            text = f"{entry.config.url}  ({plugin.name}, {counted(len(entry.tags), 'tag')}, simulated)"
            _print_place(out, f"{entry.config.name:<{width}}", text)
        _print_place(out, f"{'broker':<{width}}", f"{scene.broker_url}  (MQTT 5, embedded)")
        _print_place(out, f"{'gateway':<{width}}", f"its log: {scene.log}")
        out.print("\nFrom another terminal:", end=" ")
        known = open_filters(settings.root.topic_root)
        needs_config = set(disjoint([*known, *filters_of(settings)])) != set(known)
        topics = f" --config {settings.folder}" if needs_config else ""
        out.print(f"gateway tail --broker {scene.broker_url}{topics}", style="bold", soft_wrap=True)
        out.print(f"or: gateway top --socket {scene.socket}", style="bold", soft_wrap=True)
        out.print("A fault comes every half minute, the first in about 20 s. ", end="")
        out.print("Ctrl-C ends the demo.\n" if self._seconds is None else f"Ends by itself after {self._seconds:g} s.\n")


def _subscriber(scene: Scene) -> Subscriber:
    plugin = scene.settings.root.sink_plugin
    if not isinstance(plugin, Followable):
        raise Permanent(f"what goes to {plugin.name} cannot be followed, so there is nothing to show")
    config = plugin.config_model.model_validate({"url": scene.broker_url})
    return plugin.subscriber(config, "")


def _print_place(out: Console, name: str, text: str) -> None:
    out.print(Text(f"  {name}  ", style="cyan").append(text, style="default"), soft_wrap=True)
