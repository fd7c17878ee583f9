"""The composition root: builds every part from the settings, starts them in order, stops them in order."""

import asyncio
import gc
import secrets
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import structlog

from gateway import __version__
from gateway.core.backoff import start_delay_s
from gateway.core.clock import Clock, SystemClock
from gateway.core.deadline import deadline
from gateway.core.errors import ConfigError, NotConnected, Unsaved
from gateway.core.messages import Event, Loss, Message
from gateway.core.ports import Layout, Source
from gateway.core.sourcekind import DeviceEntry, SourceKind
from gateway.encoding.encoder import Encoder, StatusText
from gateway.encoding.layouts import JSON, layout_for
from gateway.encoding.sparkplug.node import BD_SEQ_MODULUS, SparkplugNode
from gateway.encoding.thinning import merge_windows
from gateway.encoding.topics import Topics
from gateway.kinds import KINDS
from gateway.outbox.outbox import Outbox
from gateway.runtime.certificates import CertificateWatch
from gateway.runtime.counter import KeptCounter
from gateway.runtime.expiry import Expiring
from gateway.runtime.observed import Observed
from gateway.runtime.pipeline import Pipeline
from gateway.runtime.publisher import Publisher
from gateway.runtime.renewal import Noticing, Renewal
from gateway.runtime.status import StatusBoard
from gateway.runtime.supervisor import Supervisor
from gateway.runtime.telemetry import publish_stats
from gateway.runtime.watchdog import Notifier, Watchdog
from gateway.settings import Settings, load
from gateway.sinks.mqtt.client import MqttClient, Will
from gateway.sinks.mqtt.config import MqttConfig
from gateway.stages.chain import Chain

log = structlog.get_logger("app")

_FAREWELL_S = 5.0
_SOURCES_CLOSE_S = 5.0
_PIPELINE_STUCK_S = 10.0
_OUTBOX_STUCK_S = 20.0
_FIND_S = 30.0
_CONFIG_RETRY_S = 60.0
_NAMED = 3
_MOST_RECEIVED_BYTES = 1 << 20  # commands and states of hosts are small


def new_boot(clock: Clock) -> str:
    """A name for this run of the process: sorts by start time, and differs even when the clock was set back."""
    return f"{clock.now_ns() // 1_000_000:011x}{secrets.token_hex(2)}"


class Gateway:
    """All parts of one gateway, not yet started. Built without I/O."""

    def __init__(self, settings: Settings, clock: Clock, renewal: Renewal) -> None:
        root, table = settings.root, settings.table
        self.settings = settings
        self.clock = clock
        self.renewal = renewal
        self.boot = new_boot(clock)
        self.started_ms = clock.now_ns() // 1_000_000
        topics = Topics.of(root.mqtt.root, root.name, table.devices)
        self.text = StatusText(self.boot, __version__, settings.hash, table)
        self.status_topic = topics.status
        self.encoder = encoder = Encoder(topics, table, self.boot)
        chain = Chain.of(table, settings.policies, root.window, root.detection, root.publish, clock.now_ns())
        self.board = StatusBoard(
            len(table.devices),
            topics.status,
            lambda states: self.text.online(self.started_ms, states, self.certificates.ends),
        )
        self.certificates = CertificateWatch(lambda: self.client.certificates, self.event, self.board.renew, clock)
        self.outbox = Outbox(
            root.outbox,
            self.boot,
            clock,
            encode_loss=self._loss,
            decode_loss=encoder.read_loss,
            merge=merge_windows,
            report=self.event,
        )
        node = self._sparkplug(topics) if root.publish.layout == "sparkplug" else None
        queue = Observed(self.outbox, node.observe) if node else self.outbox
        self.pipeline = Pipeline(chain, encoder, queue, self.board, table, clock)
        will = Will(topics.status, self.text.offline(self.started_ms, "connection lost"), JSON)
        self.client = MqttClient(
            root.mqtt,
            client_id=f"gateway-{root.name}",
            will=_will_of(node) if node else will,
            most_received=_MOST_RECEIVED_BYTES,
        )
        self._aside: Callable[[], Mapping[str, str]] = lambda: node.aside.reasons if node else {}
        self.publisher = Publisher(
            self.client,
            self.outbox,
            clock,
            in_flight=root.mqtt.in_flight,
            ack_timeout_s=root.mqtt.timeout / 1e9,
            layout=node or _expiring(layout_for(root.publish, settings.publishing, topics), root.mqtt),
            status=self.board,
            set_live=self.outbox.set_live,
            tries=root.mqtt.tries,
            status_type=JSON,
            first_delay_s=start_delay_s(clock.monotonic(), root.mqtt.spread_s),
            session=node,
            subscriber=self.client,
        )
        self.sources = list(_sources(settings, clock))
        intake = Noticing(self.pipeline, renewal, table.devices)
        self.supervisors = [
            Supervisor(source, ",".join(table.devices[d] for d in source.devices), intake, clock) for source in self.sources
        ]

    def _sparkplug(self, topics: Topics) -> SparkplugNode:
        root = self.settings.root
        counter = KeptCounter(root.outbox.path.with_name(f"{root.outbox.path.name}.bdseq"), BD_SEQ_MODULUS)
        node = SparkplugNode(
            root.publish,
            topics,
            self.settings.table,
            {"Boot": self.boot, "Version": __version__, "Config": self.settings.hash},
            summaries=root.publish.summaries,
            states=self.board.states,
            now_ms=lambda: self.clock.now_ns() // 1_000_000,
            next_bd_seq=counter.next,
            report=self.event,
        )
        node.wake = self.board.wake
        return node

    def _loss(self, loss: Loss) -> Message:
        span = f"{loss.first_seq}..{loss.last_seq}"
        if loss.cause == "thinned":
            log.info("messages merged", topic=loss.topic, count=loss.count, seq=span)
        else:
            counts = {"count": loss.count, **({"windows": loss.windows} if loss.windows else {})}
            log.warning("messages lost", topic=loss.topic, **counts, seq=span, cause=loss.cause, detail=loss.detail)
        return self.encoder.loss(loss, self.clock.now_ns())

    def event(self, event: Event) -> None:
        """Publish an event of the gateway itself, and tell the journal: broker and disk may be in trouble together."""
        log.warning(event.kind, **{str(key): value for key, value in event.detail.items() if key != "severity"})
        self.pipeline.event(event)

    async def run(self, stop: asyncio.Event, notifier: Notifier) -> Settings | None:
        """Start everything, run until `stop` is set, stop in order. A bug in any part ends all of them, loudly.

        Returns None, or the settings to start anew with when that is due.
        """
        await self.outbox.open()
        orderly = False
        following = None
        try:
            async with asyncio.TaskGroup() as tasks:
                outbox = tasks.create_task(self.outbox.run(), name="outbox")
                publisher = tasks.create_task(self.publisher.run(), name="publisher")
                self._announce()
                pipeline = tasks.create_task(self.pipeline.run(), name="pipeline")
                sources = [tasks.create_task(s.run(), name=f"source {n}") for n, s in enumerate(self.supervisors)]
                stats_s = self.settings.root.publish.stats / 1e9
                telemetry = publish_stats(self.sources, self._stats, self.encoder, self.outbox, self.clock, stats_s)
                sources.append(tasks.create_task(telemetry, name="telemetry"))
                sources.append(tasks.create_task(self.certificates.run(), name="certificates"))
                watchdog = tasks.create_task(self._watchdog(notifier).run(self._describe), name="watchdog")
                gc.collect()
                gc.freeze()  # the configuration lives as long as the process: no need to walk it again and again
                notifier.send("READY=1")
                log.info("running", boot=self.boot, config=self.settings.hash, version=__version__)
                log.info("outbox", file=str(self.settings.root.outbox.path), waiting=self.outbox.stats.messages)
                following = await self._end(stop, tasks)
                why = "stopped" if following is None else f"starts anew: {self.renewal.reason}"
                notifier.send(*(["STOPPING=1"] if following is None else ["WATCHDOG=1", f"STATUS={why}"]))
                log.info("stopping", reason=why)
                await _cancel(sources, _SOURCES_CLOSE_S)
                await _cancel([pipeline], _SOURCES_CLOSE_S)
                self.pipeline.flush()
                now_ms = self.clock.now_ns() // 1_000_000
                await self.publisher.stop(_FAREWELL_S, (self.status_topic, self.text.offline(now_ms, why)))
                await _cancel([publisher, watchdog, outbox], _SOURCES_CLOSE_S)
                orderly = True
        finally:
            await self.outbox.close(clean=orderly)
            gc.unfreeze()
        if self.outbox.unsaved:
            raise Unsaved(f"{self.outbox.unsaved} messages are lost")
        log.info("stopped")
        return following

    async def _end(self, stop: asyncio.Event, tasks: asyncio.TaskGroup) -> Settings | None:
        """Wait for `stop`, or until a new start is due and there are good settings for it."""
        stopping = tasks.create_task(stop.wait(), name="stop")
        renewing = tasks.create_task(self._renewed(), name="renewal")
        await asyncio.wait([stopping, renewing], return_when=asyncio.FIRST_COMPLETED)
        following = None if stop.is_set() else renewing.result()
        await _cancel([stopping, renewing], _SOURCES_CLOSE_S)
        return following

    async def _renewed(self) -> Settings:
        """The settings with the tags that have changed, once they are due. A configuration that has become bad meanwhile
        does not replace the one that runs: it is told, and looked at again every minute."""
        told = ""
        while True:
            reason = await self.renewal.due()
            try:
                settings = await asyncio.to_thread(load, self.settings.folder)
            except ConfigError as error:
                if told != (told := str(error.problems[0])):
                    detail = {"reason": reason, "problem": told, "severity": 600}
                    self.event(Event("renewal_refused", self.clock.now_ns(), detail=detail))
                await self.clock.sleep(_CONFIG_RETRY_S)
                continue
            if settings.hash != self.settings.hash:
                self.renewal.begin(reason)
                return settings
            self.renewal.drop()

    def _stats(self) -> dict[str, float | str]:
        """What the gateway says of itself: counted since the start, what waits, days until certificates end."""
        publisher = self.publisher
        return {
            "connects": publisher.connects,
            "sent": publisher.sent,
            "acked": publisher.acked,
            "refused": publisher.refused,
            "released": publisher.released,
            "waiting": self.outbox.stats.messages,
            **self.certificates.days_left(),
        }

    def _announce(self) -> None:
        """Events of the start: which configuration runs, and which runs before ended in a crash."""
        now, root = self.clock.now_ns(), self.settings.root
        for previous in self.outbox.unclean:
            bound_ns = root.window.length + root.window.grace + root.outbox.commit_interval
            detail = {"previous": previous.boot, "bound_ms": bound_ns // 1_000_000, "severity": 600}
            self.event(Event("unclean_stop", now, detail=detail))
        table = self.settings.table
        detail = {"config": self.settings.hash, "devices": len(table.devices), "tags": len(table), "severity": 1}
        detail |= {"reason": self.renewal.reason} if self.renewal.reason else {}
        self.pipeline.event(Event("configuration", now, detail=detail))

    def _watchdog(self, notifier: Notifier) -> Watchdog:
        commit_s = self.settings.root.outbox.commit_interval / 1e9
        beats = {
            "scheduler": (lambda: self.pipeline.beat, _PIPELINE_STUCK_S),
            "outbox": (lambda: self.outbox.beat, _OUTBOX_STUCK_S + commit_s),
        }
        return Watchdog(notifier, self.clock, beats)

    def _describe(self) -> str:
        names: dict[str, list[str]] = defaultdict(list)
        for device, name in enumerate(self.settings.table.devices):
            names[self.board.state_of(device).state].append(name)
        devices = ", ".join(f"{len(some)} {state}{_examples(state, some)}" for state, some in names.items())
        broker = "connected" if self.publisher.connected_since_ns else "away"
        stats = self.outbox.stats
        aside = f"; no births of {', '.join(self._aside())}" if self._aside() else ""
        disk = f", disk refuses: {stats.refused}" if stats.refused else ""
        waiting = f"{self.publisher.acked} messages delivered, {stats.messages} waiting"
        return f"devices: {devices}; broker {broker}{aside}; {waiting}{disk}"


def _examples(state: str, names: list[str]) -> str:
    if state == "ok":
        return ""
    return f" ({', '.join(names[:_NAMED])}{', ...' if len(names) > _NAMED else ''})"


def _will_of(node: SparkplugNode) -> Callable[[], Will]:
    def will() -> Will:
        packet = node.will()
        return Will(packet.topic, packet.payload, retain=False, after_goodbye=lambda: node.announced)

    return will


def _expiring(layout: Layout, config: MqttConfig) -> Layout:
    expiry_s = config.expiry // 1_000_000_000
    return Expiring(layout, expiry_s, expiry_s if config.expiry_backlog else 0) if expiry_s else layout


def _sources(settings: Settings, clock: Clock) -> Iterator[Source]:
    entries: dict[str, list[DeviceEntry]] = defaultdict(list)
    for kind, entry in zip(settings.kinds, settings.entries, strict=True):
        entries[kind.name].append(entry)
    for name, of_kind in entries.items():
        yield from KINDS[name].build(of_kind, clock)


async def _cancel(tasks: Sequence["asyncio.Task[Any]"], most_s: float) -> None:
    """Cancel and wait, but not for ever: a stop must end within systemd's patience."""
    for task in tasks:
        task.cancel()
    if tasks:
        _, slow = await asyncio.wait(tasks, timeout=most_s)
        for task in slow:
            log.error("does not stop", task=task.get_name())


async def run(settings: Settings) -> None:
    """Run a gateway until SIGTERM, SIGINT or SIGHUP (its terminal is gone); again and again, as a device's tags change.

    Raises ConfigError when a part finds the configuration unusable.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    clock = SystemClock()
    finding = asyncio.create_task(find_tags(settings, clock), name="finding tags")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    await asyncio.wait([finding, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if finding.done():
        renewal = Renewal(clock)
        following: Settings | None = finding.result()
        while following is not None:
            following = await Gateway(following, clock, renewal).run(stop, Notifier())
    else:
        await _cancel([finding], _SOURCES_CLOSE_S)


async def find_tags(settings: Settings, clock: Clock) -> Settings:
    """Ask all devices at once that can tell which tags they have, for a bounded time; the settings with what they said.

    Of a device that does not answer the tags that it last told of go on. Raises ConfigError as `load` does.
    """
    changed = False

    async def ask(kind: SourceKind, config: Any, tags: Sequence[Any]) -> None:
        nonlocal changed
        assert kind.find is not None
        try:
            async with deadline(_FIND_S):
                changed |= await kind.find(config, tags, clock) is not None
        except (NotConnected, TimeoutError) as error:
            reason = str(error) or f"it takes longer than {_FIND_S:g} s"
            log.warning("tags cannot be asked for, those it last told of go on", device=config.name, reason=reason)
        except Exception:
            log.exception("a bug in asking for tags: please report it", device=config.name)

    asked = [
        (kind, entry)
        for kind, entry in zip(settings.kinds, settings.entries, strict=True)
        if kind.find is not None and kind.asks(entry.config, entry.tags)
    ]
    if asked:
        names = ", ".join(entry.config.name for _, entry in asked)
        log.info("asking devices for tags and units, before the start", devices=names, at_most_s=_FIND_S)
    async with asyncio.TaskGroup() as tasks:
        for kind, entry in asked:
            tasks.create_task(ask(kind, entry.config, entry.tags), name=f"finding tags of {entry.config.name}")
    if not changed:
        return settings
    found = load(settings.folder)
    for warning in found.warnings:
        if warning not in settings.warnings:
            log.warning("configuration", warning=warning)
    return found
