"""`gateway tail`: a subscriber that prints messages and proves at the end that nothing is missing."""

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
from gateway.cli.output import discard_output
from gateway.cli.problems import EXIT_CONFIG, print_problems
from gateway.cli.rate_display import footer
from gateway.cli.subscriber import MessagePrinter, auditor_of, run_until, stop_on_signals
from gateway.cli.terminal import Screen, console
from gateway.cli.topic_filters import filters_of, open_filters, template_filters
from gateway.core.backoff import full_jitter
from gateway.core.errors import ConfigError, NotConnected, Permanent
from gateway.core.foreign_text import clean
from gateway.core.ports.sink_plugin import Followable, FollowOptions
from gateway.plugins import SINKS

if TYPE_CHECKING:
    from gateway.settings import Settings  # a whole configuration: not for those who have none
    from gateway.settings.configured_sinks import ConfiguredSink

EXIT_INCOMPLETE: Final = 1
EXIT_AWAY: Final = 3
_LONGEST_BACKOFF_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class TailOptions:
    """The options of the command line; what is empty was left out."""

    config: Path | None
    """The gateway's own configuration, which answers what the other options leave open."""
    broker: str
    """--broker: its URL."""
    root: str
    """--root: what the contract's topics begin with."""
    sink: str
    """--sink: of several in the configuration, the one to follow."""
    topics: tuple[str, ...]
    """--topic: filters to follow instead of all others."""
    templates: tuple[str, ...]
    """--template: templates of topics to follow, too."""
    username: str
    """--username."""
    ca: str
    """--ca: a PEM file."""
    version: str
    """--mqtt: version of the protocol."""
    client_id: str
    """--client-id."""
    seconds: float | None
    """--seconds: when to end; None for never."""
    rates: bool
    """--rates: print a table of rates instead of messages."""
    json: bool
    """--json: print messages as JSON lines."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where to follow which topics."""

    sink: Followable
    """The kind of sink to follow."""
    section: Any
    """The sink's section to connect with."""
    root: str
    """What the contract's topics begin with."""
    place: str
    """Address of the far end, for people."""
    filters: tuple[str, ...]
    """Topic filters to subscribe to."""
    is_explicit: bool
    """Each filter is an option of the command line."""
    is_shared: bool
    """Others publish there, too."""
    settings: "Settings | None" = None
    """The gateway's configuration, where it is known."""


def run_tail(options: TailOptions) -> int:
    """Follow a broker until stopped; returns the exit code."""
    out, err = console(stderr=options.json), console(stderr=True)
    try:
        plan = _make_plan(options)
    except ConfigError as error:
        print_problems(error, options.config or Path())
        return EXIT_CONFIG
    except ValidationError as error:
        for problem in error.errors():
            err.print(_usage_error(problem), style="red", soft_wrap=True)
        return EXIT_CONFIG
    except (ValueError, Permanent) as error:
        option = "--template: " if isinstance(error, ValueError) else ""
        err.print(f"{option}{clean(error, 300)}", style="red", soft_wrap=True)
        return EXIT_CONFIG
    try:
        return asyncio.run(_tail(options, plan, out))
    except (NotConnected, Permanent) as error:
        err.print(clean(error, 300), style="red", soft_wrap=True)
        return EXIT_CONFIG
    except BrokenPipeError:
        discard_output()
    except OSError as error:  # a full disk behind `gateway tail > file`
        discard_output()
        err.print(f"Cannot write the output: {error.strerror}", style="red")
    return EXIT_INCOMPLETE


def _make_plan(options: TailOptions) -> _Plan:
    """Return where to follow which topics.

    Raises ConfigError or Permanent (the configuration), ValidationError (the broker), ValueError (a template).
    """
    if options.config is None:
        if options.sink:
            raise Permanent("--sink names a sink of a configuration: say --config, too")
        name = next(name for name, plugin in SINKS.items() if isinstance(plugin, Followable))
        section, root, place = _section(options, name, None)
        filters = options.topics or open_filters(root, options.templates)
        return _Plan(_followable(name), section, root, place, filters, bool(options.topics), bool(options.templates))
    from gateway.cli.needed import load_needed

    settings = load_needed(options.config, needs_root=True)
    at, sink = _chosen(settings, options.sink)
    name = sink.plugin.name
    section, _, place = _section(options, name, sink.config)
    root = options.root or settings.root.topic_root
    filters = options.topics or (*filters_of(settings, at), *template_filters(options.templates, root))
    return _Plan(_followable(name), section, root, place, filters, bool(options.topics), not options.topics, settings)


def _chosen(settings: "Settings", name: str) -> "tuple[int, ConfiguredSink]":
    """Return the sink to follow and its place: the named one, else the first that can be followed. Raises Permanent."""
    sinks = list(enumerate(settings.root.all_sinks))
    if not name:
        return next((one for one in sinks if isinstance(one[1].plugin, Followable)), sinks[0])
    for one in sinks:
        if one[1].is_listed and one[1].name == name:
            return one
    names = ", ".join(sink.name for _, sink in sinks if sink.is_listed)
    raise Permanent(f"--sink {name}: no such sink; expected {names or 'none: there is only one'}")


def _followable(name: str) -> Followable:
    plugin = SINKS[name]
    if not isinstance(plugin, Followable):
        raise Permanent(f"what goes to {name} cannot be followed: there is nothing to subscribe to")
    return plugin


def _section(options: TailOptions, name: str, configured: Any) -> tuple[Any, str, str]:
    """Return the sink's section to follow with, the root of its topics, and its place for people."""
    plugin = _followable(name)
    password = os.environ.get(f"GATEWAY_{name.upper()}_PASSWORD", "")
    given = FollowOptions(
        options.broker, options.root, options.username, password, options.ca, options.version, options.client_id
    )
    section = plugin.follow_config(given, configured)
    return section, plugin.topic_root(section), SINKS[name].describe(section)


def _usage_error(problem: Mapping[str, Any]) -> str:
    place = str(problem["loc"][0]) if problem["loc"] else ""
    known = {"url": "--broker: ", "version": "--mqtt: ", "tls": "--ca: ", "client_id": "--client-id: "}
    option = known.get(place, f"--{place}: " if place else "")
    return clean(option + str(problem["msg"]).removeprefix("Value error, "), 300)


async def _tail(options: TailOptions, plan: _Plan, out: Console) -> int:
    """Follow until stopped, and print the proof. Returns the exit code.

    Raises NotConnected and Permanent from the first connection only.
    """
    stop = stop_on_signals()
    if options.seconds is not None:
        asyncio.get_running_loop().call_later(options.seconds, stop.set)
    quiet = options.rates and not options.json
    auditor = auditor_of(plan.root, is_shared=plan.is_shared)
    printer = MessagePrinter(_screen(out, plan.settings), auditor, as_json=options.json, quiet=quiet)
    follower = _Follower(plan, printer)
    try:
        await run_until(stop, follower.connect())
        if not stop.is_set():
            if not options.json:
                out.print(f"Connected to {plan.place}, following {clean(follower.filter, 400)}; Ctrl-C ends it.")
            with nullcontext() if options.json else footer(out, printer.stats, board=quiet):
                await run_until(stop, follower.run())
    finally:
        await follower.close()
    report = printer.finish(out)
    if printer.is_proven(report):
        return 0
    return EXIT_AWAY if report.rows and report.sound else EXIT_INCOMPLETE


def _screen(out: Console, settings: "Settings | None") -> Screen:
    if settings is None:
        return Screen(out)
    from gateway.cli.tag_highlights import highlights, units

    return Screen(out, units(settings), highlights(settings))


class _Follower:
    """One subscription, which connects again after its first success. The broker keeps its session where it can."""

    def __init__(self, plan: _Plan, printer: MessagePrinter) -> None:
        self._filters: Sequence[str] = plan.filters
        self._is_explicit = plan.is_explicit
        self._has_session = plan.sink.keeps_subscriptions(plan.section)
        self._client = plan.sink.subscriber(plan.section, f"gateway-tail-{secrets.token_hex(6)}")
        self._printer = printer

    @property
    def filter(self) -> str:
        """Return the topic filters, for people."""
        return " ".join(self._filters)

    async def connect(self) -> bool:
        """Connect and subscribe. Returns whether the broker had kept the session. Raises NotConnected, Permanent."""
        await self._client.open()
        if self._client.resumed:
            return True
        refused: list[Permanent] = []
        accepted = [one for one in self._filters if await self._subscribe(one, refused)]
        if refused and (self._is_explicit or not accepted):
            raise refused[0]
        for error in refused:
            self._printer.screen.print_notice(clean(error, 300))
        self._filters = accepted
        return False

    async def run(self) -> None:
        """Receive messages; when the connection is lost, print that and connect again."""
        while True:
            with contextlib.suppress(NotConnected):
                while True:
                    self._printer.add(await self._client.receive())
            await self._reconnect()

    async def close(self) -> None:
        """Disconnect; the broker forgets the session."""
        await self._client.close(forget=True)

    async def _subscribe(self, one: str, refused: list[Permanent]) -> bool:
        try:
            await self._client.subscribe(one)
        except Permanent as error:
            refused.append(error)
            return False
        return True

    async def _reconnect(self) -> None:
        screen, begin_s, kept = self._printer.screen, time.time(), False
        prospect = "The broker may keep what comes meanwhile." if self._has_session else "What is sent now is missed."
        screen.print_notice(f"Connection lost: {clean(await self._client.lost(), 200)}; trying again. {prospect}")
        try:
            for delay_s in full_jitter(0.5, _LONGEST_BACKOFF_S):
                await asyncio.sleep(delay_s)
                with contextlib.suppress(NotConnected, Permanent):
                    kept = await self.connect()
                    break
        finally:
            self._printer.was_away(Absence(begin_s, time.time(), kept))
        result = "The broker has kept its session." if kept else "What was sent meanwhile is missing here."
        screen.print_notice(f"Connected again after {time.time() - begin_s:.1f} s. {result}", "green" if kept else "yellow")
