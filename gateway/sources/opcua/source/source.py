"""One OPC UA server as a Source: its connections one after the other, and the tasks that run on each."""

import asyncio
from collections.abc import Sequence
from typing import Final

import numpy as np

from gateway.core.errors import NotConnected
from gateway.core.ports.plugin import DeviceEntry, SourceServices
from gateway.core.ports.source import Reading
from gateway.sources.opcua.config.device import OpcUaDevice, OpcUaTag
from gateway.sources.opcua.port.errors import Unanswered
from gateway.sources.opcua.port.session import Connect, Connection
from gateway.sources.opcua.port.values import DataValues
from gateway.sources.opcua.source.alarms import Alarms
from gateway.sources.opcua.source.decode import TagColumns
from gateway.sources.opcua.source.diagnostics import LOST, READ_REFUSED, Diagnostics
from gateway.sources.opcua.source.event_monitor import EventMonitor
from gateway.sources.opcua.source.history.backfill import Backfill
from gateway.sources.opcua.source.history.gaps import Gaps
from gateway.sources.opcua.source.history.watermark import Watermark
from gateway.sources.opcua.source.ingest import Ingest
from gateway.sources.opcua.source.item_map import ItemMap
from gateway.sources.opcua.source.keepalives import Keepalives
from gateway.sources.opcua.source.model_watch import ModelWatch
from gateway.sources.opcua.source.monitored_items import GRACE_S, MonitoredItems
from gateway.sources.opcua.source.poison_search import PoisonSearch
from gateway.sources.opcua.source.poison_state import PoisonState
from gateway.sources.opcua.source.polling import Polling
from gateway.sources.opcua.source.reading_queue import ReadingQueue
from gateway.sources.opcua.source.redundancy import RedundantServers
from gateway.sources.opcua.source.resume_filter import ResumeFilter
from gateway.sources.opcua.source.staleness import Staleness
from gateway.sources.opcua.source.statistics import Statistics
from gateway.sources.opcua.status.codes import has_new_meaning
from gateway.sources.opcua.status.explanation import explained

CHECK_S: Final = 10.0
WAITING_SAMPLES: Final = 100_000
REOPEN_S: Final = 0.1


class OpcUaSource:
    """A `Source` for one OPC UA server: a subscription, or polled reads with a fixed phase on the monotonic clock.

    A node that the server refuses costs its own samples (BAD_ADDRESS, BAD_CONFIG ...) and is retried on its own timer. One
    that brings the server's answers down is searched for (see `PoisonState`), by connections that nobody is told of.
    Between two reads at most `WAITING_SAMPLES` samples (or four per tag) wait; then the server waits, whose queues tell
    when they overflow. What was received before a connection was lost is still read.
    """

    def __init__(self, entry: DeviceEntry, services: SourceServices, connect: Connect) -> None:
        clock = services.clock
        self._config: OpcUaDevice = entry.config
        self._tags: Sequence[OpcUaTag] = entry.tags
        self._number = entry.number
        self._clock = clock
        self._servers = RedundantServers(self._config, connect, clock)
        self._columns = TagColumns.of(entry.first_tag, entry.tags)
        self._tagging = ItemMap(self._config, entry.tags)
        self._items = self._tagging.items
        self._inbox = ReadingQueue(max(WAITING_SAMPLES, 4 * len(self._tags)))
        self._connection: Connection | None = None
        self._tasks: asyncio.Task[None] | None = None
        self._lost = ""
        self._leaves = False
        self._heard = asyncio.Event()
        self._suspects = PoisonState(len(self._items))
        self._opened_s = self._heard_s = 0.0
        self._goes_on = False
        self._statistics = Statistics()
        self._keepalives = Keepalives(clock)
        exact = np.array([item.filter.is_exact for item in self._items], np.bool_)
        self._silence = Staleness(len(self._items), self._config.silence / 1e9, clock.monotonic(), exact)
        self._gaps = Gaps(len(self._items)) if self._config.history else None
        self._watermark: Watermark | None = None
        self._filling: Backfill | None = None
        if self._gaps is not None:
            held_s = entry.held_ns / 1e9
            self._watermark = Watermark(self._config, self._items, self._gaps, clock, services.watermarks, held_s)
            self._filling = Backfill(self._config, self._items, entry.number, clock, self._gaps, self._watermark, held_s)
        self._is_first = True
        self._is_taken_over = False
        self._repeats = ResumeFilter(entry.first_tag, len(entry.tags), polled=entry.config.mode == "poll")
        self._alarms = Alarms(entry.number, self._config.events, self._config.clock_tolerance)
        self._comparison = ModelWatch(self._config, entry.tags, entry.number, clock, services.request_restart)
        self._reset()

    def _reset(self) -> None:
        """What is known of a connection is forgotten with it."""
        config, clock, inbox, silence = self._config, self._clock, self._inbox, self._silence
        inbox.clear()
        suspects = self._suspects
        self._reports = Diagnostics(
            self._number, config.name, self._tags, clock, inbox, self._servers, self._statistics, suspects, self._comparison
        )
        self._taking = Ingest(
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
        first_tag, reports = self._columns.first_tag, self._reports
        self._watching = MonitoredItems(config, self._tagging, first_tag, clock, inbox, reports, silence, suspects)
        self._searching = PoisonSearch(
            suspects, self._tagging, clock, reports, self._watching, silence, self._taking, config
        )
        self._polling = Polling(self._items, clock, suspects, self._searching, self._taking, reports, self._polled)
        self._occurring = EventMonitor(config, self._alarms, self._comparison, clock, inbox, self._reports)

    @property
    def devices(self) -> Sequence[int]:
        """See `Source.devices`."""
        return (self._number,)

    async def open(self) -> None:
        """See `Source.open`: session, subscription and all monitored items; state and refused nodes wait for `read`.

        A session that could not be closed when its channel was lost is taken over, so that there are never two; but not with
        items in it that bring the server down.
        """
        try:
            await self._open()
        except Unanswered as error:
            self._servers.patience.missed()
            raise Unanswered(f"{error}{self._servers.patience.advice}") from None
        self._start()

    async def _open(self) -> None:
        if self._searching.is_stained:
            self._searching.is_stained = False
            await self._servers.drop()
        self._is_taken_over = await self._revived()
        if self._is_taken_over:
            return
        self._reset()
        self._connection = await self._servers.open()
        self._begin(continues=False)
        self._comparison.begin()
        if self._config.mode == "subscribe":
            try:
                await self._watching.begin(self._connection)
            except NotConnected as lost:
                self._searching.judge([lost], self._lasted_s([lost]), has_heard=False)
                raise
            self._reports.warn_of_queues(self._connection.queues, self._tagging)
            await self._occurring.watch(self._connection)
            if not self._comparison.is_pending:  # of a state one event is sent: it shall say why
                self._reports.tell()
        else:
            await self._watching.poll_all()
            await self._occurring.watch(self._connection)

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
        self._opened_s = self._heard_s = now_s = self._clock.monotonic()
        self._statistics.opened(now_s)
        self._silence.begin(now_s)
        if self._config.mode == "subscribe":
            self._repeats.expect(continues=continues)
        if self._gaps is not None and self._watermark is not None:
            if self._is_first:
                self._watermark.load()
            self._is_first = False
            self._gaps.on_connected()
            self._watermark.on_connected()

    def _start(self) -> None:
        assert self._connection is not None
        self._leaves = self._polling.is_repeating = False
        self._heard.clear()
        self._begun_ns = self._clock.now_ns()
        name = f"opcua {self._config.name}"
        self._tasks = asyncio.create_task(self._run(self._connection), name=name)
        self._tasks.add_done_callback(lambda _: self._inbox.wake())

    async def read(self) -> Reading:
        """See `Source.read`: everything that waits, merged."""
        while True:
            if self._watermark is not None:
                await self._watermark.admit()
            if (news := self._inbox.take()) is not None:
                if self._gaps is not None and self._inbox.is_taken:
                    self._gaps.hand_on()
                return news
            if self._tasks is None:
                raise NotConnected("not open")
            if self._tasks.done():
                self._tasks.result()
                if not self._goes_on:
                    raise NotConnected(self._lost)
                await self._reopen()
                continue
            await self._inbox.wait()

    async def _reopen(self) -> None:
        """A connection more for the search."""
        await self.close()
        await self._clock.sleep(REOPEN_S)
        await self.open()

    def stats(self) -> dict[int, dict[str, float | str]]:
        """See `Source.stats`."""
        traffic = self._connection.traffic if self._connection else None
        health = self._reports.health
        bad = health.statuses() + self._silence.bad_statuses(self._tagging.rows_of(health.bad_rows))
        report = self._statistics.report(self._servers.url, traffic, bad, self._clock.monotonic())
        short = len(self._connection.queues.short) if self._connection else 0
        refused = {"history_refused": self._filling.refused} if self._filling is not None else {}
        return {self._number: report | {"polled": len(self._watching.polled), "short_queues": short} | refused}

    async def close(self) -> None:
        """See `Source.close`."""
        self._goes_on = False
        tasks, self._tasks = self._tasks, None
        connection, self._connection = self._connection, None
        try:
            if tasks is not None:
                tasks.cancel()
                await asyncio.wait([tasks])
            for gap in self._gaps.waiting if self._gaps is not None else ():
                gap.return_lent(*self._inbox.late_parts)
        finally:
            if connection is not None:
                self._statistics.closed(connection.traffic)
                await connection.close(leave=self._leaves)
                self._servers.leave(connection)
            if self._watermark is not None and (connection is not None or self._watermark.is_owed):
                self._watermark.end(at_last=_is_stopping())

    async def _run(self, connection: Connection) -> None:
        subscribe = self._config.mode == "subscribe" and connection.keepalive_s > 0
        try:
            async with asyncio.TaskGroup() as group:
                for items in self._polling.groups(self._watching.polled):
                    group.create_task(self._polling.run(connection, items), name=f"opcua polls {self._config.name}")
                comparison = self._comparison.run(connection, self._inbox.report, self._reports.tell)
                group.create_task(comparison, name=f"opcua model {self._config.name}")
                group.create_task(self._taking.label(connection, self._suspects), name=f"opcua labels {self._config.name}")
                if subscribe:
                    group.create_task(self._receive(connection), name=f"opcua values {self._config.name}")
                elif connection.keepalive_s > 0:
                    group.create_task(self._occurring.hear(connection), name=f"opcua changes {self._config.name}")
                group.create_task(self._tend(connection), name=f"opcua tend {self._config.name}")
                group.create_task(self._searching.run(connection), name=f"opcua search {self._config.name}")
                if subscribe:
                    group.create_task(
                        self._keepalives.run(connection, self._servers.patience),
                        name=f"opcua keep-alives {self._config.name}",
                    )
                    group.create_task(self._watching.doubt(connection), name=f"opcua silence {self._config.name}")
                if subscribe and self._is_taken_over:
                    quiet_s = 2 * max((item.publishing_ns for item in self._items), default=0) / 1e9 + GRACE_S
                    group.create_task(self._taking.confirm(quiet_s, self._heard), name=f"opcua confirms {self._config.name}")
                if self._watermark is not None:
                    group.create_task(self._watermark.run(), name=f"opcua watermark {self._config.name}")
                if self._filling is not None:
                    taking, report = self._taking.take_past, self._inbox.report
                    filling = self._filling.run(connection, self._begun_ns, taking, self._reports, report)
                    group.create_task(filling, name=f"opcua history {self._config.name}")
        except* NotConnected as lost:
            self._lost = str(lost.exceptions[0])
            # A server that said nothing at all since it was opened is not worth another try with this session.
            is_silent = any(isinstance(one, Unanswered) for one in lost.exceptions)
            self._leaves = self._heard.is_set() and is_silent
            if is_silent:
                self._servers.patience.missed()
            self._goes_on = self._searching.judge(
                lost.exceptions,
                self._lasted_s(lost.exceptions),
                has_heard=self._heard.is_set() or self._polling.is_repeating,
            )
        finally:
            self._reports.report_losses()

    def _lasted_s(self, errors: Sequence[BaseException]) -> float:
        """How long the connection has served: that it was waited for in vain at last is no service."""
        is_silent = any(isinstance(one, Unanswered) for one in errors)
        return (self._heard_s if is_silent else self._clock.monotonic()) - self._opened_s

    async def _receive(self, connection: Connection) -> None:
        while True:
            self._keepalives.wait()
            values = await connection.next_values()
            self._servers.patience.delivered(self._keepalives.heard() - connection.keepalive_s)
            self._heard.set()
            self._heard_s = self._clock.monotonic()
            self._searching.miss(connection.traffic.undecoded, values.lost)
            if values.lost:
                self._reports.lose(LOST, values.lost)
            await self._occurring.take(connection, values)
            self._notice(values)
            await self._taking.take(values)

    def _notice(self, values: DataValues) -> None:
        """Another unit or range, as the values themselves tell it."""
        if has_new_meaning(values.columns.status):
            self._comparison.hurry()

    def _polled(self, values: DataValues) -> None:
        self._servers.patience.settle()
        self._heard_s = self._clock.monotonic()
        self._notice(values)

    async def _tend(self, connection: Connection) -> None:
        """Keep the session alive, retry refused nodes, let old complaints fade."""
        while True:
            await self._clock.sleep(min(CHECK_S, connection.check_s))
            if refused := await connection.check():
                self._reports.complain(f"{READ_REFUSED}: {explained(refused)}", 1)
            if self._servers.is_redundant:
                await self._servers.judge(connection)
            await self._watching.retry(connection)
            self._reports.look_at_queues(connection.queues)
            await self._occurring.retry(connection)
            self._reports.report_losses()
            self._reports.tell()


def _is_stopping() -> bool:
    """The supervisor that closes the source is itself being cancelled: not the connection ends, the gateway does."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
