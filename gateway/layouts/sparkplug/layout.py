"""A Sparkplug Edge Node (3.0.0): births, deaths, data, aliases, sequence numbers."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from gateway.core.errors import Permanent, Postponed
from gateway.core.messages import Message
from gateway.core.plural import counted
from gateway.core.ports.layout import Packet, Subscription, Until
from gateway.core.ports.layout_plugin import LayoutScope, LayoutServices
from gateway.core.tags import TagTable
from gateway.core.wait_first import first
from gateway.encoding.columns import document_of
from gateway.encoding.topics import Topics
from gateway.layouts.sparkplug.host import PrimaryHost
from gateway.layouts.sparkplug.metrics import DeviceMetrics, MetricValue
from gateway.layouts.sparkplug.new_metrics import NewMetrics
from gateway.layouts.sparkplug.packets import REBIRTH, SEQ_BYTES, NodePackets
from gateway.layouts.sparkplug.rebirths import RebirthRequests
from gateway.layouts.sparkplug.refused_births import RefusedBirths
from gateway.layouts.sparkplug.templates import Templates
from gateway.layouts.sparkplug.topics import group_of
from gateway.layouts.sparkplug.wire import is_commanded, numbered

_SEQ_MODULUS: Final = 256
_Read = tuple[list[MetricValue], bool]
"""Values of a message, and whether it is late."""
_DEVICE_KINDS: Final = ("window", "summary", "value")


class SparkplugLayout:
    """A Sparkplug Edge Node: a `core.ports.layout.Layout`, and the session of each connection that it is sent over.

    One node per gateway, one Sparkplug device per device. Windows, summaries and values become DDATA. What a Sparkplug
    device has no message for becomes NDATA: events and stats, whole, as JSON in the String metrics `Event` and `Stats`.
    Sequence numbers are given at the moment of sending (`numbered`), since births may come between the packets of a message.
    """

    def __init__(self, scope: LayoutScope, services: LayoutServices, next_bd_seq: Callable[[], int]) -> None:
        """Begin without any session. next_bd_seq: returns 0 to 255, the next one at each call, over restarts."""
        own, table = scope.config.sparkplug, services.table
        topics = Topics.of(scope.root, scope.gateway, table.devices)
        self._prefix = f"{topics.base}/"
        self._services = services
        self._next_bd_seq = next_bd_seq
        self._templates = Templates(is_on=own.structures == "templates")
        self._new = NewMetrics.of(scope.config, structures=self._templates.is_on)
        self._packets = NodePackets(
            group_of(scope), scope.gateway, services.facts, self._new.aliases, self._now_ms, is_confirmed=own.qos == 1
        )
        self._devices = self._new.of_table(table, table.devices)
        self._ended = set[str]()
        """Devices that hosts know as they were before they were changed."""
        self._numbers = {name: number for number, name in enumerate(table.devices)}
        self._host = PrimaryHost(own.host or "", services.clock, takes_legacy=own.legacy_state)
        self._requests = RebirthRequests(services.clock, services.wake)
        self._bd_seq = self._seq = 0
        self._rebirth = self._born = False
        self.refused_births = RefusedBirths(services.report, self._now_ms)
        self.is_announced = False
        """Whether hosts on this connection have received a birth of this node."""

    def _now_ms(self) -> int:
        return self._services.clock.now_ns() // 1_000_000

    def prepare_table(self, table: TagTable, changed: Collection[str]) -> dict[str, DeviceMetrics]:
        """Return the metrics of devices that changed."""
        return self._new.of_table(table, changed)

    def take_table(self, table: TagTable, prepared: Mapping[str, DeviceMetrics]) -> None:
        """Describe the devices of another table: those that changed are born anew, those that are gone die."""
        self._numbers = {name: number for number, name in enumerate(table.devices)}
        for name, metrics in prepared.items():
            if (before := self._devices.pop(name, None)) is not None and before.born:
                self._ended.add(name)
            self.refused_births.forget(name)
            self._devices[name] = metrics

    # -- messages ----------------------------------------------------------------------------------------------------

    def observe(self, message: Message) -> None:
        """Learn the newest values from a message that was just made, whenever it may be sent: births must tell them."""
        name, kind = self._place(message)
        if name and kind in _DEVICE_KINDS:
            self._device(name).observe(kind, document_of(message.payload))
            self._templates.look(self._device(name))

    def packets(self, message: Message, *, hist: bool, most_bytes: int) -> Sequence[Packet]:
        """DDATA or NDATA, in several packets where it is too large.

        Before it a DBIRTH, where the host does not know a metric by this name or type, or the device is away and this is
        from before. That all tags of a device that is away are bad is known from its DDEATH: then an NDATA without metrics
        stands for the message.
        """
        read = self._read(message)  # may show a structure that has no definition yet
        is_due = self._must_be_born_again and self._born
        births = self.births(most_bytes) if is_due else []  # no data before what was asked for (5.17)
        try:
            return [*births, *self._data(message, hist, most_bytes, read)]
        except (Permanent, Postponed):
            self._rebirth = self._rebirth or bool(births)  # which go with another message
            raise

    def _read(self, message: Message) -> _Read | None:
        """Return what a message of a device says, and whether that is late; None for all other messages."""
        name, kind = self._place(message)
        if not name or kind not in _DEVICE_KINDS:
            return None
        body = document_of(message.payload)
        values = self._device(name).read(kind, body)
        self._templates.look(self._device(name))
        return values, "late" in body

    def _data(self, message: Message, hist: bool, most_bytes: int, read: _Read | None) -> Sequence[Packet]:
        name, kind = self._place(message)
        if read is None:
            return [self._packets.node_data(kind, message, hist=hist)]
        device, (values, is_late) = self._device(name), read
        self._must_be_taken(device)
        alive = self._is_alive(device)
        if not alive and not hist and not any(one.value is not None for one in values):
            return [self._death_of(device) if device.born else self._packets.empty_data()]
        births = [] if device.born else self._birth_of(device, most_bytes)
        self._must_be_taken(device)
        historical = hist or not alive or is_late
        return [*births, *self._packets.device_data(device.name, values, historical=historical, most_bytes=most_bytes)]

    def numbered(self, packet: Packet) -> Packet:
        """Return the packet with its sequence number.

        That is 0 for NBIRTH, then up to 255 and again from 0. NDEATH has none (6.4.23).
        """
        if packet.topic == self._packets.topic("NDEATH"):
            return packet
        if packet.topic == self._packets.topic("NBIRTH"):
            self._seq = 0
        packet = Packet(packet.topic, numbered(packet.payload, self._seq), is_confirmed=packet.is_confirmed)
        self._seq = (self._seq + 1) % _SEQ_MODULUS
        return packet

    def health(self) -> str:
        """Return whose births are not taken, and what was ignored, as a sentence part."""
        parts = [f"no births of {', '.join(self.refused_births.reasons)}"] if self.refused_births.reasons else []
        if self._host.ignored:
            parts.append(f"{counted(self._host.ignored, 'state')} of the primary host from ahead of the clock ignored")
        return ", ".join(parts)

    # -- announcing ------------------------------------------------------------------------------------------------------

    def births(self, most_bytes: int) -> Sequence[Packet]:
        """NBIRTH, and DBIRTH of every device that is there.

        A device whose birth is larger than the broker takes is set aside, and its data are refused, until a connection takes
        it. Raises Permanent when it is the node's own.
        """
        node = self._packets.node_birth(self._bd_seq, self._templates.define(self._devices.values()))
        if self._templates.defined and len(node.payload) + SEQ_BYTES > most_bytes:
            self._templates.give_up(self._devices.values(), len(node.payload), most_bytes)
            node = self._packets.node_birth(self._bd_seq)
        if len(node.payload) + SEQ_BYTES > most_bytes:
            raise Permanent(f"the birth of the node has {len(node.payload)} bytes, the broker takes at most {most_bytes}")
        self._rebirth, self._born, self.is_announced = False, True, True
        self._requests.sent()
        self._ended.clear()
        for device in self._devices.values():
            device.born = False
        alive = [device for device in self._devices.values() if self._is_alive(device)]
        return [node, *(birth for device in alive for birth in self._birth_of(device, most_bytes))]

    def refused(self, topic: str, reason: str, *, until: Until) -> bool:
        """Record that the broker refuses a birth: a device's sets that device aside, or comes again with the changes.

        Without its own birth the node begins anew with the next changes. Anything else is the outbox's.
        """
        if topic == self._packets.topic("NBIRTH"):
            self._rebirth = True
            return False
        kind = self._packets.topic("DBIRTH")
        if topic.startswith(f"{kind}/"):
            device = self._device(topic.removeprefix(f"{kind}/"))
            device.born = False
            self.refused_births.await_trial(device.name, awaits=until == "trial")
            if until in ("reconnect", "restart"):
                self._set_aside(device, reason, until)
        return True

    def changes(self, most_bytes: int) -> Sequence[Packet]:
        """Return what has changed.

        Births again when a host asked for them, DBIRTH and DDEATH, NDEATH when the primary host has gone offline.
        """
        if not self._host.online:
            return self.death()
        if self._must_be_born_again:
            return self.births(most_bytes)
        packets = [self._packets.device_death(name) for name in sorted(self._ended)]
        self._ended.clear()
        for device in self._devices.values():
            alive = self._is_alive(device)
            if alive and not device.born:
                packets += self._birth_of(device, most_bytes)
            elif not alive and device.born:
                packets.append(self._death_of(device))
        return packets

    def death(self) -> Sequence[Packet]:
        """NDEATH, before a proper end; nothing when there was no birth."""
        born, self._born = self._born, False
        return [self._packets.node_death(self._bd_seq)] if born else []

    # -- session -----------------------------------------------------------------------------------------------------

    def will(self) -> Packet:
        """Begin a session with the next bdSeq; return the NDEATH that the broker sends when its connection breaks."""
        self._bd_seq = self._next_bd_seq()
        self._born = self.is_announced = False
        self.refused_births.reconnected()
        self._host.forget()
        return self._packets.node_death(self._bd_seq)

    @property
    def subscriptions(self) -> Sequence[Subscription]:
        """Commands to this node, the state of the primary host, and commands to devices, which have none that is obeyed.

        The standard wants the last, too (3.0.0, message-flow-device-dcmd-subscribe). A host of Sparkplug 2.2 is listened to
        in order to report it.
        """
        needed = [self._packets.topic("NCMD"), *([self._host.topic] if self._host.topic else [])]
        wanted = [self._packets.topic("DCMD", "+"), *([self._host.legacy_topic] if self._host.legacy_topic else [])]
        return [*map(Subscription, needed), *(Subscription(one, is_optional=True) for one in wanted)]

    def received(self, topic: str, payload: bytes) -> None:
        """Take a message of a subscription. What is not understood is ignored; the only command is to be born again."""
        if topic in (self._host.topic, self._host.legacy_topic):
            self._host.received(topic, payload)
        elif topic == self._packets.topic("NCMD") and _asks_for_rebirth(payload):
            self._requests.add()

    async def may_send(self, wanted: bool) -> None:
        """Return once the primary host is online (wanted), or offline; meanwhile births that had to wait come due."""
        await first(self._host.until(wanted), self._requests.wake_when_due())

    @property
    def _must_be_born_again(self) -> bool:
        return self._rebirth or self._requests.is_due or self._templates.is_new

    # -- parts -------------------------------------------------------------------------------------------------------

    def _place(self, message: Message) -> tuple[str, str]:
        """Device, empty for the gateway itself, and kind."""
        name, _, kind = message.topic.removeprefix(self._prefix).rpartition("/")
        return name, kind

    def _device(self, name: str) -> DeviceMetrics:
        if name not in self._devices:
            self._devices[name] = self._new.of_device(name)
        return self._devices[name]

    def _is_alive(self, device: DeviceMetrics) -> bool:
        number = self._numbers.get(device.name)
        return number is not None and self._services.states()[number].state != "down"

    def _set_aside(self, device: DeviceMetrics, reason: str, until: Until) -> None:
        device.born = False
        self.refused_births.add(device.name, self._numbers.get(device.name), reason, until)

    def _must_be_taken(self, device: DeviceMetrics) -> None:
        if self.refused_births.awaits_trial(device.name):
            raise Postponed(f"connections may end with the birth of {device.name}: it is tried last")
        if device.name in self.refused_births:
            raise Permanent(f"{device.name} is set aside: {self.refused_births.reasons[device.name]}")

    def _birth_of(self, device: DeviceMetrics, most_bytes: int) -> list[Packet]:
        """Nothing when the device is set aside."""
        if device.name in self.refused_births or self.refused_births.awaits_trial(device.name):
            return []
        device.born = True
        self._ended.discard(device.name)
        birth = self._packets.device_birth(device)
        if len(birth.payload) + SEQ_BYTES > most_bytes:
            reason = f"its birth has {len(birth.payload)} bytes, the broker takes at most {most_bytes}"
            self._set_aside(device, reason, "reconnect")
            return []
        return [birth]

    def _death_of(self, device: DeviceMetrics) -> Packet:
        device.born = False
        return self._packets.device_death(device.name)


def _asks_for_rebirth(payload: bytes) -> bool:
    try:
        return is_commanded(payload, REBIRTH)
    except ValueError:
        return False
