"""`gateway tail`: a subscriber that prints live and proves at the end that nothing is missing."""

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError
from rich.console import Console

from gateway.audit.traffic_stats import Absence
from gateway.cli.output import hush
from gateway.cli.problems import EXIT_CONFIG, print_problems
from gateway.cli.rate_display import footer
from gateway.cli.subscriber import Reading, stop_on_signals, unless
from gateway.cli.terminal import Screen, clean, console
from gateway.cli.topic_filters import of_settings, of_template, usual
from gateway.core.backoff import full_jitter
from gateway.core.errors import ConfigError, NotConnected, Permanent
from gateway.sinks.mqtt.client import MqttClient
from gateway.sinks.mqtt.config import MqttConfig

if TYPE_CHECKING:
    from gateway.settings import Settings  # a whole configuration: not for those who have none

PASSWORD_VARIABLE: Final = "GATEWAY_MQTT_PASSWORD"  # noqa: S105 - a name, not a password
EXIT_INCOMPLETE: Final = 1
EXIT_AWAY: Final = 3
_LONGEST_BACKOFF_S: Final = 10.0
_SESSION: Final = "10min"
"""How long the broker keeps a subscriber's session; a `tail` that was killed leaves it behind for so long."""

_DEFAULT_BROKER: Final = "mqtt://127.0.0.1:1883"
_DEFAULT_ROOT: Final = "plant"


@dataclass(frozen=True, slots=True)
class TailOptions:
    """What the command line asked for; what is empty was left out. config: the gateway's own configuration, which answers
    what the other options leave open. seconds: None until stopped."""

    config: Path | None
    broker: str
    root: str
    topics: tuple[str, ...]
    templates: tuple[str, ...]
    username: str
    ca: str
    version: str
    client_id: str
    seconds: float | None
    rates: bool
    json: bool


@dataclass(frozen=True, slots=True)
class _Plan:
    """filters: what to follow; explicit: each of them was asked for by name; shared: others publish there, too."""

    mqtt: MqttConfig
    filters: tuple[str, ...]
    explicit: bool
    shared: bool
    settings: "Settings | None" = None


def run_tail(options: TailOptions) -> int:
    """Follow a broker until stopped; returns the exit code."""
    out, err = console(stderr=options.json), console(stderr=True)
    try:
        plan = _planned(options)
    except ConfigError as error:
        print_problems(error, options.config or Path())
        return EXIT_CONFIG
    except ValidationError as error:
        for problem in error.errors():
            err.print(_usage_error(problem), style="red", soft_wrap=True)
        return EXIT_CONFIG
    except ValueError as error:
        err.print(f"--template: {clean(error, 300)}", style="red", soft_wrap=True)
        return EXIT_CONFIG
    try:
        return asyncio.run(_tail(options, plan, out))
    except (NotConnected, Permanent) as error:
        err.print(clean(error, 300), style="red", soft_wrap=True)
        return EXIT_CONFIG
    except BrokenPipeError:
        hush()
    except OSError as error:  # a full disk behind `gateway tail > file`
        hush()
        err.print(f"Cannot write the output: {error.strerror}", style="red")
    return EXIT_INCOMPLETE


def _planned(options: TailOptions) -> _Plan:
    """Raises ConfigError (of the configuration), ValidationError (of the broker), ValueError (of a template)."""
    if options.config is None:
        mqtt = _connection(options, options.root or _DEFAULT_ROOT)
        filters = options.topics or usual(mqtt.root, options.templates)
        return _Plan(mqtt, filters, bool(options.topics), bool(options.templates))
    from gateway.settings import load

    settings = load(options.config)
    configured = settings.root.mqtt
    root = options.root or configured.root
    if options.broker or options.username or options.ca or options.version:  # another place or person: no login for it
        mqtt = _connection(options, root, configured.url)
    else:  # in the gateway's place, but never with its client id: it would be thrown out
        session = _connection(options, root) if configured.version == "5" else MqttConfig()
        own = {"clean_start": session.clean_start, "session_expiry": session.session_expiry, "will_delay": 0}
        mqtt = configured.model_copy(update={"client_id": options.client_id, "root": root, **own})
    filters = options.topics or (*of_settings(settings), *(of_template(one, mqtt.root) for one in options.templates))
    return _Plan(mqtt, filters, bool(options.topics), not options.topics, settings)


def _connection(options: TailOptions, root: str, url: str | tuple[str, ...] = _DEFAULT_BROKER) -> MqttConfig:
    """Raises ValidationError. Without a user name the password of the environment is not used. MQTT 3.1.1 has no end of
    sessions, so none is left behind there."""
    version = options.version or "5"
    session = {"clean_start": False, "session_expiry": _SESSION} if version == "5" else {}
    return MqttConfig.model_validate(
        {
            "url": options.broker or url,
            "username": options.username,
            "password": os.environ.get(PASSWORD_VARIABLE, "") if options.username else "",
            "root": root,
            "version": version,
            "client_id": options.client_id,
            "tls": {"ca": options.ca} if options.ca else {},
            **session,
        }
    )


def _usage_error(problem: Mapping[str, Any]) -> str:
    place = str(problem["loc"][0]) if problem["loc"] else ""
    known = {"url": "--broker: ", "version": "--mqtt: ", "tls": "--ca: ", "client_id": "--client-id: "}
    option = known.get(place, f"--{place}: " if place else "")
    return clean(option + str(problem["msg"]).removeprefix("Value error, "), 300)


async def _tail(options: TailOptions, plan: _Plan, out: Console) -> int:
    """Raises NotConnected and Permanent from the first connection only."""
    stop = stop_on_signals()
    if options.seconds is not None:
        asyncio.get_running_loop().call_later(options.seconds, stop.set)
    quiet = options.rates and not options.json
    reading = Reading(_screen(out, plan.settings), plan.mqtt.root, as_json=options.json, quiet=quiet, shared=plan.shared)
    follower = _Follower(plan, reading)
    try:
        await unless(stop, follower.connect())
        if not stop.is_set():
            if not options.json:
                where = ", ".join(map(str, plan.mqtt.addresses))
                out.print(f"Connected to {where}, following {clean(follower.filter, 400)}; Ctrl-C ends it.")
            with nullcontext() if options.json else footer(out, reading.tally, board=quiet):
                await unless(stop, follower.run())
    finally:
        await follower.close()
    report = reading.finish(out)
    if reading.proven(report):
        return 0
    return EXIT_AWAY if report.rows and report.sound else EXIT_INCOMPLETE


def _screen(out: Console, settings: "Settings | None") -> Screen:
    if settings is None:
        return Screen(out)
    from gateway.cli.tag_highlights import headlines, units

    return Screen(out, units(settings), headlines(settings))


class _Follower:
    """One subscription, renewed for ever after its first success. The broker keeps its session meanwhile, where it can."""

    def __init__(self, plan: _Plan, reading: Reading) -> None:
        self._filters: Sequence[str] = plan.filters
        self._explicit = plan.explicit
        self._session = plan.mqtt.session_expiry > 0
        self._client = MqttClient(plan.mqtt, client_id=f"gateway-tail-{secrets.token_hex(6)}", resume=self._session)
        self._reading = reading

    @property
    def filter(self) -> str:
        """What it follows, in words."""
        return " ".join(self._filters)

    async def connect(self) -> bool:
        """Returns whether the broker had kept the session. Raises NotConnected, Permanent."""
        await self._client.open()
        if self._client.resumed:
            return True
        refused: list[Permanent] = []
        taken = [one for one in self._filters if await self._subscribed(one, refused)]
        if refused and (self._explicit or not taken):
            raise refused[0]
        for error in refused:
            self._reading.screen.note(clean(error, 300))
        self._filters = taken
        return False

    async def run(self) -> None:
        """Take messages; when the connection goes, say so and come back."""
        while True:
            with contextlib.suppress(NotConnected):
                while True:
                    self._reading.take(await self._client.receive())
            await self._return()

    async def close(self) -> None:
        """Disconnect; the broker forgets the session."""
        await self._client.close(forget=True)

    async def _subscribed(self, one: str, refused: list[Permanent]) -> bool:
        try:
            await self._client.subscribe(one)
        except Permanent as error:
            refused.append(error)
            return False
        return True

    async def _return(self) -> None:
        screen, begin_s, kept = self._reading.screen, time.time(), False
        hope = "The broker may keep what comes meanwhile." if self._session else "What is sent now is missed."
        screen.note(f"Connection lost: {clean(await self._client.lost(), 200)}; trying again. {hope}")
        try:
            for delay_s in full_jitter(0.5, _LONGEST_BACKOFF_S):
                await asyncio.sleep(delay_s)
                with contextlib.suppress(NotConnected, Permanent):
                    kept = await self.connect()
                    break
        finally:
            self._reading.was_away(Absence(begin_s, time.time(), kept))
        what = "The broker has kept its session." if kept else "What was sent meanwhile is missing here."
        screen.note(f"Connected again after {time.time() - begin_s:.1f} s. {what}", "green" if kept else "yellow")
