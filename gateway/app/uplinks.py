"""The ways up of one gateway: for each sink an outbox, a layout and a publisher."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import structlog

from gateway.app.layout import build_layout, prepare_layout
from gateway.app.replaced_runs import merge_of
from gateway.core.clock import Clock
from gateway.core.events.delivery import OutboxStateChanged
from gateway.core.events.event import Event
from gateway.core.messages import Loss, Message
from gateway.core.ports.layout import HealthReporter, Layout, MessageObserver
from gateway.core.ports.layout_plugin import LayoutServices
from gateway.core.ports.outbox import MessageQueue
from gateway.core.ports.requests import PastRequests, RequestCounters
from gateway.core.ports.sink import Certificate, Certified, Sink
from gateway.core.ports.sink_plugin import SinkServices
from gateway.encoding.columns import in_style
from gateway.encoding.encoder import Encoder
from gateway.encoding.merge_windows import merge_windows
from gateway.encoding.streams import stream_of
from gateway.outbox.config import OutboxConfig
from gateway.outbox.fan_out import Branch, FanOut
from gateway.outbox.outbox import Outbox
from gateway.outbox.outbox_set import OutboxSet
from gateway.outbox.sink_changes import SinkChanges
from gateway.outbox.sink_files import Assignment
from gateway.runtime.publisher import Publisher
from gateway.runtime.queue_tap import QueueTap
from gateway.runtime.status import StatusBoard
from gateway.settings import Settings
from gateway.settings.configured_sinks import ConfiguredSink, assignment_of
from gateway.settings.sink_sections import DEFAULT_SINK

log = structlog.get_logger("app")


@dataclass(frozen=True, slots=True)
class UplinkServices:
    """What the ways up need of the gateway."""

    boot: str
    """This run."""
    clock: Clock
    """The gateway's clock."""
    encoder: Encoder
    """Makes loss records."""
    board: StatusBoard
    """The state that sinks publish."""
    report: Callable[[Event], None]
    """Publishes an event."""
    record: Callable[[Event], None]
    """Writes an event to the journal that is published otherwise."""
    layout_services: Callable[[Settings, Path], LayoutServices]
    """Returns what the layout of a sink is built into. Takes the sink's outbox file."""
    past: PastRequests
    """Answers questions for the past."""
    returned: Callable[[], None]
    """Is called when a sink is there again after it was away."""


@dataclass(frozen=True, slots=True)
class Uplink:
    """The way to one sink."""

    name: str
    """The sink's name."""
    outbox: Outbox
    """What waits for it."""
    file: Path
    """Where that is."""
    layout: Layout
    """How messages look there."""
    sink: Sink
    """The connection."""
    publisher: Publisher
    """Carries messages from one to the other."""


class Uplinks:
    """All ways up. Reads which file is whose; else built without I/O."""

    def __init__(self, settings: Settings, services: UplinkServices) -> None:
        self._services = services
        replaces = settings.root.window.late == "replace"
        self._merge = merge_of(settings.root.outbox.path, services.boot, merge_windows, replaces=replaces)
        sinks = settings.root.all_sinks
        path = settings.root.outbox.path
        self.is_listed = sinks[0].is_listed
        """They are a list, so each has a name of its own."""
        assignment = assignment_of(settings.root)
        if assignment.known.fault:
            log.error("which file is whose sink is read from their names", reason=assignment.known.fault)
        first = self._outbox(settings.root.outbox.model_copy(update=_UNLIMITED), "")
        of_sinks: dict[str, Outbox] = {}
        for sink in sinks:
            config = sink.outbox.model_copy(update={"path": assignment.paths[sink.name]})
            of_sinks[sink.name] = self._outbox(config, sink.name if sink.is_listed else "")
            if config.path == path:
                first = of_sinks[sink.name]
        self.all = [self._uplink(settings, sink, of_sinks[sink.name], assignment.paths[sink.name]) for sink in sinks]
        queues = {one.name: _tapped(one) for one in self.all}
        self.outbox: Outbox | OutboxSet
        self.queue: MessageQueue
        if _is_plain(sinks, assignment):
            self.outbox, self.queue = of_sinks[sinks[0].name], queues[sinks[0].name]
            return
        self.queue = FanOut([Branch(queues[sink.name], sink.streams) for sink in sinks], stream_of)
        streams = {sink.name: sink.streams for sink in sinks}

        def wants(name: str, topic: str) -> bool:
            return not streams[name] or stream_of(topic) in streams[name]

        changes = SinkChanges(path, settings.root.outbox.key_file, assignment, wants, services.report, services.clock)
        self.outbox = OutboxSet(first, of_sinks, self.queue, changes)

    @property
    def is_connected(self) -> bool:
        """Return whether every sink is connected."""
        return all(one.publisher.is_connected for one in self.all)

    @property
    def states(self) -> Mapping[str, str]:
        """Return of each of several sinks whether it is `connected` or `away`; empty for the only one."""
        if not self.is_listed:
            return {}
        return {one.name: "connected" if one.publisher.is_connected else "away" for one in self.all}

    @property
    def acked(self) -> int:
        """Return how many messages have arrived, over all sinks."""
        return sum(one.publisher.acked for one in self.all)

    def health(self) -> str:
        """Return what far ends refuse, as a sentence part; empty where all is well."""
        found = [(one, one.layout.health()) for one in self.all if isinstance(one.layout, HealthReporter)]
        return ", ".join(f"{one.name}: {text}" if self.is_listed else text for one, text in found if text)

    def certificates(self) -> Sequence[Certificate]:
        """Return those in use. Reads files, for a thread."""
        return [found for one in self.all if isinstance(one.sink, Certified) for found in one.sink.certificates]

    def stats(self) -> dict[str, float | str]:
        """Return counts since the start, over all sinks and, of several, of each."""
        own = {one.name: _counts(one.publisher, one.outbox) for one in self.all}
        total = {key: sum(counts[key] for counts in own.values()) for key in next(iter(own.values()))}
        each = {f"{name}.{key}": count for name, counts in own.items() for key, count in counts.items()}
        requests: Counter[str] = Counter()
        for one in self.all:
            requests.update(one.sink.request_counters if isinstance(one.sink, RequestCounters) else {})
        return dict(total | each | requests) if self.is_listed else dict(total | requests)

    def prepare(self, settings: Settings, changed: Collection[str]) -> list[Callable[[], None]]:
        """Return what has each layout go over to other devices when it is called, on the loop. Itself for a thread.

        changed: those that are new, or not as they were.
        """
        return [
            prepare_layout(one.layout, scope, self._services.layout_services(settings, one.file), changed)
            for one, scope in zip(self.all, settings.layout_scopes, strict=True)
        ]

    async def run(self) -> None:
        """Connect and deliver until `stop` is done."""
        async with asyncio.TaskGroup() as tasks:
            for one in self.all:
                tasks.create_task(one.publisher.run(), name=f"publisher {one.name}")

    async def stop(self, deadline_s: float, reason: str) -> None:
        """Stop all publishers at once, see `Publisher.stop`."""
        await asyncio.gather(*(one.publisher.stop(deadline_s, reason) for one in self.all))

    # -- building --------------------------------------------------------------------------------------------------------

    def _outbox(self, config: OutboxConfig, label: str) -> Outbox:
        services = self._services
        return Outbox(
            config,
            services.boot,
            services.clock,
            encode_loss=partial(self._encode_loss, label),
            decode_loss=services.encoder.read_loss,
            merge=self._merge,
            report=partial(self._report, label) if label else services.report,
        )

    def _uplink(self, settings: Settings, sink: ConfiguredSink, outbox: Outbox, file: Path) -> Uplink:
        services, label = self._services, sink.name if sink.is_listed else ""
        scope = settings.layout_scopes[settings.root.all_sinks.index(sink)]
        layout = build_layout(scope, services.layout_services(settings, file))
        board = services.board.feed() if label else services.board
        built_into = SinkServices(settings.root.name, layout, board, services.clock, label, services.past, _document)
        found = sink.plugin.build(sink.config, built_into)
        policy = sink.plugin.policy(sink.config, services.clock.monotonic())
        publisher = Publisher(found, outbox, services.clock, policy, report=services.report, name=label)
        publisher.on_changed = partial(self._on_changed, publisher, is_listed=bool(label))
        return Uplink(sink.name, outbox, file, layout, found, publisher)

    def _on_changed(self, publisher: Publisher, *, is_listed: bool) -> None:
        if is_listed:
            self._services.board.wake()
        if publisher.is_connected and publisher.connects > 1:
            self._services.returned()

    def _encode_loss(self, label: str, loss: Loss) -> Message:
        services = self._services
        event = services.encoder.loss_event(loss, services.clock.now_ns(), label or None)
        services.record(event)
        return services.encoder.event(event, sink=label)

    def _report(self, label: str, event: Event) -> None:
        self._services.report(replace(event, sink=label) if isinstance(event, OutboxStateChanged) else event)


_UNLIMITED = {"backlog_messages": 0, "backlog_bytes": 0}


def _is_plain(sinks: Sequence[ConfiguredSink], assignment: Assignment) -> bool:
    """Return whether there is but the sink that there was before there could be several, with its file."""
    is_first = len(sinks) == 1 and not sinks[0].is_listed and sinks[0].name == DEFAULT_SINK
    return is_first and not assignment.removed and not assignment.known.is_written and not assignment.known.fault


def _tapped(one: Uplink) -> MessageQueue:
    return QueueTap(one.outbox, one.layout) if isinstance(one.layout, MessageObserver) else one.outbox


def _counts(publisher: Publisher, outbox: Outbox) -> dict[str, int]:
    return {
        "connects": publisher.connects,
        "sent": publisher.sent,
        "acked": publisher.acked,
        "refused": publisher.refused,
        "released": publisher.released,
        "waiting": outbox.stats.messages,
    }


def _document(message: Message) -> bytes:
    """Return a message as JSON with an object per tag."""
    return in_style(message.payload, message.topic, columns=False)
