"""One run of a gateway: its parts start in order, and stop in order."""

import asyncio
from functools import partial

import structlog

from gateway import __version__
from gateway.app.cancel import cancel
from gateway.app.compose import GatewayParts
from gateway.app.status_line import status_line
from gateway.app.web_view import web_server
from gateway.core.clock import Clock
from gateway.core.errors import ConfigError, Unsaved
from gateway.core.events.gateway import ConfigurationLoaded, ConfigurationReloaded, UncleanStop
from gateway.outbox.records import PreviousBoot
from gateway.runtime.restart import RestartSchedule
from gateway.runtime.telemetry import publish_stats
from gateway.runtime.watchdog import Notifier, Watchdog
from gateway.settings import Settings, load

log = structlog.get_logger("app")

OFFLINE_S = 2.0
"""With half a second for the last status and two for the goodbye, a broker that answers nothing delays a stop by 4.5 s."""
_PIPELINE_STUCK_S = 10.0
_OUTBOX_STUCK_S = 20.0
_CONFIG_RETRY_S = 60.0


class Gateway:
    """One gateway, not yet started. Built without I/O."""

    def __init__(self, settings: Settings, clock: Clock, restarts: RestartSchedule) -> None:
        self.settings = settings
        self.clock = clock
        self.restarts = restarts
        self.parts = GatewayParts(settings, clock, restarts)
        self.web = web_server(self.parts)

    async def run(
        self, stop: asyncio.Event, notifier: Notifier, *, offline_s: float = OFFLINE_S, close_s: float = 5.0
    ) -> Settings | None:
        """Start everything, run until `stop` is set, stop in order. A bug in any part ends all of them with its exception.

        Returns None after `stop`, or the settings of the next run where a restart is due.
        offline_s, close_s: the longest wait in a stop, for the brokers to take the last messages and for each part to end.
        """
        parts = self.parts
        await parts.outbox.open()
        orderly = False
        following = None
        try:
            async with asyncio.TaskGroup() as tasks:
                outbox = tasks.create_task(parts.outbox.run(), name="outbox")
                publisher = tasks.create_task(parts.publisher.run(), name="publisher")
                self._report_start()
                pipeline = tasks.create_task(parts.pipeline.run(), name="pipeline")
                collecting = [tasks.create_task(s.run(), name=f"source {n}") for n, s in enumerate(parts.supervisors)]
                stats_s = self.settings.root.publish.stats / 1e9
                telemetry = publish_stats(parts.sources, parts.stats, parts.encoder, parts.outbox, self.clock, stats_s)
                collecting.append(tasks.create_task(telemetry, name="telemetry"))
                collecting += [tasks.create_task(one.run(), name=name) for name, one in parts.watches.items()]
                collecting.append(tasks.create_task(self.web.run(), name="web"))
                watchdog = tasks.create_task(self._watchdog(notifier).run(partial(status_line, parts)), name="watchdog")
                notifier.send("READY=1")
                log.info("running", boot=parts.boot, config=self.settings.hash, version=__version__)
                log.info("outbox", file=str(self.settings.root.outbox.path), waiting=parts.outbox.stats.messages)
                following = await self._wait_for_end(stop, tasks, close_s)
                why = "stopped" if following is None else f"starts anew: {self.restarts.reason}"
                notifier.send(*(["STOPPING=1"] if following is None else ["WATCHDOG=1", f"STATUS={why}"]))
                log.info("stopping", reason=why)
                await cancel(collecting, close_s)
                await cancel([pipeline], close_s)
                parts.pipeline.flush()
                await parts.close_history(close_s)
                await parts.publisher.stop(offline_s, why)
                await cancel([publisher, watchdog, outbox], close_s)
                await parts.outbox.close()  # here, since a task that does not stop would never let us leave this block
                orderly = True
        finally:
            if not orderly:
                await parts.outbox.close(clean=False)
        if parts.outbox.unsaved:
            raise Unsaved(f"{parts.outbox.unsaved} messages are lost")
        log.info("stopped")
        return following

    async def _wait_for_end(self, stop: asyncio.Event, tasks: asyncio.TaskGroup, close_s: float) -> Settings | None:
        """Wait for `stop`, or until a restart is due and there are valid settings for it."""
        stopping = tasks.create_task(stop.wait(), name="stop")
        changing = tasks.create_task(self._changed_settings(), name="changed settings")
        await asyncio.wait([stopping, changing], return_when=asyncio.FIRST_COMPLETED)
        following = None if stop.is_set() else changing.result()
        await cancel([stopping, changing], close_s)
        return following

    async def _changed_settings(self) -> Settings:
        """Return the settings with the tags that have changed, once they are due.

        A configuration that has become invalid meanwhile does not replace the one that runs: an event reports that, and the
        folder is loaded again every minute.
        """
        reported = ""
        while True:
            reason = await self.restarts.due()
            try:
                settings = await asyncio.to_thread(load, self.settings.folder)
            except ConfigError as error:
                if reported != (reported := str(error.problems[0])):
                    now_ns, running = self.clock.now_ns(), self.settings.hash
                    self.parts.report(
                        ConfigurationReloaded(
                            time_ns=now_ns, result="refused", reason=reason, config=running, changes=[], problem=reported
                        )
                    )
                    self.parts.changes.report_refused(self.settings.folder, reported)
                await self.clock.sleep(_CONFIG_RETRY_S)
                continue
            if settings.hash != self.settings.hash:
                self.restarts.restarting(reason)
                return settings
            self.restarts.withdraw()

    def _report_start(self) -> None:
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
                reason=self.restarts.reason or None,
            )
        )
        for event in parts.configuration.events(now):
            parts.report(event)
        parts.changes.report_configuration(self.settings.hash, self.settings.folder)

    def _watchdog(self, notifier: Notifier) -> Watchdog:
        parts, commit_s = self.parts, self.settings.root.outbox.commit_interval / 1e9
        beats = {
            "scheduler": (lambda: parts.pipeline.beat, _PIPELINE_STUCK_S),
            "outbox": (lambda: parts.outbox.beat, _OUTBOX_STUCK_S + commit_s),
        }
        return Watchdog(notifier, self.clock, beats)
