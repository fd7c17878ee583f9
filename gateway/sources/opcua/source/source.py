"""One OPC UA server as a Source: its connections one after the other."""

import asyncio
from collections.abc import Sequence
from typing import Final

from gateway.core.errors import NotConnected
from gateway.core.ports.plugin import DeviceEntry, SourceServices
from gateway.core.ports.source import Reading
from gateway.sources.opcua.port.errors import Unanswered
from gateway.sources.opcua.port.session import Connect
from gateway.sources.opcua.source.connected_server import ConnectedServer, ConnectionLoss
from gateway.sources.opcua.source.intervals import DEFAULT_INTERVALS, Intervals
from gateway.sources.opcua.source.source_device import SourceDevice
from gateway.sources.opcua.source.source_state import SourceState

QUEUE_SAMPLES: Final = 100_000


class OpcUaSource:
    """A `Source` for one OPC UA server: a subscription, or polled reads with a fixed phase on the monotonic clock.

    A node that the server refuses costs its own samples (BAD_ADDRESS, BAD_CONFIG ...) and is retried on its own timer. One
    that brings the server's answers down is searched for (see `PoisonState`), by connections that are not reported.
    Between two reads at most `queue_samples` samples (or four per tag) wait; then the server waits, whose queues report
    when they overflow. What was received before a connection was lost is still read.
    """

    def __init__(
        self,
        entry: DeviceEntry,
        services: SourceServices,
        connect: Connect,
        intervals: Intervals = DEFAULT_INTERVALS,
        queue_samples: int = QUEUE_SAMPLES,
    ) -> None:
        """Begin closed, without I/O. connect: opens a session with a server."""
        self._device = SourceDevice.of(entry, services.clock, intervals)
        self._state = SourceState(self._device, services, connect, queue_samples)
        self._server: ConnectedServer | None = None
        """The newest session; closed it stays, because the server may keep it to be resumed."""
        self._run: asyncio.Task[ConnectionLoss] | None = None
        """Serves the open connection; done once it is lost, None while there is none."""

    @property
    def devices(self) -> Sequence[int]:
        """See `Source.devices`."""
        return (self._device.number,)

    async def open(self) -> None:
        """See `Source.open`: session, subscription and all monitored items; state and refused nodes wait for `read`.

        A session that could not be closed when its channel was lost is resumed, so that there are never two; but not with
        items in it that bring the server down.
        """
        try:
            server = await self._resume()
            is_resumed = server is not None
            if server is None:
                server = await self._open_new()
        except Unanswered as error:
            timeout = self._state.servers.timeout
            timeout.record_timeout()
            raise Unanswered(f"{error}{timeout.hint}") from None
        self._run = asyncio.create_task(server.run(is_resumed=is_resumed), name=f"opcua {self._device.name}")
        self._run.add_done_callback(lambda _: self._state.queue.wake())

    async def _resume(self) -> ConnectedServer | None:
        """Resume the session that was left behind; None where there is none, or its items bring the server down."""
        state = self._state
        if state.poison.is_session_tainted:
            state.poison.is_session_tainted = False
            await state.servers.drop()
        session = await state.servers.resume()
        if session is None:
            return None
        assert self._server is not None
        assert self._server.session is session, "sessions on other servers are not resumed"
        state.queue.clear()
        state.on_connected(resumed=True)
        self._server.on_resumed()
        return self._server

    async def _open_new(self) -> ConnectedServer:
        state = self._state
        self._server = None
        state.queue.clear()
        session = await state.servers.open()
        self._server = server = ConnectedServer(self._device, state, session)
        state.on_connected(resumed=False)
        state.model_watch.on_connected()
        await server.start()
        return server

    async def read(self) -> Reading:
        """See `Source.read`: everything that waits, merged."""
        queue, history = self._state.queue, self._state.history
        while True:
            if history is not None:
                await history.admit()
            if (reading := queue.pop()) is not None:
                if history is not None:
                    history.on_read(queue)
                return reading
            if self._run is None:
                raise NotConnected("not open")
            if self._run.done():
                loss = self._run.result()
                if not loss.reconnect_now:
                    raise NotConnected(loss.reason)
                await self._reopen()
            else:
                await queue.wait()

    async def _reopen(self) -> None:
        """Open one more connection for the search."""
        await self.close()
        await self._device.clock.sleep(self._device.intervals.reopen_s)
        await self.open()

    def stats(self) -> dict[int, dict[str, float | str]]:
        """See `Source.stats`."""
        state, server = self._state, self._server
        traffic = server.session.traffic if server is not None and server.is_open else None
        bad = server.bad_statuses() if server is not None else state.memory.staleness.bad_statuses(())
        figures = server.figures() if server is not None else {"polled": 0, "short_queues": 0}
        report = state.statistics.report(state.servers.url, traffic, bad, self._device.clock.monotonic())
        refused = {"history_refused": state.history.refused} if state.history is not None else {}
        return {self._device.number: report | figures | refused}

    async def close(self) -> None:
        """See `Source.close`."""
        run, self._run = self._run, None
        server, history = self._server, self._state.history
        was_open = server is not None and server.is_open
        try:
            if run is not None:
                run.cancel()
                await asyncio.wait([run])
            if history is not None:
                history.return_unread(self._state.queue)
        finally:
            if server is not None:
                await server.close(keep_session=_keeps_session(run))
            if history is not None:
                history.on_closed(was_open=was_open, is_stopping=_is_stopping())


def _keeps_session(run: asyncio.Task[ConnectionLoss] | None) -> bool:
    """Return whether a connection ended in a way that makes its session worth resuming."""
    if run is None or not run.done() or run.cancelled() or run.exception() is not None:
        return False
    return run.result().keep_session


def _is_stopping() -> bool:
    """Return whether the supervisor that closes the source is itself being cancelled, because the gateway stops."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
