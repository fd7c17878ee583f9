"""One session with one server, and the tasks that serve it."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.core.errors import NotConnected
from gateway.sources.opcua.port.session import Session
from gateway.sources.opcua.port.values import DataValues
from gateway.sources.opcua.source.diagnostics import LOST, READ_REFUSED, Diagnostics
from gateway.sources.opcua.source.event_monitor import EventMonitor
from gateway.sources.opcua.source.ingest import Ingest
from gateway.sources.opcua.source.label_requests import LabelRequests
from gateway.sources.opcua.source.liveness import Liveness, is_unanswered
from gateway.sources.opcua.source.monitored_items import MonitoredItems
from gateway.sources.opcua.source.poison_search import PoisonSearch
from gateway.sources.opcua.source.polling import Polling
from gateway.sources.opcua.source.source_device import SourceDevice
from gateway.sources.opcua.source.source_state import SourceState
from gateway.sources.opcua.status.codes import has_new_meaning
from gateway.sources.opcua.status.explanation import explained


@dataclass(frozen=True, slots=True)
class ConnectionLoss:
    """How a connection ended."""

    reason: str
    """For people."""
    keep_session: bool
    """The server fell silent after it had sent something: a frozen one shall keep its queues until it is back."""
    reconnect_now: bool
    """The search for nodes that bring connections down goes on, so the loss is not reported."""


class ConnectedServer:
    """A session and all that is known of it alone; made with it, and gone with it.

    `start` once, then `run` until the connection is lost, then `close`. Where the server keeps the session (see
    `RedundantServers.resume`) the same object goes on: `on_resumed`, `run`, `close`.
    """

    def __init__(self, device: SourceDevice, state: SourceState, session: Session) -> None:
        """Begin with an open session. state: what outlives it."""
        queue, memory, poison = state.queue, state.memory, state.poison
        self.session = session
        self.is_open = True
        """Between `close` and `on_resumed` it is not."""
        self._device = device
        self._state = state
        self._diagnostics = diagnostics = Diagnostics(device, queue, state.statistics, state.notes)
        self._ingest = ingest = Ingest(device, queue, diagnostics, memory)
        self._monitored = MonitoredItems(device, session.values, queue, diagnostics, memory.staleness, poison)
        self._search = PoisonSearch(device, session, poison, diagnostics, self._monitored, memory.staleness, ingest)
        self._polling = Polling(device, session.values, self._search, ingest, diagnostics, self._on_poll)
        self._events = EventMonitor(
            device, session.events, session.values, state.alarms, state.model_watch, queue, diagnostics
        )
        self._liveness = Liveness(session, state.servers.timeout, device.clock)

    async def start(self) -> None:
        """Create all subscriptions and monitored items; state and refused nodes wait in the queue. Raises NotConnected."""
        if not self._device.is_subscribed:
            await self._monitored.poll_all()
            self._diagnostics.report_granted(self.session.traffic.granted)
            await self._events.subscribe()
            return
        try:
            await self._monitored.add_all()
        except NotConnected as lost:
            self._search.on_lost([lost], self._liveness.served_s([lost]), has_received=False)
            raise
        self._diagnostics.warn_of_queues(self.session.values.short_queues)
        self._diagnostics.report_granted(self.session.traffic.granted)
        await self._events.subscribe()
        if not self._state.model_watch.is_pending:  # only one state is reported: it shall give the reason
            self._diagnostics.report_state()

    def on_resumed(self) -> None:
        """Begin anew with the session as it was left behind, with everything in it."""
        self.is_open = True
        self._liveness.restart()
        self._diagnostics.report_state()

    async def run(self, *, is_resumed: bool) -> ConnectionLoss:
        """Serve the session until its connection is lost; return how that came."""
        self._polling.is_repeating = False
        errors: Sequence[BaseException] = ()
        try:
            async with asyncio.TaskGroup() as group:
                for name, task in self._tasks(is_resumed):
                    group.create_task(task, name=f"opcua {name} {self._device.name}")
        except* NotConnected as lost:
            errors = lost.exceptions
        finally:
            self._diagnostics.report_losses()
        return self._loss(errors)

    def _tasks(self, is_resumed: bool) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        """Yield the name and coroutine of each task; the loss of the connection ends them all."""
        state, session, push = self._state, self.session, self._state.queue.push
        has_subscription = session.keepalive_s > 0
        for items in self._polling.groups(self._monitored.polled):
            yield "polls", self._polling.run(items)
        yield "model", state.model_watch.run(session.metadata, push, self._diagnostics.report_state)
        requests = LabelRequests(
            self._device,
            session.metadata,
            session.values,
            self._ingest,
            self._diagnostics,
            state.memory.staleness,
            state.poison,
        )
        yield "labels", requests.run()
        if has_subscription and not self._device.is_subscribed:
            yield "events", self._events.run()
        yield "checks", self._run_checks()
        yield "search", self._search.run()
        if has_subscription and self._device.is_subscribed:
            yield "notifications", self._receive()
            yield "keep-alives", self._liveness.run()
            yield "staleness", self._monitored.watch_staleness()
            if is_resumed:
                quiet_s = 2 * self._device.publishing_s + self._device.intervals.grace_s
                yield "confirmation", self._ingest.confirm(quiet_s, self._liveness.has_received)
        if (history := state.history) is not None:
            begun_ns = self._device.clock.now_ns()
            yield "watermark", history.run_watermark()
            yield "backfill", history.run_backfill(session, begun_ns, self._ingest.put_past, self._diagnostics, push)

    def _loss(self, errors: Sequence[BaseException]) -> ConnectionLoss:
        has_received = self._liveness.has_received.is_set()
        is_silent = is_unanswered(errors)
        if is_silent:
            self._state.servers.timeout.record_timeout()
        reconnect_now = self._search.on_lost(
            errors, self._liveness.served_s(errors), has_received=has_received or self._polling.is_repeating
        )
        # A server that sent nothing at all since it was opened is not worth another try with this session.
        return ConnectionLoss(str(errors[0]), has_received and is_silent, reconnect_now)

    async def close(self, *, keep_session: bool) -> None:
        """Close the connection, and end the session unless it is to be kept. Never raises."""
        if self.is_open:
            self.is_open = False
            self._state.statistics.on_closed(self.session.traffic)
            await self.session.close(leave=keep_session)
            self._state.servers.on_closed(self.session)

    def figures(self) -> dict[str, int]:
        """Return what is counted of this session alone: `polled` items, and `short_queues` while it is open."""
        return {
            "polled": len(self._monitored.polled),
            "short_queues": len(self.session.values.short_queues) if self.is_open else 0,
        }

    def bad_statuses(self) -> Counter[int]:
        """Return how many nodes have what bad status at present."""
        refused = self._diagnostics.bad_item_rows
        return self._diagnostics.health.statuses() + self._state.memory.staleness.bad_statuses(refused)

    async def _receive(self) -> None:
        """Take notifications of the subscriptions for ever."""
        while True:
            self._liveness.on_wait()
            values = await self.session.values.next_notification()
            self._liveness.on_notification()
            self._search.on_missing(self.session.traffic.undecoded, values.lost)
            if values.lost:
                self._diagnostics.count_loss(LOST, values.lost)
            await self._events.put(values)
            self._check_meaning(values)
            await self._ingest.put(values)

    def _on_poll(self, values: DataValues) -> None:
        self._liveness.on_poll()
        self._check_meaning(values)

    def _check_meaning(self, values: DataValues) -> None:
        """Compare the model soon where values say that their unit or range has changed (SemanticsChanged, Part 8, 6.3.1)."""
        if has_new_meaning(values.columns.status):
            self._state.model_watch.hurry()

    async def _run_checks(self) -> None:
        """Keep the session alive, look for a better server, retry what is refused and report the state, for ever."""
        servers = self._state.servers
        while True:
            await self._device.clock.sleep(min(self._device.intervals.check_s, self.session.check_s))
            if refused := await self.session.check():
                self._diagnostics.warn(f"{READ_REFUSED}: {explained(refused)}", 1)
            if servers.is_redundant:
                await servers.evaluate(self.session)
            await self._monitored.retry()
            await self._events.retry()
            self._diagnostics.report_losses()
            self._diagnostics.report_state()
