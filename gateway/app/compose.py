"""The parts of one gateway, built from its settings and connected with each other."""

import asyncio
import secrets
from collections.abc import Mapping
from pathlib import Path

import structlog

from gateway import __version__
from gateway.app.configuration_state import ConfigurationState
from gateway.app.layout import window_styles
from gateway.app.next_configuration import NextConfiguration, build_sources, trust_places
from gateway.app.uplinks import Uplinks, UplinkServices
from gateway.core.clock import Clock
from gateway.core.events.event import Event
from gateway.core.loop_watch import LoopWatch
from gateway.core.messages import DeviceState, Lane
from gateway.core.ports.layout_plugin import LayoutServices
from gateway.core.ports.observer import DataObserver
from gateway.core.ports.plugin import SourceServices
from gateway.core.ports.source import Source
from gateway.encoding.encoder import Encoder, StatusText
from gateway.encoding.topics import Topics
from gateway.live.course import DeliveryCourse
from gateway.live.history.historian import Historian
from gateway.live.model import LiveModel, PartReadings
from gateway.plugins import DETECTORS
from gateway.requests.answers import PastAnswers
from gateway.runtime.certificates import CertificateWatch
from gateway.runtime.change_watch import ChangeWatch
from gateway.runtime.pipeline import Pipeline
from gateway.runtime.reload_requests import ReloadRequests
from gateway.runtime.running_source import RunningSource
from gateway.runtime.status import StatusBoard
from gateway.settings import Settings
from gateway.stages.stage_chain import StageChain

log = structlog.get_logger("app")


def new_boot(clock: Clock) -> str:
    """Return a name for this run of the process: it sorts by start time, and is unique even when the clock was set back."""
    return f"{clock.now_ns() // 1_000_000:011x}{secrets.token_hex(2)}"


class GatewayParts:
    """All parts of one gateway, connected and not yet started. Built without I/O."""

    def __init__(self, settings: Settings, clock: Clock, requests: ReloadRequests) -> None:
        root, table = settings.root, settings.table
        self.settings = settings
        self.superseded: list[object] = []  # whoever calls `take` frees them
        self.requests = requests
        self.clock = clock
        self.boot = new_boot(clock)
        self.started_ms = clock.now_ns() // 1_000_000
        topics = Topics.of(root.topic_root, root.name, table.devices)
        self.text = StatusText(self.boot, __version__, settings.hash, table)
        self.configuration = ConfigurationState(settings)
        self.text.refused = self.configuration.not_running
        self.status_topic = topics.status
        self.encoder = encoder = Encoder(topics, table, self.boot, window_styles(settings.layout_scopes))
        offline = self.text.offline
        self.board = StatusBoard(
            len(table.devices), topics.status, self._online, lambda why: offline(clock.now_ns() // 1_000_000, why)
        )
        self.history = Historian(root.history, table, clock, self.report) if root.history.memory else None
        self.live = LiveModel(table, self._readings(), clock.now_ns(), self.history)
        self.chain = chain = _stages(settings, clock.now_ns(), self.live)
        self.past = PastAnswers(topics, self.boot, lambda: self.settings.table, self.history, clock.now_ns)
        self.uplinks = Uplinks(
            settings,
            UplinkServices(
                self.boot,
                clock,
                encoder,
                self.board,
                self.report,
                self._record,
                self._layout_services,
                self.past,
                self._refresh_alarms,
            ),
        )
        self.outbox = self.uplinks.outbox
        self.pipeline = Pipeline(chain, encoder, self.uplinks.queue, self.board, table, clock, self.live)
        self.health = self.uplinks.health
        self.course = DeliveryCourse(self._delivery, clock)
        self.certificates = CertificateWatch(self.uplinks.certificates, self.report, self.board.wake, clock)
        self.changes = ChangeWatch(trust_places(settings), self.outbox.watermarks, self.report, clock)
        self.sources = [self.running(source) for source in build_sources(settings, None, self.source_services(settings))]

    @property
    def watches(self) -> Mapping[str, CertificateWatch | ChangeWatch | LoopWatch | DeliveryCourse | Historian]:
        """Return what works beside the data, by the name of its task."""
        history = {"history": self.history} if self.history is not None else {}
        loop = self.pipeline.loop_watch
        return {"course": self.course, "loop": loop, "certificates": self.certificates, "changes": self.changes, **history}

    async def close_history(self, most_s: float) -> None:
        """Write what is left of the history, at a stop; a disk that does not answer is left to itself."""
        if self.history is None:
            return
        try:
            await asyncio.wait_for(self.history.close(), most_s)
        except TimeoutError:
            log.error("history is not written", reason="the disk does not answer")

    def _readings(self) -> PartReadings:
        """Return where the read model finds what other parts keep; called when all of them are there."""
        return PartReadings(
            states=self.board.states,
            sources=lambda: self.sources,
            event_counts=lambda: self.pipeline.event_log.counts,
            gateway_stats=self.stats,
        )

    def _delivery(self) -> dict[str, int]:
        """Return how the delivery is, for its course."""
        stats = self.outbox.stats
        names = (("events", Lane.EVENT), ("summaries", Lane.SUMMARY), ("windows", Lane.WINDOW))
        lanes = {name: stats.stored.get(lane, 0) for name, lane in names}
        sizes = {"memory_bytes": stats.memory_bytes, "disk_bytes": stats.disk_bytes}
        counts = {"waiting": stats.messages, "lost": stats.lost, "thinned": stats.thinned, "acked": self.uplinks.acked}
        return lanes | sizes | counts

    def stats(self) -> dict[str, float | str]:
        """Return counts since the start, what waits, days until certificates end."""
        alarms = self.chain.alarms.figures(self.clock.now_ns())
        return {**self.uplinks.stats(), **self.certificates.days_left(), **alarms}

    def running(self, source: Source, settings: Settings | None = None) -> RunningSource:
        """Return a source of the present settings, or of others, as it is run."""
        return RunningSource(source, (settings or self.settings).table, self.pipeline, self.clock)

    def source_services(self, settings: Settings) -> SourceServices:
        """Return what the sources of a configuration are built into."""

        def take_tags(device: int) -> None:
            self.requests.request_device(settings.table.devices[device])

        return SourceServices(self.clock, self.outbox.watermarks, take_tags, self.pipeline.loop_watch)

    def stages(self, settings: Settings) -> StageChain:
        """Return new stages for a configuration."""
        return _stages(settings, self.clock.now_ns(), self.live)

    def take(self, following: NextConfiguration) -> None:
        """Go over to another configuration, at once: from the next block on everything is as it says.

        Call `pipeline.fold` a turn of the loop earlier, and free `superseded` afterwards: each would hold the loop too long.
        Sources of devices that are connected anew have ended, and are not among `sources`.
        """
        settings, move = following.settings, following.move

        def adopt() -> None:
            self.encoder.adopt(following.encoder)
            self.configuration.follow(settings)
            self.text.adopt(settings.hash, settings.table, self.configuration.not_running)
            names = settings.table.devices
            stay = {old: new for old, new in move.devices.items() if names[new] not in following.reconnected}
            self.board.take_over(len(names), stay)
            self.live.take_table(settings.table, move, self.clock.now_ns())
            for change in following.layouts:
                change()
            for source in self.sources:
                source.move(move)

        self.pipeline.take_over(following.stages, settings.table, move, adopt)
        self.superseded += [self.settings, self.chain, following.encoder]
        self.settings, self.chain = settings, following.stages
        self.changes.follow(following.trust_places)
        self.sources += [self.running(source) for source in following.sources]

    def _layout_services(self, settings: Settings, file: Path) -> LayoutServices:
        return LayoutServices(
            settings.table,
            self.clock,
            {"Boot": self.boot, "Version": __version__, "Config": settings.hash},
            states=self.board.states,
            report=self.report,
            wake=self.board.wake,
            state_file=file,
        )

    def _online(self, states: Mapping[int, DeviceState]) -> bytes:
        more = self.certificates.ends, self._memory_only(), self.configuration.fields, self.uplinks.states
        return self.text.online(self.started_ms, states, *more)

    def _memory_only(self) -> tuple[str, int] | None:
        stats = self.outbox.stats
        return (stats.refused, stats.memory_since_ms) if stats.refused else None

    def _refresh_alarms(self) -> None:
        self.chain.alarms.refresh()

    def _record(self, event: Event) -> None:
        self.pipeline.event_log.record(event)

    def report(self, event: Event) -> None:
        """Publish an event of the gateway itself."""
        self.pipeline.report(event)


def _stages(settings: Settings, now_ns: int, observer: DataObserver) -> StageChain:
    root = settings.root
    return StageChain.build(
        settings.table,
        settings.policies,
        root.window,
        root.detection,
        root.publish,
        now_ns,
        DETECTORS,
        settings.formulas,
        observer,
        root.alarms,
    )
