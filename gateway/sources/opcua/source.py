"""One OPC UA server as a Source."""

import asyncio
import logging
import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from gateway.core.blocks import SampleBlock
from gateway.core.clock import Clock
from gateway.core.errors import NotConnected
from gateway.core.messages import Event
from gateway.core.ports import Reading
from gateway.core.sourcekind import DeviceEntry
from gateway.sources.opcua.alarms import Alarms
from gateway.sources.opcua.comparing import Comparison
from gateway.sources.opcua.config import OpcUaDevice, OpcUaTag
from gateway.sources.opcua.connection import Connect, Connection, DataValues, Item, ValueColumns
from gateway.sources.opcua.decode import TagColumns, decode
from gateway.sources.opcua.gaps import Gaps
from gateway.sources.opcua.health import Health
from gateway.sources.opcua.inbox import Inbox
from gateway.sources.opcua.labels import Labels
from gateway.sources.opcua.readback import Historian
from gateway.sources.opcua.redundancy import Servers
from gateway.sources.opcua.silence import Silence, stale_rows
from gateway.sources.opcua.statistics import Statistics
from gateway.sources.opcua.status import (
    CANNOT_SUBSCRIBE,
    count_overflows,
    is_good,
    node_faults,
    qualities_of,
    status_name,
)
from gateway.sources.opcua.tagging import Tagging

log = logging.getLogger(__name__)

CHECK_S: Final = 10.0
SILENT_KEEPALIVES: Final = 3
WAITING_SAMPLES: Final = 100_000
GRACE_S: Final = 0.5
EVENTS_RETRY_S: Final = 60.0

OVERFLOWED: Final = "the server drops samples because its queues are too short: raise queue_size or lower interval"
LOST: Final = "notifications were lost on the way"
STALE: Final = "nodes said nothing although their values changed, and are watched anew"
EVENTS_LOST: Final = "the server dropped events because they came too fast"
DEAD: Final = "the server keeps the connection alive but sends no data, not even for nodes that were just added"
OVERRUN: Final = "polls are skipped because reading all nodes takes longer than the interval"


class OpcUaSource:
    """A `Source` for one OPC UA server: a subscription, or polled reads with a fixed phase on the monotonic clock.

    A node that the server refuses costs its own samples (BAD_ADDRESS, BAD_CONFIG ...) and is retried on its own timer.
    Between two reads at most `WAITING_SAMPLES` samples (or four per tag) wait; then the server waits, whose queues tell
    when they overflow. What was received before a connection was lost is still read.
    """

    def __init__(self, entry: DeviceEntry, clock: Clock, connect: Connect) -> None:
        self._config: OpcUaDevice = entry.config
        self._tags: Sequence[OpcUaTag] = entry.tags
        self._number = entry.number
        self._clock = clock
        self._servers = Servers(self._config, connect, clock)
        self._columns = TagColumns.of(entry.first_tag, entry.tags)
        self._tagging = Tagging(self._config, entry.tags)
        self._items = self._tagging.items
        self._polled: set[int] = set()
        self._connection: Connection | None = None
        self._tasks: asyncio.Task[None] | None = None
        self._lost = ""
        self._statistics = Statistics()
        self._waiting_since: float | None = None
        exact = np.array([item.filter.is_exact for item in self._items], np.bool_)
        self._silence = Silence(len(self._items), self._config.silence / 1e9, clock.monotonic(), exact)
        self._gaps = Gaps(len(self._items)) if self._config.history else None
        self._alarms = Alarms(entry.number, self._config.events, self._config.clock_tolerance)
        self._events_due_s = math.inf
        self._adding = asyncio.Lock()
        self._comparison = Comparison(self._config, entry.number, clock)
        self._reset()

    def _reset(self) -> None:
        self._health = Health(self._number, self._tags)
        self._labels = Labels(self._columns.first_tag, len(self._tags))
        self._inbox = Inbox(max(WAITING_SAMPLES, 4 * len(self._tags)))
        self._dropped = dict.fromkeys((OVERFLOWED, LOST, STALE, EVENTS_LOST), 0)

    @property
    def devices(self) -> Sequence[int]:
        """See `Source.devices`."""
        return (self._number,)

    async def open(self) -> None:
        """See `Source.open`: session, subscription and all monitored items; state and refused nodes wait for `read`.

        A session that could not be closed when its channel was lost is taken over, so that there are never two.
        """
        if await self._revived():
            self._start()
            return
        self._reset()
        self._connection = await self._servers.open()
        self._begin()
        self._polled = set()
        if self._config.mode == "subscribe":
            await self._watch_nodes(self._connection, self._items)
            await self._watch_events(self._connection)
            self._tell()
        else:
            self._polled = {item.row for item in self._items}
        self._start()

    async def _revived(self) -> bool:
        self._connection = await self._servers.resume()
        if self._connection is None:
            return False
        self._inbox = Inbox(max(WAITING_SAMPLES, 4 * len(self._tags)))
        self._begin()
        self._tell()
        return True

    def _begin(self) -> None:
        """A gap begins where something was heard last: what overflowed the server's queues meanwhile is in it, too."""
        now_s = self._clock.monotonic()
        self._statistics.opened(now_s)
        self._silence.begin(now_s)
        if self._gaps is not None:
            self._gaps.begin()

    def _start(self) -> None:
        assert self._connection is not None
        name = f"opcua {self._config.name}"
        self._tasks = asyncio.create_task(self._run(self._connection), name=name)
        self._tasks.add_done_callback(lambda _: self._inbox.wake())

    async def read(self) -> Reading:
        """See `Source.read`: everything that waits, merged."""
        while True:
            if (news := self._inbox.take()) is not None:
                return news
            if self._tasks is None:
                raise NotConnected("not open")
            if self._tasks.done():
                self._tasks.result()
                raise NotConnected(self._lost)
            await self._inbox.wait()

    def stats(self) -> dict[int, dict[str, float | str]]:
        """See `Source.stats`."""
        traffic = self._connection.traffic if self._connection else None
        bad_rows = self._tagging.rows_of(self._health.bad_rows)
        bad = self._health.statuses() + self._silence.bad_statuses(bad_rows)
        report = self._statistics.report(self._servers.url, traffic, bad, self._clock.monotonic())
        return {self._number: report | {"polled": len(self._polled)}}

    async def close(self) -> None:
        """See `Source.close`."""
        tasks, self._tasks = self._tasks, None
        connection, self._connection = self._connection, None
        try:
            if tasks is not None:
                tasks.cancel()
                await asyncio.wait([tasks])
        finally:
            if connection is not None:
                self._statistics.closed(connection.traffic)
                await connection.close()
                self._servers.leave(connection)

    async def _run(self, connection: Connection) -> None:
        subscribe = self._config.mode == "subscribe" and connection.keepalive_s > 0
        try:
            async with asyncio.TaskGroup() as group:
                for interval_ns in sorted({item.publishing_ns for item in self._items if item.row in self._polled}):
                    group.create_task(self._poll(connection, interval_ns), name=f"opcua polls {self._config.name}")
                comparison = self._comparison.run(connection, self._inbox.report)
                group.create_task(comparison, name=f"opcua model {self._config.name}")
                group.create_task(self._label(connection), name=f"opcua labels {self._config.name}")
                if subscribe:
                    group.create_task(self._receive(connection), name=f"opcua values {self._config.name}")
                group.create_task(self._tend(connection), name=f"opcua tend {self._config.name}")
                if subscribe:
                    group.create_task(self._listen(connection), name=f"opcua keep-alives {self._config.name}")
                    group.create_task(self._doubt(connection), name=f"opcua silence {self._config.name}")
                if self._gaps is not None and self._gaps.waiting:
                    back = self._read_back(connection, self._gaps)
                    group.create_task(back, name=f"opcua history {self._config.name}")
        except* NotConnected as lost:
            self._lost = str(lost.exceptions[0])
        finally:
            self._report_losses()

    async def _receive(self, connection: Connection) -> None:
        while True:
            self._waiting_since = self._clock.monotonic()
            values = await connection.next_values()
            self._waiting_since = None
            if values.lost:
                self._lose(LOST, values.lost)
            if values.events:
                await self._take_events(connection, values)
            await self._accept(values)

    async def _listen(self, connection: Connection) -> None:
        """Fail when the server owes us a notification and is silent, keep-alives too (OPC UA Part 4, 5.13.1.1)."""
        limit_s = SILENT_KEEPALIVES * connection.keepalive_s
        while True:
            since = self._waiting_since
            silent_s = 0.0 if since is None else self._clock.monotonic() - since
            if silent_s >= limit_s:
                raise NotConnected(f"the subscription has been silent for {silent_s:.1f} s")
            await self._clock.sleep(limit_s - silent_s)

    async def _poll(self, connection: Connection, interval_ns: int) -> None:
        interval_s = interval_ns / 1e9
        items = [item for item in self._items if item.row in self._polled and item.publishing_ns == interval_ns]
        start, turn = self._clock.monotonic(), 0
        while True:
            for values in await connection.read(items):
                await self._accept(values)
            self._tell()
            now = self._clock.monotonic()
            due = int((now - start) / interval_s) + 1
            if due - turn > 1:
                self._complain(OVERRUN, due - turn - 1)
            turn = due
            await self._clock.sleep(start + turn * interval_s - now)

    async def _tend(self, connection: Connection) -> None:
        """Keep the session alive, retry refused nodes, let old complaints fade."""
        while True:
            await self._clock.sleep(min(CHECK_S, connection.check_s))
            await connection.check()
            if self._servers.is_redundant:
                await self._servers.judge(connection)
            due = self._tagging.items_of(self._health.due(self._clock.monotonic()))
            if due := [item for item in due if item.row not in self._polled]:
                await self._watch_nodes(connection, due)
            if self._clock.monotonic() >= self._events_due_s:
                await self._watch_events(connection)
            self._report_losses()
            self._tell()

    async def _doubt(self, connection: Connection) -> None:
        """Do not believe in silence for ever: see `Silence`."""
        sampling = max((item.sampling_ns for item in self._items), default=0)
        interval = max((item.publishing_ns for item in self._items), default=0)
        grace_s = (2 * interval + sampling) / 1e9 + GRACE_S
        while self._config.silence:
            await self._clock.sleep(min(CHECK_S, self._config.silence / 4e9))
            bad = self._tagging.rows_of(self._health.bad_rows) | self._polled
            stale = await stale_rows(self._silence, connection, self._items, bad, self._clock, grace_s)
            if stale:
                added_s = self._clock.monotonic()
                await self._watch_nodes(connection, [self._items[row] for row in stale])
                accepted = set(stale) - self._tagging.rows_of(self._health.bad_rows)
                if accepted:
                    self._lose(STALE, len(accepted))
                    await self._clock.sleep(grace_s)
                    if not self._silence.any_heard(accepted, added_s):
                        self._silence.in_vain()
                        raise NotConnected(DEAD)

    async def _label(self, connection: Connection) -> None:
        """Ask once what the numbers of enumerations mean, and tell the present ones; later ones are told as they come."""
        found = await connection.labels(self._items)
        labels = [(row, some) for item, some in zip(self._items, found, strict=True) for row in self._tagging.whole(item)]
        rows = self._labels.learn(labels)
        for values in await connection.read(self._tagging.items_of(rows)) if rows else ():
            block, _ = decode(self._tagging.spread(values), self._columns, self._config.clock_tolerance)
            if (told := self._labels.of(block)) is not None:
                self._inbox.report(told)

    async def _read_back(self, connection: Connection, gaps: Gaps) -> None:
        """Fill the gap from the server's history, once the first values say where it ends; only with believable times."""
        await self._clock.sleep(2 * self._config.interval / 1e9 + GRACE_S)
        now_ns = self._clock.now_ns()
        if abs(connection.traffic.clock_ms) * 1e6 > self._config.clock_tolerance:
            log.warning("%s: history is not read back because the clocks differ", self._config.name)
            return
        gaps.settle(now_ns)

        async def put(values: DataValues) -> None:
            block, _ = decode(self._tagging.spread(values), self._columns, self._config.clock_tolerance)
            self._statistics.history += len(block)
            await self._inbox.put_late(block)

        historian = Historian(connection, self._items, self._clock, self._config.history_samples, put)
        for result in await historian.read(gaps, now_ns - self._config.history_most):
            if result.nodes:
                self._inbox.report(Event("history", self._clock.now_ns(), self._number, None, result.detail()))

    async def _watch_nodes(self, connection: Connection, items: Sequence[Item]) -> None:
        """Create monitored items; refused ones are bad from now on, those that recovered will send their value."""
        async with self._adding:
            statuses = await connection.add_items(items)
        if self._tasks is None:  # later on, nobody would begin to poll them
            statuses = self._poll_instead(items, statuses)
        now_s = self._clock.monotonic()
        told = [(row, status) for item, status in zip(items, statuses, strict=True) for row in self._tagging.tags_of(item)]
        refused = [(row, status) for row, status in told if not is_good(status)]
        self._health.accept(row for row, status in told if is_good(status))
        news = [(row, status) for row, status in refused if self._health.fail(row, status, now_s)]
        if news:
            rows, codes = (np.array(column, np.uint32) for column in zip(*news, strict=True))
            times, values = np.full(rows.size, self._clock.now_ns(), np.int64), np.full(rows.size, np.nan)
            tags = rows + np.uint32(self._columns.first_tag)
            await self._inbox.put(SampleBlock(tags, times, values, qualities_of(codes)))

    def _poll_instead(self, items: Sequence[Item], statuses: Sequence[int]) -> list[int]:
        """Items that the server cannot watch, but may let us read, are polled."""
        self._polled = {item.row for item, status in zip(items, statuses, strict=True) if status in CANNOT_SUBSCRIBE}
        if self._polled:
            reason = status_name(next(status for status in statuses if status in CANNOT_SUBSCRIBE))
            log.warning("%s: %d of %d nodes are polled: %s", self._config.name, len(self._polled), len(items), reason)
        return [0 if item.row in self._polled else status for item, status in zip(items, statuses, strict=True)]

    async def _watch_events(self, connection: Connection) -> None:
        """Subscribe to events and have the conditions told that hold; all again in a minute if one is refused."""
        wanted = self._config.events
        if not wanted:
            return
        statuses = await connection.add_events(wanted)
        refused = [(one.notifier, status) for one, status in zip(wanted, statuses, strict=True) if not is_good(status)]
        self._events_due_s = self._clock.monotonic() + EVENTS_RETRY_S if refused else math.inf
        for notifier, status in refused:
            self._complain(f"events of {notifier} are refused: {status_name(status)}", 1)
        if len(refused) < len(wanted):
            await connection.refresh_conditions()

    async def _take_events(self, connection: Connection, values: DataValues) -> None:
        off_ns = values.server_clock_ns - values.received_ns if values.server_clock_ns else 0
        for given in values.events:
            for event in self._alarms.take(given, values.received_ns, abs(off_ns) <= self._config.clock_tolerance):
                self._statistics.events += 1
                self._inbox.report(event)
        if self._alarms.lost:
            self._lose(EVENTS_LOST, 1)
        if self._alarms.needs_refresh:
            await connection.refresh_conditions()
        self._alarms.lost = self._alarms.needs_refresh = False

    async def _accept(self, values: DataValues) -> None:
        if not len(values):
            return
        self._statistics.values += len(values)
        self._silence.heard(values.columns, self._clock.monotonic())
        if self._gaps is not None:
            self._gaps.heard(values.columns)
        values = self._tagging.spread(values)
        block, objects = decode(values, self._columns, self._config.clock_tolerance)
        overflows = count_overflows(values.columns.status)
        if overflows:
            self._statistics.overflows += overflows
            self._lose(OVERFLOWED, overflows)
        self._judge_nodes(values.columns)
        for told in (objects, self._labels.of(block)):
            if told is not None:
                self._inbox.report(told)
        await self._inbox.put(block)

    def _judge_nodes(self, columns: ValueColumns) -> None:
        """A node that vanishes or comes back while it is watched or polled."""
        blamed = node_faults(qualities_of(columns.status))
        bad_rows = self._health.bad_rows
        if not bad_rows and not blamed.any():
            return
        now_s = self._clock.monotonic()
        for row, status in zip(columns.row[blamed].tolist(), columns.status[blamed].tolist(), strict=True):
            if row not in bad_rows:
                self._health.fail(row, status, now_s)
        self._health.heal(bad_rows.intersection(columns.row[~blamed].tolist()))
        self._tell()

    def _lose(self, sentence: str, count: int) -> None:
        self._dropped[sentence] += count
        self._statistics.lost += count
        self._complain(sentence, count)

    def _report_losses(self) -> None:
        """What the server dropped or the way swallowed since the last report, as events."""
        for sentence, count in self._dropped.items():
            if count:
                detail = {"reason": sentence, "at_least": count, "severity": 500}
                self._inbox.report(Event("samples_lost", self._clock.now_ns(), self._number, None, detail))
                self._dropped[sentence] = 0

    def _complain(self, sentence: str, count: int) -> None:
        if self._health.complain(sentence, self._clock.monotonic()):
            log.warning("%s: %s (%d)", self._config.name, sentence, count)
        self._tell()

    def _tell(self) -> None:
        self._inbox.tell(self._health.state(self._clock.monotonic(), self._servers.note))
