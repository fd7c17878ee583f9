"""Connects a source to its devices, again and again."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import structlog

from gateway.core import spans
from gateway.core.backoff import full_jitter
from gateway.core.blocks import ObjectBlock, SampleBlock
from gateway.core.clock import Clock
from gateway.core.deadline import end_if_cancelled
from gateway.core.errors import NotConnected
from gateway.core.log_throttle import LogThrottle
from gateway.core.messages import DeviceState
from gateway.core.ports.source import SampleSink, Source
from gateway.runtime.refusals import RefusalReports

log = structlog.get_logger("supervisor")

_STABLE_S = 30.0

T = TypeVar("T")


class Supervisor:
    """Runs one source for ever: open, read until the connection is lost, report, wait with full jitter, open again.

    The delay starts small again once a connection has lasted 30 s, so a device that accepts and drops is not hammered.
    A bug in the source is logged with its traceback and costs this source its connection; the others go on.
    """

    def __init__(
        self, source: Source, names: str, sink: SampleSink, clock: Clock, delays: Callable[[], Iterator[float]] = full_jitter
    ) -> None:
        self._source = source
        self._sink = sink
        self._clock = clock
        self._delays = delays
        self._log = log.bind(devices=names)
        self._throttle = LogThrottle(clock)
        self._names = names
        self._refusals = RefusalReports(sink.report, clock)

    async def run(self) -> None:
        """Run until cancelled. Exceptions of the sink are bugs of the gateway and are raised."""
        delays = self._delays()
        while True:
            opened_at = None
            try:
                with spans.timed("connect", to=self._names):
                    await self._guarded(self._source.open())
                opened_at = self._clock.monotonic()
                self._throttle.forget()
                self._refusals.forget()
                self._log.info("connected")
                await self._read()
            except NotConnected as error:
                self._report_down(error)
            finally:
                await self._source.close()
            end_if_cancelled()
            if opened_at is not None and self._clock.monotonic() - opened_at > _STABLE_S:
                delays = self._delays()
            await self._clock.sleep(next(delays))

    async def _read(self) -> None:
        while True:
            await asyncio.sleep(0)  # a source that always has something ready would never give way to other tasks
            end_if_cancelled()
            item = await self._guarded(self._source.read())
            if isinstance(item, SampleBlock):
                self._sink.push(item)
            elif isinstance(item, ObjectBlock):
                self._sink.push_objects(item)
            elif isinstance(item, DeviceState):
                self._sink.report_state(item)
            else:
                self._sink.report(item)

    async def _guarded(self, call: Coroutine[Any, Any, T]) -> T:
        try:
            return await call
        except NotConnected:
            raise
        except asyncio.CancelledError as stray:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # This task was not cancelled: a library's own cancellation got out, and would end the task silently.
            self._log.exception("stray cancellation in source", advice="please report it")
            raise NotConnected("internal error, see the log: a stray cancellation") from stray
        except Exception as bug:  # the bytes of one device must not restart the gateway for all others
            self._log.exception("bug in source", advice="please report it")
            raise NotConnected("internal error: see the log, and please report it") from bug

    def _report_down(self, error: NotConnected) -> None:
        """Report all devices as down. What the sink has logged of every device is not logged again."""
        reason = str(error) or "connection lost"
        are_logged = [self._sink.report_state(DeviceState(device, "down", reason)) for device in self._source.devices]
        if self._throttle.is_due(reason) and not all(are_logged):
            self._log.warning("not connected", reason=reason, **self._throttle.repeats)
        for device in self._source.devices:
            self._refusals.record(error, self._names, device)
