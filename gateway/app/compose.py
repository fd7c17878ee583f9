"""The parts of one gateway, built from its settings and connected with each other."""

import secrets
from collections.abc import Callable, Iterator, Mapping

from gateway import __version__
from gateway.core.backoff import start_delay_s
from gateway.core.clock import Clock
from gateway.core.events.event import Event
from gateway.core.messages import Loss, Message
from gateway.core.ports.layout import Layout
from gateway.core.ports.plugin import SourceServices
from gateway.core.ports.source import Source
from gateway.core.ports.watermarks import Watermarks
from gateway.encoding.encoder import Encoder, StatusText
from gateway.encoding.merge_windows import merge_windows
from gateway.encoding.topics import Topics
from gateway.layouts import JSON, layout_for
from gateway.layouts.sparkplug.node import BD_SEQ_MODULUS, SparkplugNode
from gateway.outbox.outbox import Outbox
from gateway.plugins import DETECTORS
from gateway.runtime.certificates import CertificateWatch
from gateway.runtime.message_expiry import Expiring
from gateway.runtime.persistent_counter import KeptCounter
from gateway.runtime.pipeline import Pipeline
from gateway.runtime.publisher import Publisher
from gateway.runtime.queue_tap import Observed
from gateway.runtime.restart import RestartSchedule
from gateway.runtime.status import StatusBoard
from gateway.runtime.supervisor import Supervisor
from gateway.settings import Settings
from gateway.sinks.mqtt.client import MqttClient, Will
from gateway.sinks.mqtt.config import MqttConfig
from gateway.stages.stage_chain import StageChain

_MOST_RECEIVED_BYTES = 1 << 20  # commands and states of hosts are small


def new_boot(clock: Clock) -> str:
    """A name for this run of the process: sorts by start time, and differs even when the clock was set back."""
    return f"{clock.now_ns() // 1_000_000:011x}{secrets.token_hex(2)}"


class Parts:
    """All parts, not yet started. Built without I/O."""

    def __init__(self, settings: Settings, clock: Clock, restarts: RestartSchedule) -> None:
        root, table = settings.root, settings.table
        self.settings = settings
        self.clock = clock
        self.boot = new_boot(clock)
        self.started_ms = clock.now_ns() // 1_000_000
        topics = Topics.of(root.mqtt.root, root.name, table.devices)
        self.text = StatusText(self.boot, __version__, settings.hash, table)
        self.status_topic = topics.status
        self.encoder = encoder = Encoder(topics, table, self.boot)
        chain = StageChain.build(
            table, settings.policies, root.window, root.detection, root.publish, clock.now_ns(), DETECTORS
        )
        self.board = StatusBoard(
            len(table.devices),
            topics.status,
            lambda states: self.text.online(self.started_ms, states, self.certificates.ends),
        )
        self.certificates = CertificateWatch(lambda: self.client.certificates, self.report, self.board.wake, clock)
        self.outbox = Outbox(
            root.outbox,
            self.boot,
            clock,
            encode_loss=self._loss,
            decode_loss=encoder.read_loss,
            merge=merge_windows,
            report=self.report,
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
        self.aside: Callable[[], Mapping[str, str]] = lambda: node.aside.reasons if node else {}
        """Devices whose births the broker does not take, and why."""
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
        self.sources = list(_sources(settings, clock, self.outbox.watermarks, restarts))
        self.supervisors = [
            Supervisor(source, ",".join(table.devices[d] for d in source.devices), self.pipeline, clock)
            for source in self.sources
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
            report=self.report,
        )
        node.wake = self.board.wake
        return node

    def _loss(self, loss: Loss) -> Message:
        event = self.encoder.loss_event(loss, self.clock.now_ns())
        self.pipeline.event_log.record(event)
        return self.encoder.event(event)

    def report(self, event: Event) -> None:
        """Publish an event of the gateway itself."""
        self.pipeline.report(event)


def _will_of(node: SparkplugNode) -> Callable[[], Will]:
    def will() -> Will:
        packet = node.will()
        return Will(packet.topic, packet.payload, retain=False, after_goodbye=lambda: node.announced)

    return will


def _expiring(layout: Layout, config: MqttConfig) -> Layout:
    expiry_s = config.expiry // 1_000_000_000
    return Expiring(layout, expiry_s, expiry_s if config.expiry_backlog else 0) if expiry_s else layout


def _sources(settings: Settings, clock: Clock, watermarks: Watermarks, restarts: RestartSchedule) -> Iterator[Source]:
    services = SourceServices(clock, watermarks, lambda device: restarts.request(settings.table.devices[device]))
    for plugin, entries in settings.by_plugin():
        yield from plugin.build(entries, services)
