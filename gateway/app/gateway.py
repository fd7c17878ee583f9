"""One run of a gateway: its parts start in order, and stop in order."""

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any

import structlog

from gateway import __version__
from gateway.app.cancel import cancel
from gateway.app.compose import GatewayParts
from gateway.app.folder_watch import FolderWatch
from gateway.app.keeper import keep_what_runs
from gateway.app.kept_state import restore_state, save_state
from gateway.app.learnt_keeper import keep_what_is_learnt
from gateway.app.otlp_push import otlp_tasks
from gateway.app.reload_record import ReloadRecord
from gateway.app.reloader import Reloader
from gateway.app.status_line import status_line
from gateway.app.web_view import web_server
from gateway.core.clock import Clock
from gateway.core.errors import Unsaved
from gateway.core.events.gateway import ConfigurationLoaded, UncleanStop
from gateway.outbox.records import PreviousBoot
from gateway.runtime.more_time import MoreTime
from gateway.runtime.reload_requests import ReloadRequests
from gateway.runtime.telemetry import publish_stats
from gateway.runtime.watchdog import Notifier, Watchdog
from gateway.settings import Settings

log = structlog.get_logger("app")

OFFLINE_S = 2.0
"""With half a second for the last status and two for the goodbye, a broker that answers nothing delays a stop by 4.5 s."""
_PIPELINE_STUCK_S = 10.0
_OUTBOX_STUCK_S = 20.0


class Gateway:
    """One gateway, not yet started. Built without I/O."""

    def __init__(self, settings: Settings, clock: Clock, requests: ReloadRequests) -> None:
        self.settings = settings
        self.clock = clock
        self.parts = GatewayParts(settings, clock, requests)
        self.reloader = Reloader(self.parts, requests, clock, ReloadRecord(settings.root.outbox.path))
        self.web = web_server(self.parts)

    async def run(
        self, stop: asyncio.Event, notifier: Notifier, *, offline_s: float = OFFLINE_S, close_s: float = 5.0
    ) -> None:
        """Start everything, run until `stop` is set, stop in order. A bug in any part ends all of them with its exception.

        offline_s, close_s: the longest wait in a stop, for the brokers to take the last messages and for each part to end.
        """
        parts = self.parts
        with MoreTime(notifier, "opening the outbox"):  # a new sink may begin with a large backlog
            await parts.outbox.open()
        orderly = False
        try:
            async with asyncio.TaskGroup() as tasks:
                outbox = tasks.create_task(parts.outbox.run(), name="outbox")
                publisher = tasks.create_task(parts.uplinks.run(), name="publisher")
                await self._report_start()
                pipeline = tasks.create_task(parts.pipeline.run(), name="pipeline")
                for source in parts.sources:
                    source.start(tasks)
                stats_s = self.settings.root.publish.stats / 1e9
                reloading = [tasks.create_task(one, name=name) for name, one in self._reloading(tasks).items()]
                telemetry = publish_stats(
                    lambda: parts.sources, parts.stats, parts.encoder, parts.outbox, self.clock, stats_s
                )
                beside = [tasks.create_task(one.run(), name=name) for name, one in parts.watches.items()]
                views = {"telemetry": telemetry, "web": self.web.run()} | otlp_tasks(parts)
                beside += [tasks.create_task(one, name=name) for name, one in views.items()]
                watchdog = tasks.create_task(self._watchdog(notifier).run(partial(status_line, parts)), name="watchdog")
                notifier.send("READY=1")
                self._log_start()
                await stop.wait()
                notifier.send("STOPPING=1")
                log.info("stopping")
                await cancel(reloading, close_s)
                await cancel([*beside, *(source.task for source in parts.sources if source.task)], close_s)
                await cancel([pipeline], close_s)
                parts.pipeline.flush()
                await self._save_state(close_s)
                await parts.close_history(close_s)
                await parts.uplinks.stop(offline_s, "stopped")
                await cancel([publisher, watchdog, outbox], close_s)
                await parts.outbox.close()  # here, since a task that does not stop would never let us leave this block
                orderly = True
        finally:
            if not orderly:
                await parts.outbox.close(clean=False)
        if parts.outbox.unsaved:
            raise Unsaved(f"{parts.outbox.unsaved} messages are lost")
        log.info("stopped")

    def _log_start(self) -> None:
        log.info("running", boot=self.parts.boot, config=self.settings.hash, version=__version__)
        for one in self.parts.uplinks.all:
            log.info("outbox", file=str(one.file), waiting=one.outbox.stats.messages)

    async def _save_state(self, most_s: float) -> None:
        """Keep what stages have learnt; a disk that does not answer is left to itself."""
        parts, now_ns = self.parts, self.clock.now_ns()
        try:
            await asyncio.wait_for(asyncio.to_thread(save_state, parts.settings, parts.chain, now_ns), most_s)
        except TimeoutError:
            log.error("what was learnt is not kept", reason="it takes too long")

    def _reloading(self, tasks: asyncio.TaskGroup) -> dict[str, Coroutine[Any, Any, None]]:
        """Return what takes, looks for and keeps changed configurations, by the name of its task."""
        parts, clock = self.parts, self.clock
        watch = FolderWatch(
            self.settings.folder,
            lambda: parts.settings.root.reload.watch,
            lambda: parts.requests.request("the folder has changed"),
            clock,
        )
        return {
            "reload": self.reloader.run(tasks),
            "folder watch": watch.run(),
            "keeper": keep_what_runs(parts, self.reloader, clock),
            "learnt": keep_what_is_learnt(parts, clock),
        }

    async def _report_start(self) -> None:
        """Publish the events of the start: which configuration runs, and which runs before ended in a crash."""
        parts, now, root = self.parts, self.clock.now_ns(), self.settings.root
        bound_ms = (root.window.length + root.window.grace + root.outbox.commit_interval) // 1_000_000

        def report_unclean(previous: PreviousBoot) -> None:
            bound = None if previous.memory_ms is None else bound_ms + previous.memory_ms
            parts.report(UncleanStop(time_ns=self.clock.now_ns(), previous=previous.boot, bound_ms=bound))

        parts.outbox.follow_health(parts.board.wake)
        parts.outbox.follow_previous(report_unclean)
        table = self.settings.table
        parts.report(
            ConfigurationLoaded(
                time_ns=now,
                config=self.settings.hash,
                devices=len(table.devices),
                tags=len(table),
            )
        )
        for event in parts.configuration.events(now):
            parts.report(event)
        parts.changes.report_configuration(self.settings.hash, self.settings.folder)
        for alarm in await asyncio.to_thread(restore_state, self.settings, parts.chain, now):
            parts.report(alarm)

    def _watchdog(self, notifier: Notifier) -> Watchdog:
        parts, commit_s = self.parts, self.settings.root.outbox.commit_interval / 1e9
        beats = {
            "scheduler": (lambda: parts.pipeline.beat, _PIPELINE_STUCK_S),
            "outbox": (lambda: parts.outbox.beat, _OUTBOX_STUCK_S + commit_s),
        }
        return Watchdog(notifier, self.clock, beats)
