"""The subscriber of `tail` and `demo`: print each message, and at the end the proof."""

import asyncio
import signal
import sys
import time
from collections.abc import Coroutine
from typing import Any

from rich.console import Console

from gateway.audit.auditor import Auditor
from gateway.audit.ledger import Report
from gateway.audit.traffic_stats import Absence, TrafficStats
from gateway.audit.verdict import is_proven, verdict
from gateway.cli.output import json_line
from gateway.cli.report_display import print_report, verdict_text
from gateway.cli.terminal import Screen
from gateway.core.decoded_message import DecodedMessage, Malformed
from gateway.core.foreign_text import clean
from gateway.core.ports.sink import ReceivedMessage
from gateway.plugins import LAYOUTS


def auditor_of(root: str, *, from_start: bool = False, is_shared: bool = False) -> Auditor:
    """Return an auditor that reads every layout."""
    readers = [reader for plugin in LAYOUTS.values() if (reader := plugin.reader()) is not None]
    return Auditor(root, readers, from_start=from_start, is_shared=is_shared)


class MessagePrinter:
    """The printer of a subscription: each message is printed, unless `quiet`, and given to an auditor."""

    def __init__(self, screen: Screen, auditor: Auditor, *, as_json: bool = False, quiet: bool = False) -> None:
        self.screen = screen
        self._auditor = auditor
        self._json = as_json
        self._quiet = quiet

    @property
    def stats(self) -> TrafficStats:
        """Return what has arrived, in numbers."""
        return self._auditor.stats

    def add(self, message: ReceivedMessage) -> DecodedMessage | None:
        """Count and print a message. Returns it, None where it is not from a gateway."""
        try:
            decoded = self._auditor.add(message)
        except Malformed as error:
            self._print_malformed(message, str(error))
            return None
        if decoded is None:
            return None
        if self._json:
            _print_json(message, {"payload": decoded.body})
        elif not self._quiet:
            self.screen.show(decoded)
        return decoded

    def was_away(self, absence: Absence) -> None:
        """Record that the subscription had no connection for a while."""
        self._auditor.was_away(absence)

    def is_proven(self, report: Report) -> bool:
        """Return whether nothing can be missing without an explanation."""
        return is_proven(report, self.stats)

    def finish(self, out: Console) -> Report:
        """Print the proof, and return it."""
        report = self._auditor.report()
        out.print(f"\nReceived: {self.stats}")
        print_report(out, report, self._auditor)
        out.print(verdict_text(verdict(report, self.stats)), soft_wrap=not out.is_terminal)
        return report

    def _print_malformed(self, message: ReceivedMessage, reason: str) -> None:
        if self._json:
            raw = message.payload[:1000].decode("utf-8", "backslashreplace")
            _print_json(message, {"malformed": clean(reason, 200), "raw": raw})
        else:
            self.screen.print_malformed(message.topic, reason)


def _print_json(message: ReceivedMessage, rest: dict[str, Any]) -> None:
    head: dict[str, Any] = {
        "topic": message.topic,
        "received": time.time_ns() // 1_000_000,
        "retain": message.is_kept,
        "dup": message.is_repeated,
    }
    sys.stdout.buffer.write(json_line(head | rest))
    sys.stdout.buffer.flush()


def stop_on_signals() -> asyncio.Event:
    """Return an event that SIGINT, SIGTERM and SIGHUP set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    return stop


async def run_until(stop: asyncio.Event, work: Coroutine[Any, Any, object]) -> None:
    """Await `work`, and cancel it once `stop` is set. Raises what `work` raises."""
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
