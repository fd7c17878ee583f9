"""`gateway tail`: a subscriber that prints live and proves at the end that nothing is missing."""

import asyncio
import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from rich.console import Console

from gateway.cli.footer import footer
from gateway.cli.output import hush
from gateway.cli.problems import EXIT_CONFIG
from gateway.cli.reading import Reading, stop_on_signals, unless
from gateway.cli.render import Screen, clean, console
from gateway.core.backoff import full_jitter
from gateway.core.errors import NotConnected, Permanent
from gateway.encoding.topics import CONTRACT_VERSION
from gateway.sinks.mqtt.client import MqttClient
from gateway.sinks.mqtt.config import MqttConfig

PASSWORD_VARIABLE = "GATEWAY_MQTT_PASSWORD"  # noqa: S105 - a name, not a password
_EXIT_INCOMPLETE = 1
_LONGEST_BACKOFF_S = 10.0


@dataclass(frozen=True, slots=True)
class TailOptions:
    """What the command line asked for. seconds: None until stopped; topics: empty for everything below root."""

    broker: str
    root: str
    topics: tuple[str, ...]
    username: str
    ca: str
    version: str
    seconds: float | None
    json: bool


def run_tail(options: TailOptions) -> int:
    """Follow a broker until stopped; returns the exit code."""
    out, err = console(stderr=options.json), console(stderr=True)
    try:
        config = _config(options)
    except ValidationError as error:
        for problem in error.errors():
            err.print(_usage_error(problem), style="red", soft_wrap=True)
        return EXIT_CONFIG
    try:
        return asyncio.run(_tail(options, config, out))
    except (NotConnected, Permanent) as error:
        err.print(clean(error, 300), style="red", soft_wrap=True)
        return EXIT_CONFIG
    except BrokenPipeError:
        hush()
    except OSError as error:  # a full disk behind `gateway tail > file`
        hush()
        err.print(f"Cannot write the output: {error.strerror}", style="red")
    return _EXIT_INCOMPLETE


def _config(options: TailOptions) -> MqttConfig:
    """Raises ValidationError. Without a user name the password of the environment is not used."""
    password = os.environ.get(PASSWORD_VARIABLE, "") if options.username else ""
    return MqttConfig.model_validate(
        {
            "url": options.broker,
            "username": options.username,
            "password": password,
            "root": options.root,
            "version": options.version,
            "tls": {"ca": options.ca} if options.ca else {},
        }
    )


def _usage_error(problem: Mapping[str, Any]) -> str:
    place = str(problem["loc"][0]) if problem["loc"] else ""
    option = {"url": "--broker: ", "version": "--mqtt: ", "tls": "--ca: "}.get(place, f"--{place}: " if place else "")
    return clean(option + str(problem["msg"]).removeprefix("Value error, "), 300)


async def _tail(options: TailOptions, config: MqttConfig, out: Console) -> int:
    """Raises NotConnected and Permanent from the first connection only."""
    stop = stop_on_signals()
    if options.seconds is not None:
        asyncio.get_running_loop().call_later(options.seconds, stop.set)
    reading = Reading(Screen(out), options.root, as_json=options.json)
    follower = _Follower(config, options.topics or (f"{options.root}/{CONTRACT_VERSION}/#",), reading)
    try:
        await unless(stop, follower.connect())
        if not stop.is_set():
            if not options.json:
                out.print(f"Connected to {options.broker}, following {clean(follower.filter, 200)}; Ctrl-C ends it.")
            with nullcontext() if options.json else footer(out, reading.tally):
                await unless(stop, follower.run())
    finally:
        await follower.close()
    report = reading.finish(out)
    return 0 if report.rows and report.complete else _EXIT_INCOMPLETE


class _Follower:
    """One subscription, renewed for ever after its first success."""

    def __init__(self, config: MqttConfig, filters: Sequence[str], reading: Reading) -> None:
        self.filter = " ".join(filters)
        self._filters = filters
        self._client = MqttClient(config)
        self._reading = reading

    async def connect(self) -> None:
        """Raises NotConnected, Permanent."""
        await self._client.open()
        for one in self._filters:
            await self._client.subscribe(one)

    async def run(self) -> None:
        """Take messages; when the connection goes, say so and come back."""
        while True:
            with contextlib.suppress(NotConnected):
                while True:
                    self._reading.take(await self._client.receive())
            await self._return()

    async def close(self) -> None:
        """Disconnect."""
        await self._client.close()

    async def _return(self) -> None:
        screen, tally, since_s = self._reading.screen, self._reading.tally, time.monotonic()
        tally.disconnects += 1
        screen.note(f"Connection lost: {clean(await self._client.lost(), 200)}; trying again. What is sent now is missed.")
        try:
            for delay_s in full_jitter(0.5, _LONGEST_BACKOFF_S):
                await asyncio.sleep(delay_s)
                with contextlib.suppress(NotConnected, Permanent):
                    await self.connect()
                    break
        finally:
            tally.away_s += time.monotonic() - since_s
        screen.note(f"Connected again after {time.monotonic() - since_s:.1f} s.", "green")
