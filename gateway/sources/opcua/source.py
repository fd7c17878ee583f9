"""One OPC UA server as a Source: its connections one after the other, and the tasks that run on each."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

import numpy as np

from gateway.core.clock import Clock
from gateway.core.errors import NotConnected
from gateway.core.messages import Event
from gateway.core.ports import Reading
from gateway.core.sourcekind import DeviceEntry
from gateway.sources.opcua.advice import explained
from gateway.sources.opcua.alarms import Alarms
from gateway.sources.opcua.config import OpcUaDevice, OpcUaTag
from gateway.sources.opcua.connection import Connect, Connection, Unanswered
from gateway.sources.opcua.decode import TagColumns
from gateway.sources.opcua.history.gaps import Gaps
from gateway.sources.opcua.history.kept import Kept
from gateway.sources.opcua.history.readback import Historian
from gateway.sources.opcua.inbox import Inbox
from gateway.sources.opcua.model.comparing import Comparison
from gateway.sources.opcua.occurring import Occurring
from gateway.sources.opcua.patience import AFTER_STALL_S
from gateway.sources.opcua.repeats import Repeats
from gateway.sources.opcua.reports import LOST, OVERRUN, READ_REFUSED, Reports
from gateway.sources.opcua.servers.redundancy import Servers
from gateway.sources.opcua.silence import Silence
from gateway.sources.opcua.statistics import Statistics
from gateway.sources.opcua.tagging import Tagging
from gateway.sources.opcua.taking import Taking
from gateway.sources.opcua.watching import GRACE_S, Watching

log = logging.getLogger(__name__)

CHECK_S: Final = 10.0
SILENT_KEEPALIVES: Final = 3
WAITING_SAMPLES: Final = 100_000


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
        self._inbox = Inbox(max(WAITING_SAMPLES, 4 * len(self._tags)))
        self._connection: Connection | None = None
        self._tasks: asyncio.Task[None] | None = None
        self._lost = ""
        self._leaves = self._has_heard = False
        self._statistics = Statistics()
        self._waiting_since: float | None = None
        exact = np.array([item.filter.is_exact for item in self._items], np.bool_)
        self._silence = Silence(len(self._items), self._config.silence / 1e9, clock.monotonic(), exact)
        self._gaps = Gaps(len(self._items)) if self._config.history else None
        self._kept = Kept(self._config, self._items, self._gaps, clock) if self._gaps is not None else None
        self._is_first = True
        self._is_taken_over = False
        self._repeats = Repeats(entry.first_tag, len(entry.tags), polled=entry.config.mode == "poll")
        self._alarms = Alarms(entry.number, self._config.events, self._config.clock_tolerance)
        self._comparison = Comparison(self._config, entry.tags, entry.number, clock)
        self._reset()

    def _reset(self) -> None:
        """What is known of a connection is forgotten with it."""
        config, clock, inbox, silence = self._config, self._clock, self._inbox, self._silence
        inbox.clear()
        self._reports = Reports(self._number, config.name, self._tags, clock, inbox, self._servers, self._statistics)
        self._taking = Taking(
            self._columns,
            self._tagging,
            config.clock_tolerance,
            clock,
            inbox,
            self._reports,
            silence,
            self._gaps,
            self._repeats,
        )
        self._watching = Watching(config, self._tagging, self._columns.first_tag, clock, inbox, self._reports, silence)
        self._occurring = Occurring(config, self._alarms, self._comparison, clock, inbox, self._reports)

    @property
    def devices(self) -> Sequence[int]:
        """See `Source.devices`."""
        return (self._number,)

    async def open(self) -> None:
        """See `Source.open`: session, subscription and all monitored items; state and refused nodes wait for `read`.

        A session that could not be closed when its channel was lost is taken over, so that there are never two.
        """
        try:
            await self._open()
        except Unanswered as error:
            self._servers.patience.missed()
            raise Unanswered(f"{error}{self._servers.patience.advice}") from None
        self._start()

    async def _open(self) -> None:
        self._is_taken_over = await self._revived()
        if self._is_taken_over:
            return
        self._reset()
        self._connection = await self._servers.open()
        self._begin(continues=False)
        if self._config.mode == "subscribe":
            await self._watching.begin(self._connection)
            await self._occurring.watch(self._connection)
            self._reports.tell()
        else:
            self._watching.poll_all()

    async def _revived(self) -> bool:
        self._connection = await self._servers.resume()
        if self._connection is None:
            return False
        self._inbox.clear()
        self._begin(continues=True)
        self._reports.tell()
        return True

    def _begin(self, *, continues: bool) -> None:
        """A gap begins where something was heard last: what overflowed the server's queues meanwhile is in it, too."""
        now_s = self._clock.monotonic()
        self._statistics.opened(now_s)
        self._silence.begin(now_s)
        if self._config.mode == "subscribe":
            self._repeats.expect(continues=continues)
        if self._gaps is not None and self._kept is not None:
            if self._is_first:
                self._kept.recall()
            self._is_first = False
            self._gaps.begin()

    def _start(self) -> None:
        assert self._connection is not None
        self._leaves = self._has_heard = False
        name = f"opcua {self._config.name}"
        self._tasks = asyncio.create_task(self._run(self._connection), name=name)
        self._tasks.add_done_callback(lambda _: self._inbox.wake())

    async def read(self) -> Reading:
        """See `Source.read`: everything that waits, merged."""
        while True:
            if (news := self._inbox.take()) is not None:
                if self._gaps is not None and self._inbox.is_taken:
                    self._gaps.take()
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
        health = self._reports.health
        bad = health.statuses() + self._silence.bad_statuses(self._tagging.rows_of(health.bad_rows))
        report = self._statistics.report(self._servers.url, traffic, bad, self._clock.monotonic())
        return {self._number: report | {"polled": len(self._watching.polled)}}

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
                await connection.close(leave=self._leaves)
                self._servers.leave(connection)
                if self._kept is not None:
                    await self._kept.end(at_last=_is_stopping())

    async def _run(self, connection: Connection) -> None:
        subscribe = self._config.mode == "subscribe" and connection.keepalive_s > 0
        try:
            async with asyncio.TaskGroup() as group:
                for interval_ns in sorted({item.publishing_ns for item in self._items if item.row in self._watching.polled}):
                    group.create_task(self._poll(connection, interval_ns), name=f"opcua polls {self._config.name}")
                comparison = self._comparison.run(connection, self._inbox.report)
                group.create_task(comparison, name=f"opcua model {self._config.name}")
                group.create_task(self._taking.label(connection), name=f"opcua labels {self._config.name}")
                if subscribe:
                    group.create_task(self._receive(connection), name=f"opcua values {self._config.name}")
                group.create_task(self._tend(connection), name=f"opcua tend {self._config.name}")
                if subscribe:
                    group.create_task(self._listen(connection), name=f"opcua keep-alives {self._config.name}")
                    group.create_task(self._watching.doubt(connection), name=f"opcua silence {self._config.name}")
                if subscribe and self._is_taken_over:
                    quiet_s = 2 * max((item.publishing_ns for item in self._items), default=0) / 1e9 + GRACE_S
                    group.create_task(self._taking.confirm(quiet_s), name=f"opcua confirms {self._config.name}")
                if self._kept is not None:
                    group.create_task(self._kept.run(), name=f"opcua kept {self._config.name}")
                if self._gaps is not None and self._gaps.waiting:
                    back = self._read_back(connection, self._gaps)
                    group.create_task(back, name=f"opcua history {self._config.name}")
        except* NotConnected as lost:
            self._lost = str(lost.exceptions[0])
            # A server that said nothing at all since it was opened is not worth another try with this session.
            is_silent = any(isinstance(one, Unanswered) for one in lost.exceptions)
            self._leaves = self._has_heard and is_silent
            if is_silent:
                self._servers.patience.missed()
        finally:
            self._reports.report_losses()

    async def _receive(self, connection: Connection) -> None:
        while True:
            self._waiting_since = self._clock.monotonic()
            values = await connection.next_values()
            late_s = self._clock.monotonic() - self._waiting_since - connection.keepalive_s
            self._waiting_since, self._has_heard = None, True
            self._servers.patience.answered(late_s)
            self._servers.patience.settle()
            if values.lost:
                self._reports.lose(LOST, values.lost)
            await self._occurring.take(connection, values)
            await self._taking.take(values)

    async def _listen(self, connection: Connection) -> None:
        """Fail when the server owes us a notification and is silent, keep-alives too (OPC UA Part 4, 5.13.1.1)."""
        while True:
            limit_s = SILENT_KEEPALIVES * connection.keepalive_s * self._servers.patience.stretch
            since = self._waiting_since
            silent_s = 0.0 if since is None else self._clock.monotonic() - since
            if silent_s >= limit_s:
                await self._clock.sleep(AFTER_STALL_S)
                if self._waiting_since != since:
                    continue
                raise Unanswered(f"the subscription has been silent for {silent_s:.1f} s")
            await self._clock.sleep(limit_s - silent_s)

    async def _poll(self, connection: Connection, interval_ns: int) -> None:
        interval_s = interval_ns / 1e9
        items = [item for item in self._items if item.row in self._watching.polled and item.publishing_ns == interval_ns]
        start, turn = self._clock.monotonic(), 0
        while True:
            for values in await connection.read(items):
                await self._taking.take(values, was_read=True)
            self._servers.patience.settle()
            self._reports.tell()
            now = self._clock.monotonic()
            due = int((now - start) / interval_s) + 1
            if due - turn > 1:
                self._reports.complain(OVERRUN, due - turn - 1)
            turn = due
            await self._clock.sleep(start + turn * interval_s - now)

    async def _tend(self, connection: Connection) -> None:
        """Keep the session alive, retry refused nodes, let old complaints fade."""
        while True:
            await self._clock.sleep(min(CHECK_S, connection.check_s))
            if refused := await connection.check():
                self._reports.complain(f"{READ_REFUSED}: {explained(refused)}", 1)
            if self._servers.is_redundant:
                await self._servers.judge(connection)
            await self._watching.retry(connection)
            await self._occurring.retry(connection)
            self._reports.report_losses()
            self._reports.tell()

    async def _read_back(self, connection: Connection, gaps: Gaps) -> None:
        """Fill the gap from the server's history, once the first values say where it ends; only with believable times."""
        await self._clock.sleep(2 * self._config.interval / 1e9 + GRACE_S)
        now_ns = self._clock.now_ns()
        if abs(connection.traffic.clock_ms) * 1e6 > self._config.clock_tolerance:
            log.warning("%s: history is not read back because the clocks differ", self._config.name)
            return
        gaps.settle(now_ns)
        historian = Historian(connection, self._items, self._clock, self._config.history_samples, self._taking.take_past)
        for result in await historian.read(gaps, now_ns - self._config.history_most):
            if result.nodes or result.skipped_ns:
                self._inbox.report(Event("history", self._clock.now_ns(), self._number, None, result.detail()))


def _is_stopping() -> bool:
    """The supervisor that closes the source is itself being cancelled: not the connection ends, the gateway does."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
