"""The metrics as Prometheus text (exposition format 0.0.4), made in slices: one family at a time, one device at a time."""

import re
from collections.abc import Iterator, Mapping
from math import isnan
from typing import Final

from gateway.web.health import health_of
from gateway.web.host import HostReadings
from gateway.web.view import GatewayView

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_STATES: Final = ("ok", "degraded", "down")
_NO_NAME: Final = re.compile(r"[^a-zA-Z0-9_]")
_SERIES_A_SLICE: Final = 200


class Family:
    """One metric with its series."""

    def __init__(self, name: str, kind: str, meaning: str) -> None:
        """Begin without series. kind: `gauge`, `untyped`, or `counter`, whose name ends in `_total`."""
        self.name = name
        self.kind = kind
        self.meaning = meaning
        self._series: list[tuple[float, Mapping[str, str]]] = []
        self._has_head = False

    def add(self, value: float, **labels: str) -> None:
        """Add one series."""
        self._series.append((value, labels))

    def take(self) -> list[tuple[float, Mapping[str, str]]]:
        """Return values and labels that were added since the last call."""
        found, self._series = self._series, []
        return found

    def text(self) -> str:
        """Return what was added since the last call, as lines."""
        head = "" if self._has_head else f"# HELP {self.name} {self.meaning}\n# TYPE {self.name} {self.kind}\n"
        self._has_head = True
        return head + "".join(self._line(value, labels) for value, labels in self.take())

    def _line(self, value: float, labels: Mapping[str, str]) -> str:
        inner = ",".join(f'{key}="{escape(text)}"' for key, text in labels.items())
        return f"{self.name}{{{inner}}} {number(value)}\n" if inner else f"{self.name} {number(value)}\n"


def escape(text: str) -> str:
    """Return a label's value as it stands between quotes."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def number(value: float) -> str:
    """Return a number as the format writes it."""
    if isnan(value):
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return repr(int(value)) if float(value).is_integer() else repr(float(value))


def slices(view: GatewayView, host: HostReadings) -> Iterator[str]:
    """Yield the text in parts, each of which takes well below a millisecond."""
    for family in families(view, host):
        yield family.text()


def families(view: GatewayView, host: HostReadings) -> Iterator[Family]:
    """Yield all metrics in parts, each of which takes well below a millisecond: take its series before the next one."""
    yield from _of_gateway(view)
    yield from _of_host(host)
    yield from _of_devices(view)
    yield from _of_connections(view)


def _of_gateway(view: GatewayView) -> list[Family]:
    identity, health, outbox = view.identity, health_of(view), view.outbox()
    found = []

    def one(metric: str, kind: str, text: str, value: float, **labels: str) -> None:
        family = Family(f"gateway_{metric}", kind, text)
        family.add(value, **labels)
        found.append(family)

    one("info", "gauge", "The gateway, its version and configuration.", 1,
        name=identity.name, version=identity.version, config=view.config())  # fmt: skip
    one("start_time_seconds", "gauge", "When this run began, since the epoch.", identity.started_ms / 1e3)
    one("healthy", "gauge", "1 while scheduler and outbox make progress and a device is read.", float(health.is_ready))
    one("degraded", "gauge", "1 while something is not as it should be.", float(health.level != "ok"))
    one("sink_connected", "gauge", "1 while the sink is connected.", float(view.is_connected()), sink=view.sink)
    one("outbox_messages", "gauge", "Messages that wait.", outbox.messages)
    one("outbox_memory_bytes", "gauge", "What waits in memory.", outbox.memory_bytes)
    one("outbox_disk_bytes", "gauge", "The outbox's file.", outbox.disk_bytes)
    one("outbox_limit_bytes", "gauge", "The most that the outbox may take on disk.", view.outbox_limits["max_bytes"])
    one("outbox_lost_total", "counter", "Messages given up since the start.", outbox.lost)
    one("outbox_thinned_total", "counter", "Messages merged into others since the start.", outbox.thinned)
    one("outbox_refused", "gauge", "1 while the disk takes nothing.", float(bool(outbox.refused)))
    counters = view.live.counters()
    one("samples_total", "counter", "Samples read since the start.", counters.samples)
    one("windows_total", "counter", "Windows closed since the start.", counters.windows)
    for name in ("connects", "sent", "acked", "refused", "released"):
        if isinstance(value := counters.gateway.get(name), int | float):
            one(f"sink_{name}_total", "counter", f"Publisher: {name} since the start.", value)
    for name, value in counters.gateway.items():
        if name.startswith("requests_") and isinstance(value, int | float):
            kind, text = ("gauge", "Requests for the past that wait.") if name == "requests_waiting" else ("counter", "")
            total = "" if kind == "gauge" else "_total"
            one(f"{name}{total}", kind, text or f"Requests for the past: {name[9:]} since the start.", value)
    events = Family("gateway_events_total", "counter", "Events since the start, by kind.")
    for kind, count in sorted(counters.events.items()):
        events.add(count, kind=kind)
    ends = Family("gateway_certificate_end_seconds", "gauge", "When a certificate ends, since the epoch.")
    for owner, end_ms in view.certificates().items():
        ends.add(end_ms / 1e3, owner=owner)
    alarms = Family("gateway_active_alarms", "gauge", "Conditions that hold.")
    alarms.add(len(view.live.alarms()))
    return [*found, events, ends, alarms, *_of_sinks(view)]


def _of_sinks(view: GatewayView) -> Iterator[Family]:
    """Yield the numbers of each of several sinks."""
    sinks = view.sinks()
    if not sinks:
        return
    up = Family("gateway_sinks_connected", "gauge", "1 while a sink of several is connected.")
    waiting = Family("gateway_sinks_messages", "gauge", "Messages that wait for it.")
    disk = Family("gateway_sinks_disk_bytes", "gauge", "Its file.")
    acked = Family("gateway_sinks_acked_total", "counter", "Messages that have arrived there since the start.")
    lost = Family("gateway_sinks_lost_total", "counter", "Messages given up for it since the start.")
    for one in sinks:
        up.add(float(one.connected), sink=one.name)
        waiting.add(one.messages, sink=one.name)
        disk.add(one.disk_bytes, sink=one.name)
        acked.add(one.acked, sink=one.name)
        lost.add(one.lost, sink=one.name)
    yield from (up, waiting, disk, acked, lost)


def _of_host(host: HostReadings) -> Iterator[Family]:
    for name, (text, value) in host.gauges().items():
        family = Family(f"gateway_{name}", "gauge", text)
        family.add(value)
        yield family
    if not (found := host.links()):
        return
    link = Family("gateway_host_link_up", "gauge", "1 while a network interface has a link.")
    for name, is_up in found.items():
        link.add(float(is_up), interface=name)
    yield link


def _of_devices(view: GatewayView) -> Iterator[Family]:
    devices = list(view.live.devices())
    state = Family("gateway_device_state", "gauge", "1 for the state that a device is in.")
    for at, device in enumerate(devices):
        for name in _STATES:
            state.add(float(device.state == name), device=device.name, state=name)
        if at % _SERIES_A_SLICE == _SERIES_A_SLICE - 1:
            yield state
    yield state
    tags = Family("gateway_device_tags", "gauge", "Tags of a device.")
    for device in devices:
        tags.add(device.tags, device=device.name)
    yield tags


def _of_connections(view: GatewayView) -> Iterator[Family]:
    """Yield what the sources counted: one family for each name of a counter, as the format wants a family in one piece."""
    by_name: dict[str, list[tuple[str, float]]] = {}
    for connection in view.live.connections():
        for device, stats in connection.stats.items():
            _sort_in(by_name, device, stats)
    for name, series in by_name.items():
        # a source's counters and measurements are not told apart by their names, so the format's "untyped" is the truth
        family = Family(
            f"gateway_device_{_NO_NAME.sub('_', name)}", "untyped", "Counted or measured by the device's source."
        )
        for begin in range(0, len(series), _SERIES_A_SLICE):
            for device, value in series[begin : begin + _SERIES_A_SLICE]:
                family.add(value, device=device)
            yield family


def _sort_in(by_name: dict[str, list[tuple[str, float]]], device: str, stats: Mapping[str, float | str]) -> None:
    for name, value in stats.items():
        if isinstance(value, int | float) and name not in ("state", "tags"):
            by_name.setdefault(name, []).append((device, value))
