"""Messages on a terminal. Every text from the network is cleaned first."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from gateway.cli.output import Output
from gateway.core.decoded_message import DecodedMessage
from gateway.core.foreign_text import clean

_LONGEST_TEXT = 200
_MOST_DEVICES: Final = 1000
_HIGHLIGHTS: Final = 6
_QUALITY_STYLES: Final = {"good": "green", "uncertain": "yellow", "bad": "red"}
_WHOLE_BELOW: Final = 1e15
_MOST_BOOTS: Final = 1000
_START_MS: Final = 60_000


def number(value: object) -> str:
    """Return a number for people: counters in full, measurements with four digits. Other values are cleaned."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "-" if value is None else clean(value)
    if not math.isfinite(value):
        return str(value)
    if abs(value) < _WHOLE_BELOW and value == int(value):
        return str(int(value))
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.8g}"


def clock(ms: object) -> str:
    """Return the local time of day of a time in ms since the epoch; question marks for what is no time."""
    try:
        return datetime.fromtimestamp(ms / 1000).strftime("%H:%M:%S")  # type: ignore[operator]
    except (TypeError, ValueError, OverflowError, OSError):
        return "??:??:??"


def console(*, stderr: bool = False) -> Output:
    """Return a console on standard output (or error) that cuts or folds long lines only where it is asked to."""
    return Output(stderr=stderr, soft_wrap=False)


class Screen:
    """The lines of messages on a terminal, with the last values of the most important tags of each device.

    units: by `device/tag`. highlights: the most important tags by device; of other devices the first ones that come.
    """

    def __init__(
        self, console: Console, units: Mapping[str, str] | None = None, highlights: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self._console = console
        self._units = units or {}
        self._highlights = highlights or {}
        self._width = max((len(clean(name, 16)) for name in self._highlights), default=5)
        self._last: dict[tuple[str, str], dict[str, Any]] = {}
        self._live: set[str] = set()

    def show(self, message: DecodedMessage) -> None:
        """Print one message."""
        if message.body.get("hist") is False and len(self._live) < _MOST_BOOTS:
            self._live.add(message.run)
        if message.kind == "window":
            self._print(self._window(message))
        elif message.kind == "event":
            self._print(self._event(message), cut=False)
        elif message.kind == "status":
            self._print(self._status(message), cut=False)
        else:
            self._print(self._head(message).append(_details(message), style="dim"))

    def print_malformed(self, topic: str, reason: str) -> None:
        """Print that a message is malformed."""
        self._print(
            _stamp(None).append("MALFORMED ", style="bold yellow").append(f"{clean(topic, 80)}: {clean(reason, 100)}")
        )

    def print_notice(self, text: str, style: str = "yellow") -> None:
        """Print a line that is no message."""
        self._print(_stamp(None).append(text, style=style), cut=False)

    def _print(self, line: Text, cut: bool = True) -> None:
        if cut:
            self._console.print(line, no_wrap=True, overflow="ellipsis", crop=True)
        else:
            self._console.print(line, soft_wrap=not self._console.is_terminal)

    def _head(self, message: DecodedMessage) -> Text:
        name = clean(message.device or message.gateway, 24)
        if message.device:
            self._width = max(self._width, min(16, len(name)))
        line = _stamp(message.body.get("ts"))
        return line.append(f"{name:<{self._width}} ", style="cyan" if message.device else "bold cyan")

    def _window(self, message: DecodedMessage) -> Text:
        line, tags = self._head(message), message.body["tags"]
        line.append(_tags(tags))
        mark, style = self._mark(message)
        if mark:
            line.append(f" {mark}", style=style)
        if message.body.get("late") is True:
            line.append(" replaces" if message.body.get("replaces") is True else " late", style="magenta")
        bad = [name for name, tag in islice(tags.items(), 10_000) if tag.get("q") == "bad"]
        if bad:
            line.append(f"  {len(bad)} bad ({clean(tags[bad[0]].get('reason', 'no reason'))})", style="red")
        of_one_tag = "part" in message.body and len(tags) == 1  # layout tag: that one is what came
        for piece in self._values(message.device, tags if of_one_tag else self._remember(message)):
            if line.cell_len + piece.cell_len > self._console.width:
                break
            line.append_text(piece)
        return line

    def _remember(self, message: DecodedMessage) -> dict[str, Any]:
        """Record the values of a window. Returns the last known values of the device's highlights, in their order."""
        tags, key = message.body["tags"], (message.gateway, message.device)
        wanted = self._highlights.get(message.device)
        if key not in self._last and len(self._last) < _MOST_DEVICES:
            self._last[key] = dict.fromkeys(wanted or ())
        last = self._last.get(key, {})
        if wanted is None and key in self._last:
            last.update(dict.fromkeys(islice((t for t in tags if t not in last), _HIGHLIGHTS - len(last))))
        for name in last:
            last[name] = tags.get(name, last[name])
        return last

    def _values(self, device: str, last: Mapping[str, Any]) -> Iterator[Text]:
        for name, tag in last.items():
            if tag is not None and tag.get("last") is not None:
                quality = str(tag.get("q"))
                style = _QUALITY_STYLES.get(quality, "yellow")
                if tag.get("n") == 0:  # nothing new was read: the value that still holds
                    style = f"dim {style}"
                piece = Text(f"  {clean(name, 24)} ")
                piece.append(self._amount(device, name, tag.get("last")), style=style)
                why = f" ({clean(tag['reason'], 24)})" if quality == "uncertain" and tag.get("reason") else ""
                yield piece if quality == "good" else piece.append(f" {clean(quality, 12)}{why}", style=style)

    def _amount(self, device: str, tag: object, value: object) -> str:
        unit = self._units.get(f"{device}/{tag}", "")
        return f"{number(value)} {unit}" if unit else number(value)

    def _event(self, message: DecodedMessage) -> Text:
        body, line = message.body, self._head(message)
        kind, active = body["kind"], body.get("state") == "active"
        if kind == "alarm":
            limit = self._amount(message.device, body.get("tag"), body.get("limit"))
            condition = clean(body.get("condition", ""))
            text = f"{condition} limit {limit}"
            self._condition(line, message, "ALARM" if active else "alarm cleared", text, "bold white on red", active)
        elif kind == "anomaly":
            expected = self._amount(message.device, body.get("tag"), body.get("expected"))
            text = f"expected {expected}, score {number(body.get('score'))}"
            if isinstance(causes := body.get("causes"), list) and causes:
                text += f": {', '.join(clean(one, _LONGEST_TEXT) for one in causes[:3])}"
            self._condition(line, message, "ANOMALY" if active else "anomaly over", text, "bold white on magenta", active)
        elif kind == "device":
            good = body.get("state") == "ok"
            line.append(f" DEVICE {clean(body.get('state'))} ", style="bold green" if good else "bold white on red")
            line.append(f" {clean(body.get('reason', ''), _LONGEST_TEXT)}".rstrip())
        elif kind == "loss":
            line.append(" LOSS ", style="bold white on red").append(f" {_loss(body)}")
        else:
            line.append(f" {clean(kind)} ", style="bold yellow").append(f" {_other_fields(body)}")
        mark, style = self._mark(message)
        return line.append(f" ({mark})", style=style) if mark else line

    def _mark(self, message: DecodedMessage) -> tuple[str, str]:
        """Return the text for `hist` and its style.

        Messages that a gateway makes at its start, before its first connection, are marked `hist` although they are new.
        """
        body = message.body
        if body.get("hist") is not True:
            return "", ""
        made_ms = body.get("ts")
        young = isinstance(made_ms, int) and time.time() * 1000 - made_ms < _START_MS
        return ("before connecting", "dim") if young and message.run not in self._live else ("backlog", "magenta")

    def _condition(self, line: Text, message: DecodedMessage, title: str, text: str, style: str, active: bool) -> None:
        tag = message.body.get("tag")
        line.append(f" {title} ", style=style if active else "bold green")
        line.append(f" {clean(tag)} ", style="bold").append(self._amount(message.device, tag, message.body.get("value")))
        line.append(f", {text}")

    def _status(self, message: DecodedMessage) -> Text:
        state, devices = message.body["state"], message.body.get("devices")
        line = _stamp(None).append(f"{clean(message.gateway, 24)} ", style="bold cyan")
        line.append(f"is {clean(state)}", style="green" if state == "online" else "red")
        for name, device in islice(devices.items(), 20) if isinstance(devices, dict) else ():
            its, why = (device.get("state"), device.get("reason")) if isinstance(device, dict) else (device, "")
            line.append(f"  {clean(name)} ").append(clean(its), style="green" if its == "ok" else "yellow")
            line.append(f" ({clean(why, _LONGEST_TEXT)})" if why else "")
        return line


def _stamp(ms: object) -> Text:
    return Text().append(f"{clock(time.time() * 1000 if ms is None else ms)} ", style="dim")


def _details(message: DecodedMessage) -> str:
    body = message.body
    if message.kind == "summary":
        return f"{_tags(body['tags'])}  summary of {number(body['dur'] / 1000)} s"
    if message.kind in ("birth", "death"):
        return f" {message.kind.upper()}" + (f"  {body['metrics']} metrics" if message.kind == "birth" else "")
    if message.kind == "value":
        rows = islice(body["tags"].items(), 10)
        return " value" + "".join(f"  {clean(name, 24)} {_object(tag)}" for name, tag in rows)
    if message.kind == "stats":
        return " stats" + "".join(f"  {clean(key, 24)} {number(n)}" for key, n in islice(body["stats"].items(), 20))
    return f" {message.kind}"


def _tags(tags: Mapping[str, Any]) -> str:
    return f"{len(tags):>4} {'tag ' if len(tags) == 1 else 'tags'}"


def _object(tag: Mapping[str, Any]) -> str:
    return clean(repr(tag.get("value"))) if tag.get("q") != "bad" else f"bad ({clean(tag.get('reason', 'no reason'))})"


def _loss(body: Mapping[str, Any]) -> str:
    first, last = number(body.get("first_seq")), number(body.get("last_seq"))
    cause, detail = clean(body.get("cause")), clean(body.get("detail", ""), _LONGEST_TEXT)
    topic = clean(body.get("topic"), 80)
    noun = "message" if body.get("count") == 1 else "messages"
    merged = f" (merged from {number(body['windows'])})" if "windows" in body else ""
    return f"{number(body.get('count'))} {noun}{merged} of {topic}, seq {first} to {last}: {cause} {detail}".rstrip()


def _other_fields(body: Mapping[str, Any]) -> str:
    known = ("boot", "seq", "ts", "hist", "kind", "severity", "device", "stream")
    fields = islice(((key, value) for key, value in body.items() if key not in known), 10)
    return "  ".join(f"{clean(key, 24)} {number(value)}" for key, value in fields)
