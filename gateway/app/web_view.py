"""What the web room sees of the parts of a gateway: the one place that knows both."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from gateway import __version__
from gateway.app.compose import GatewayParts
from gateway.app.web_history import history_of
from gateway.core.plural import counted
from gateway.core.ports.device_tools import Discoverable, Plannable, Readable
from gateway.core.ports.plugin import Plugin
from gateway.core.report import Item, Line, Part, Table
from gateway.settings import Settings
from gateway.settings.origins import settings_with_origins
from gateway.web.config import WebConfig
from gateway.web.unix_socket import socket_path
from gateway.web.view import DeviceFacts, GatewayView, Identity, SinkFacts

_STUCK_S: Final = 10.0
_ANSWER_S: Final = 0.01
"""Until a device begins its reply, for the estimate of the load."""


def gateway_view(parts: GatewayParts) -> GatewayView:
    """Return the view of a gateway's parts."""
    root = parts.settings.root
    outbox = root.outbox
    known: tuple[Settings | None, dict[str, DeviceFacts]] = (None, {})

    def about_device(name: str) -> DeviceFacts:
        nonlocal known
        if known[0] is not (settings := parts.settings):  # a reload brings others
            entries = zip(settings.plugins, settings.entries, strict=True)
            known = settings, {entry.config.name: _facts(plugin, entry.config) for plugin, entry in entries}
        return known[1].get(name, DeviceFacts("", "", ""))

    return GatewayView(
        identity=Identity(root.name, __version__, parts.boot, parts.started_ms),
        live=parts.live,
        now_ns=parts.clock.now_ns,
        config=lambda: parts.settings.hash,
        outbox=lambda: parts.outbox.stats,
        outbox_limits={
            "max_bytes": outbox.max_bytes,
            "memory_bytes": outbox.memory,
            "max_age_ms": outbox.max_age // 1_000_000,
        },
        is_connected=lambda: parts.uplinks.is_connected,
        sink=", ".join(sink.name for sink in root.all_sinks),
        stuck=lambda: _stuck(parts),
        sink_fault=parts.health,
        refused=lambda: parts.configuration.refused,
        certificates=lambda: parts.certificates.ends,
        about_device=about_device,
        configuration=lambda: [asdict(one) for one in settings_with_origins(parts.settings)],
        plan=lambda: _plan(parts.settings),
        history=history_of(parts.live, parts.history),
        course=parts.course.since,
        sinks=lambda: _sinks(parts),
        past=parts.past,
    )


def _sinks(parts: GatewayParts) -> Sequence[SinkFacts]:
    """Return each of several sinks."""
    if not parts.uplinks.is_listed:
        return ()
    found = [(one, one.publisher, one.outbox.stats) for one in parts.uplinks.all]
    return [
        SinkFacts(
            one.name, publisher.is_connected, publisher.acked, stats.messages, stats.lost, stats.thinned, stats.disk_bytes,
            stats.refused,
        )
        for one, publisher, stats in found
    ]  # fmt: skip


def web_server(parts: GatewayParts) -> Any:
    """Return the web server of a gateway, not yet started. Its library is imported here at the earliest."""
    from gateway.web.host import HostReadings
    from gateway.web.server import WebServer
    from gateway.web.site import Site

    root = parts.settings.root
    config: WebConfig = root.web
    site = Site(gateway_view(parts), HostReadings(root.outbox.path))
    return WebServer(config, site, socket_path(root.outbox.path, os.environ), parts.clock, parts.report)


def _stuck(parts: GatewayParts) -> Sequence[str]:
    """Return the parts without progress. Sooner than systemd's watchdog, as nothing is restarted because of it."""
    now, commit_s = parts.clock.monotonic(), parts.settings.root.outbox.commit_interval / 1e9
    beats = {"scheduler": (parts.pipeline.beat, _STUCK_S), "outbox": (parts.outbox.beat, _STUCK_S + commit_s)}
    return [name for name, (beat, most_s) in beats.items() if now - beat > most_s]


def _facts(plugin: Plugin, config: Any) -> DeviceFacts:
    url = str(getattr(config, "url", ""))
    if isinstance(plugin, Discoverable) and url:
        command = f"gateway discover {url}"
    else:
        command = f"gateway read {config.name}" if isinstance(plugin, Readable) else "gateway check"
    return DeviceFacts(plugin.title, url, command)


def _plan(settings: Settings) -> Sequence[Mapping[str, Any]]:
    """Return what `gateway plan` prints, as sections of a table and the lines below it."""
    sections: list[dict[str, Any]] = []
    for plugin, entries in settings.by_plugin():
        if not isinstance(plugin, Plannable):
            names = [entry.config.name for entry in entries]
            title = f"{plugin.title}: {counted(len(names), 'device')} without a plan"
            sections.append({"title": title, "headings": [], "rows": [], "lines": names})
            continue
        for item in plugin.plan(entries, _ANSWER_S).items:
            if isinstance(item, Table):
                rows = [[_text(cell) for cell in row] for row in item.rows]
                sections.append({"title": item.title, "headings": list(item.headings), "rows": rows, "lines": []})
            elif (line := _line(item)) and sections:
                sections[-1]["lines"].append(line)
    return sections


def _line(item: Item) -> str:
    if isinstance(item, str | tuple):
        line: Line = item
        return _text(line) if isinstance(line, str) or hasattr(line, "style") else "".join(_text(part) for part in line)
    return ""


def _text(part: Part | Any) -> str:
    return part if isinstance(part, str) else str(part.text)
