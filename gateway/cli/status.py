"""`gateway status` and `gateway top`: a running gateway on a terminal."""

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gateway.cli.api_client import ApiClient, NoAnswer, find_gateway
from gateway.cli.output import json_line, listing, say
from gateway.cli.terminal import clock, console, number
from gateway.core.plural import counted

EXIT_DEGRADED: Final = 1
EXIT_RED: Final = 2
_EXITS: Final = {"ok": 0, "degraded": EXIT_DEGRADED, "red": EXIT_RED}
_STYLES: Final = {"ok": "green", "degraded": "yellow", "red": "bold red", "down": "bold red"}
_QUALITY: Final = {"good": "green", "uncertain": "yellow", "bad": "red"}
_CONNECTED: Final = {True: ("connected", "green"), False: ("not connected", "bold red")}
_MOST_ALARMS: Final = 10
_MIB: Final = 2**20


def status(folder: Path, socket: Path | None, as_json: bool) -> int:
    """Print the state of the running gateway; returns the exit code by its health."""
    try:
        client = find_gateway(folder, socket)
        found, devices, alarms = client.get("status"), client.get("devices"), client.get("alarms")
    except NoAnswer as error:
        say(str(error), err=True)
        return EXIT_RED
    if as_json:
        say(json_line({**found, "device_list": devices["devices"], "alarm_list": alarms["alarms"]}).decode(), end="")
    else:
        output = console()
        output.print(_head(found))
        for part in (_devices(devices["devices"]), _alarms(alarms["alarms"]), _delivery(found)):
            output.print(part)
    return _EXITS.get(found["health"]["level"], EXIT_RED)


def top(folder: Path, socket: Path | None, interval_s: float, words: str) -> int:
    """Show the running gateway until Ctrl-C; returns the exit code."""
    output = console()
    try:
        client = find_gateway(folder, socket)
        with Live(
            _screen(client, words, output.height), console=output, screen=output.is_terminal, auto_refresh=False
        ) as live:
            while True:
                time.sleep(interval_s)
                try:
                    live.update(_screen(client, words, output.height), refresh=True)
                except NoAnswer as error:
                    live.update(Text(f"{error}\nstill asking; Ctrl-C ends", style="bold red"), refresh=True)
    except NoAnswer as error:
        say(str(error), err=True)
        return EXIT_RED
    except KeyboardInterrupt:
        return 0


def _screen(client: ApiClient, words: str, height: int) -> RenderableType:
    found, devices, alarms = client.get("status"), client.get("devices")["devices"], client.get("alarms")["alarms"]
    shown = sorted(devices, key=lambda device: ("down", "degraded", "ok").index(device["state"]))[: max(3, height // 3)]
    parts: list[RenderableType] = [_head(found), _devices(shown, len(devices))]
    if alarms:
        parts.append(_alarms(alarms[: max(2, height // 6)], len(alarms)))
    rows = max(3, height - len(shown) - min(len(alarms), height // 6) - 14)
    parts.append(_tags(client.get("tags", q=words, limit=rows)))
    parts.append(_delivery(found))
    return Group(*parts)


def _head(found: dict[str, Any]) -> Text:
    health, up_s = found["health"], (found["now_ms"] - found["started_ms"]) // 1000
    line = Text(found["name"], style="bold").append("  ")
    line.append({"ok": "well"}.get(health["level"], health["level"]), style=_STYLES.get(health["level"], ""))
    line.append(f"  up {_span(up_s)}  {found['version']}  {clock(found['now_ms'])}", style="dim")
    for reason in health["reasons"]:
        line.append(f"\n  {reason}", style=_STYLES.get(health["level"], ""))
    return line.append("\n")


def _devices(devices: list[dict[str, Any]], of: int = 0) -> Table:
    table = listing(
        "device", "protocol", "state", "since", "tags", "reason", right=("tags",), title=_title("devices", devices, of)
    )
    for device in devices:
        reason = Text(device["reason"])
        if device["command"]:
            reason.append(f"{'  ' if device['reason'] else ''}try: {device['command']}", style="bold")
        state = Text(device["state"], style=_STYLES.get(device["state"], ""))
        table.add_row(device["name"], device["protocol"], state, _when(device["since_ms"]), str(device["tags"]), reason)
    return table


def _alarms(alarms: list[dict[str, Any]], of: int = 0) -> RenderableType:
    if not alarms:
        return Text("no active alarm\n", style="dim")
    table = listing("active alarm", "condition", "since", "severity", "value", right=("severity", "value"))
    for alarm in alarms[:_MOST_ALARMS]:
        name = f"{alarm['device']}/{alarm['tag']}" if alarm["tag"] else alarm["device"]
        value = number(alarm["payload"].get("value"))
        table.add_row(name, alarm["condition"], _when(alarm["since_ms"]), str(alarm["severity"]), value)
    more = max(of, len(alarms)) - min(len(alarms), _MOST_ALARMS)
    return Group(table, Text(f"and {more} more" if more else ""))


def _tags(answer: dict[str, Any]) -> Table:
    table = listing("tag", "value", "unit", "quality", "read", right=("value",), title=f"{counted(answer['total'], 'tag')}")
    for tag in answer["tags"]:
        quality = Text(tag["reason"] or tag["quality"], style=_QUALITY[tag["quality"]])
        read = clock(tag["time_ms"]) if tag["time_ms"] else "never"
        table.add_row(f"{tag['device']}/{tag['name']}", number(tag["value"]), tag["unit"], quality, read)
    return table


def _delivery(found: dict[str, Any]) -> Text:
    return Text("\n").join(_delivery_lines(found))


def _log_line(found: dict[str, Any]) -> str:
    """Return which parts log at another level than usual, empty for none."""
    levels = found["log_levels"]
    own = [f"{part} {level}" for part, level in levels.items() if part not in ("all", "libraries")]
    changed = [f"all {levels['all']}"] if levels["all"] == "debug" else []
    return ", ".join(changed + own)


def _delivery_lines(found: dict[str, Any]) -> Iterator[Text]:
    outbox = found["outbox"]
    sink = Text(f"{outbox['sink']} ").append(*_CONNECTED[bool(outbox["connected"])])
    sink.append(f", {number(outbox['counters'].get('acked', 0))} messages delivered, {outbox['messages']} waiting")
    yield sink
    for one in outbox.get("sinks", ()):
        line = Text(f"  {one['name']} ").append(*_CONNECTED[bool(one["connected"])])
        line.append(f", {number(one['acked'])} delivered, {one['messages']} waiting, {one['lost']} lost")
        yield line.append(f", the disk refuses: {one['refused']}" if one["refused"] else "", style="bold red")
    share = outbox["disk_bytes"] / max(outbox["limits"]["max_bytes"], 1)
    size = f"outbox {outbox['disk_bytes'] / _MIB:.1f} MiB ({share:.0%}), {outbox['lost']} lost, {outbox['thinned']} merged"
    line = Text(size, style="red" if outbox["lost"] else "")
    if outbox["refused"]:
        line.append(f", the disk refuses: {outbox['refused']}", style="bold red")
    yield line
    if logged := _log_line(found):
        yield Text(f"logs: {logged}", style="dim")
    for owner, end_ms in found["certificates"].items():
        days = (end_ms - found["now_ms"]) / 86_400_000
        yield Text(f"certificate of the {owner} ends in {days:.0f} days", style="" if days > 30 else "bold yellow")


def _title(what: str, shown: list[Any], of: int) -> str:
    return f"{len(shown)} of {of} {what}" if of > len(shown) else ""


def _when(ms: int) -> str:
    """Return a time of day, with its date where that is not today."""
    then = datetime.fromtimestamp(ms / 1000)
    return then.strftime("%H:%M:%S" if then.date() == datetime.now().date() else "%Y-%m-%d %H:%M")


def _span(seconds: int) -> str:
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"
