"""What `tail` and `demo` do with a subscription: print, count, prove."""

import asyncio
import math
import signal
import sys
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Final

import orjson
from rich.console import Console

from gateway.audit.ledger import Ledger, Report
from gateway.audit.message import Foreign, Incoming, Malformed, parse
from gateway.audit.sparkplug import PREFIX, Nodes, Proof
from gateway.audit.traffic_stats import Absence, Tally
from gateway.cli.terminal import Screen, clean
from gateway.cli.verdict import print_report, proven, verdict
from gateway.encoding.topics import CONTRACT_VERSION
from gateway.sinks.mqtt.types import ReceivedMessage

_SETTLING_S: Final = 5.0
"""What a broker has kept comes within this time, and only then what is new. Longer costs nothing but that a gap of this time
is called unproven, not missing."""


class Reading:
    """Takes messages from a subscription: prints each, counts it, enters it into the ledger.

    quiet: print none. shared: others publish where we listen, so what is neither below `root` nor Sparkplug is just counted.
    """

    def __init__(
        self,
        screen: Screen,
        root: str,
        *,
        from_start: bool = False,
        as_json: bool = False,
        quiet: bool = False,
        shared: bool = False,
    ) -> None:
        self.screen = screen
        self.tally = Tally()
        self._ledger = Ledger(from_start=from_start)
        self._nodes = Nodes()
        self._root = root
        self._json = as_json
        self._quiet = quiet
        self._shared = shared
        self._settled_at = math.inf

    def take(self, message: ReceivedMessage) -> Incoming | None:
        """Returns the message, None when it is none of ours."""
        try:
            incoming, proofs = self._parsed(message)
        except Malformed as error:
            if self._shared and isinstance(error, Foreign) and not self._ours(message.topic):
                self.tally.foreign += 1
                return None
            self.tally.malformed += 1
            self._show_malformed(message, str(error))
            return None
        if incoming is None:
            return None
        self.tally.count(incoming, len(message.payload))
        if self.tally.now() > self._settled_at:
            self._settled_at = math.inf
            self._ledger.settled()
        for topic, body in proofs:
            self._ledger.take(topic, body, dup=message.dup, retained=message.retain, fleeting=message.qos == 0)
        if self._json:
            _print_json(message, {"payload": incoming.body})
        elif not self._quiet:
            self.screen.show(incoming)
        return incoming

    def was_away(self, absence: Absence) -> None:
        """The subscription had no connection for a while."""
        self.tally.was_away(absence)
        self._ledger.was_away(kept=absence.kept)
        self._nodes.was_away()
        self._settled_at = self.tally.now() + _SETTLING_S

    def _parsed(self, message: ReceivedMessage) -> tuple[Incoming | None, Sequence[Proof]]:
        if message.topic.startswith(PREFIX):
            return self._nodes.take(message.topic, message.payload, dup=message.dup)
        incoming = parse(message.topic, message.payload, self._root)
        return incoming, [(incoming.topic, incoming.body)]

    def _ours(self, topic: str) -> bool:
        return topic.startswith((f"{self._root}/{CONTRACT_VERSION}/", PREFIX))

    def proven(self, report: Report) -> bool:
        """Whether nothing can be missing without an explanation."""
        return proven(report, self.tally)

    def finish(self, out: Console) -> Report:
        """Print the proof, and return it."""
        report = self._ledger.report()
        out.print(f"\nReceived: {self.tally}")
        print_report(out, report, self.tally)
        out.print(verdict(report, self.tally), soft_wrap=not out.is_terminal)
        return report

    def _show_malformed(self, message: ReceivedMessage, reason: str) -> None:
        if self._json:
            raw = message.payload[:1000].decode("utf-8", "backslashreplace")
            _print_json(message, {"malformed": clean(reason, 200), "raw": raw})
        else:
            self.screen.malformed(message.topic, reason)


def _print_json(message: ReceivedMessage, rest: dict[str, Any]) -> None:
    received_ms = time.time_ns() // 1_000_000
    head: dict[str, Any] = {"topic": message.topic, "received": received_ms, "retain": message.retain, "dup": message.dup}
    sys.stdout.buffer.write(orjson.dumps(head | rest, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()


def stop_on_signals() -> asyncio.Event:
    """An event that SIGINT, SIGTERM and SIGHUP set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    return stop


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, object]) -> None:
    """Await `work`, but cancel it once `stop` is set. Raises what it raises."""
    task, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
    if not task.cancelled():
        task.result()
