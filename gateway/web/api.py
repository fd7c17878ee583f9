"""The answers of the API, from the view of a running gateway. Slow ones give way to the event loop."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from math import isnan
from typing import Any, Final

import numpy as np

from gateway.core.blocks import TagIds
from gateway.core.foreign_text import without_hidden
from gateway.core.log_levels import LOG_LEVELS
from gateway.core.quality import CLASS_NAMES, REASONS
from gateway.core.tags import Tag
from gateway.web import answers as a
from gateway.web.health import health_of
from gateway.web.host import HostReadings
from gateway.web.live_view import AlarmView, EventView
from gateway.web.query import BadQuery, Query
from gateway.web.tag_search import QUALITIES, TagSearch
from gateway.web.view import GatewayView

MOST_TAGS: Final = 1_000
MOST_EVENTS: Final = 1_000
MOST_POINTS: Final = 4_000
_MS: Final = 1_000_000
_HOUR_MS: Final = 3_600_000
_QUALITY: Final = [CLASS_NAMES[code >> 6] for code in range(256)]


class Api:
    """All answers. One method for each path, which takes the query of the request."""

    def __init__(self, view: GatewayView, host: HostReadings) -> None:
        self._view = view
        self._host = host
        self._search = TagSearch(view.live)

    async def status(self, query: Query) -> a.StatusAnswer:
        """Return the gateway as a whole."""
        query.end()
        await self.read_host()
        return self.status_now()

    async def read_host(self) -> None:
        """Read the machine's facts anew, not on the event loop."""
        await self._host.refresh()

    def status_now(self) -> a.StatusAnswer:
        """Return the gateway as a whole, without a query."""
        view = self._view
        health, counters, identity = health_of(view), view.live.counters(), view.identity
        return a.StatusAnswer(
            name=identity.name,
            version=identity.version,
            boot=identity.boot,
            started_ms=identity.started_ms,
            now_ms=view.now_ns() // _MS,
            config=view.config(),
            health=a.HealthAnswer(health.level, list(health.reasons)),
            devices=dict(Counter(device.state for device in view.live.devices())),
            tags=len(view.live.table),
            alarms=len(view.live.alarms()),
            outbox=self._outbox(counters.gateway),
            samples=counters.samples,
            windows=counters.windows,
            events=dict(counters.events),
            certificates=dict(view.certificates()),
            host={name: value for name, (_, value) in self._host.gauges().items()},
            links=dict(self._host.links()),
            log_levels=LOG_LEVELS.shown(),
        )

    async def outbox(self, query: Query) -> a.OutboxAnswer:
        """Return the outbox in numbers."""
        query.end()
        return self._outbox(self._view.live.counters().gateway)

    def _outbox(self, counters: Mapping[str, float | str]) -> a.OutboxAnswer:
        view, stats = self._view, self._view.outbox()
        return a.OutboxAnswer(
            stats.messages,
            stats.memory_bytes,
            stats.disk_bytes,
            stats.lost,
            stats.thinned,
            stats.refused,
            dict(view.outbox_limits),
            view.sink,
            view.is_connected(),
            dict(counters),
            [a.SinkAnswer(**asdict(one)) for one in view.sinks()],
        )

    async def course(self, query: Query) -> a.CourseAnswer:
        """Return the course of the delivery, as far back as it is known."""
        begin_ms, points = query.number("from", 0, 2**53), query.number("points", 1_000, MOST_POINTS)
        query.end()
        if self._view.course is None:
            raise BadQuery("this gateway keeps no course of the delivery", status=404)
        return a.CourseAnswer(**{name: column.tolist() for name, column in self._view.course(begin_ms, points).items()})

    async def devices(self, query: Query) -> a.DevicesAnswer:
        """Return all devices."""
        query.end()
        return self.devices_now()

    def devices_now(self) -> a.DevicesAnswer:
        """Return all devices, without a query."""
        found = []
        for device in self._view.live.devices():
            about = self._view.about_device(device.name)
            command = "" if device.state == "ok" else about.command
            state: Any = device.state
            since_ms = device.since_ns // _MS
            found.append(
                a.DeviceAnswer(
                    device.device,
                    device.name,
                    about.protocol,
                    without_hidden(about.url),
                    state,
                    device.reason,
                    since_ms,
                    device.tags,
                    command,
                )
            )
        return a.DevicesAnswer(found)

    async def connections(self, query: Query) -> a.ConnectionsAnswer:
        """Return all connections to the field."""
        query.end()
        return a.ConnectionsAnswer(
            [
                a.ConnectionAnswer(
                    list(one.devices),
                    one.is_up,
                    one.reason,
                    one.since_ns // _MS,
                    {name: dict(stats) for name, stats in one.stats.items()},
                )
                for one in self._view.live.connections()
            ]
        )

    async def tags(self, query: Query) -> a.TagsAnswer:
        """Return a page of the tags that fit the question."""
        text, device = query.text("q"), query.text("device")
        quality = query.choice("quality", QUALITIES)
        offset, limit = query.number("offset", 0, 2**31), query.number("limit", 100, MOST_TAGS)
        query.end()
        found = await self._search.find(text, device, quality)
        page = found[offset : offset + limit]
        return a.TagsAnswer(int(found.size), offset, self._tags(page))

    async def tag(self, query: Query) -> a.TagAnswer:
        """Return one tag, by the name of its device and its own."""
        device, name = query.text("device"), query.text("name")
        query.end()
        table = self._view.live.table
        if device in table.devices:
            first, end = table.range_of(table.devices.index(device))
            for tag in table.tags[first:end]:
                if tag.name == name:
                    return self._tags(np.array([tag.id], np.uint32))[0]
        raise BadQuery(f"there is no tag {device}/{name}", "names as in /api/v1/tags", status=404)

    def _tags(self, ids: TagIds) -> list[a.TagAnswer]:
        live = self._view.live
        values, table = live.values(ids), live.table
        rows = zip(ids.tolist(), self._shown(ids), values.time.tolist(), values.quality.tolist(), strict=True)
        return [self._tag(table.tags[tag], value, time, code) for tag, value, time, code in rows]

    def _tag(self, tag: Tag, value: Any, time_ns: int, code: int) -> a.TagAnswer:
        quality: Any = _QUALITY[code]
        return a.TagAnswer(
            tag=tag.id,
            device=self._view.live.table.devices[tag.device],
            name=tag.name,
            unit=tag.unit,
            value=value,
            time_ms=time_ns // _MS,
            quality=quality,
            reason="" if quality == "good" else REASONS[code],
            interval_ms=tag.interval_ns // _MS,
            range=list(tag.range) if tag.range else None,
        )

    def _shown(self, ids: TagIds) -> list[Any]:
        """Return values as JSON carries them: float32 with its own digits, null for none, objects as they are."""
        live = self._view.live
        values, tags = live.values(ids), live.table.tags
        return [
            values.objects[tag]
            if tag in values.objects
            else None
            if isnan(value)
            else float(str(np.float32(value)))
            if tags[tag].single
            else value
            for tag, value in zip(ids.tolist(), values.value.tolist(), strict=True)
        ]

    async def values(self, query: Query) -> a.ValuesAnswer:
        """Return present values as columns."""
        ids = query.ids("tags", len(self._view.live.table), MOST_TAGS)
        query.end()
        return self.values_now(ids)

    def values_now(self, ids: TagIds) -> a.ValuesAnswer:
        """Return present values of these tags."""
        values = self._view.live.values(ids)
        codes = values.quality.tolist()
        quality: list[Any] = [_QUALITY[code] for code in codes]
        reasons = ["" if one == "good" else REASONS[code] for one, code in zip(quality, codes, strict=True)]
        return a.ValuesAnswer(
            values.version, ids.tolist(), self._shown(ids), (values.time // _MS).tolist(), quality, reasons
        )

    async def history(self, query: Query) -> a.HistoryAnswer:
        """Return one tag over a span of time."""
        if self._view.history is None:
            raise BadQuery("this gateway keeps no values of the past", status=404)
        now_ms = self._view.now_ns() // _MS
        tags = query.ids("tag", len(self._view.live.table), 1)
        if tags.size != 1:
            raise BadQuery("tag is missing", "the number of a tag, as in /api/v1/tags")
        end_ms = query.number("to", now_ms, 2**53)
        begin_ms = query.number("from", max(0, end_ms - _HOUR_MS), 2**53)
        points = query.number("points", 1_000, MOST_POINTS)
        query.end()
        if begin_ms >= end_ms:
            raise BadQuery("the span is empty", "from before to, both in ms since the epoch")
        found = await self._view.history(int(tags[0]), begin_ms * _MS, end_ms * _MS, max(points, 1))
        low, mean, high = (_with_nulls(column) for column in (found.min, found.mean, found.max))
        return a.HistoryAnswer(int(tags[0]), found.time_ms.tolist(), low, mean, high, found.is_complete)

    async def alarms(self, query: Query) -> a.AlarmsAnswer:
        """Return all conditions that hold."""
        query.end()
        return self.alarms_now()

    def alarms_now(self) -> a.AlarmsAnswer:
        """Return all conditions that hold, the newest first, at most 1,000."""
        newest = sorted(self._view.live.alarms(), key=lambda alarm: -alarm.since_ns)[:MOST_EVENTS]
        return a.AlarmsAnswer([_alarm(alarm) for alarm in newest])

    async def events(self, query: Query) -> a.EventsAnswer:
        """Return the newest events."""
        since, limit = query.number("since", 0, 2**53), query.number("limit", 200, MOST_EVENTS)
        device, kind = query.text("device"), query.text("kind")
        query.end()
        found = [
            one
            for one in self._view.live.events_since(since)
            if (not device or one.device == device) and (not kind or one.event.kind == kind)
        ]
        return self.events_now(found[-limit:] if limit else [])

    def events_now(self, found: list[EventView]) -> a.EventsAnswer:
        """Return these events, the newest first."""
        return a.EventsAnswer(self._view.live.version, [_event(one) for one in reversed(found)])

    async def plan(self, query: Query) -> a.PlanAnswer:
        """Return what is read of each connection."""
        query.end()
        return a.PlanAnswer([a.PlanSection(**one) for one in await asyncio.to_thread(self._view.plan)])

    async def configuration(self, query: Query) -> a.ConfigurationAnswer:
        """Return every setting, without secrets."""
        query.end()
        found = await asyncio.to_thread(self._view.configuration)
        return a.ConfigurationAnswer(self._view.config(), [a.SettingAnswer(**one) for one in found])


def _alarm(alarm: AlarmView) -> a.AlarmAnswer:
    event = alarm.event
    return a.AlarmAnswer(alarm.device, alarm.tag, alarm.condition, alarm.since_ns // _MS, event.severity, event.payload())


def _event(one: EventView) -> a.EventAnswer:
    event = one.event
    return a.EventAnswer(one.version, event.time_ns // _MS, event.kind, one.device, one.tag, event.severity, event.payload())


def _with_nulls(column: Any) -> list[float | None]:
    return [None if isnan(value) else value for value in column.tolist()]
