"""The packets of a Sparkplug Edge Node (3.0.0, 6.4): what each kind of message says. Pure but for their times."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from gateway.core.messages import Message
from gateway.core.ports.layout import Packet
from gateway.encoding.columns import document_of
from gateway.encoding.encoder import mark_hist
from gateway.layouts.sparkplug.metrics import DeviceMetrics, MetricValue, write_birth, write_value
from gateway.layouts.sparkplug.structures import Shape, write_definition
from gateway.layouts.sparkplug.topics import NAMESPACE
from gateway.layouts.sparkplug.wire import DataType, new_payload, set_value

REBIRTH: Final = "Node Control/Rebirth"
SEQ_BYTES: Final = 3
"""What a sequence number adds to a packet at most."""

_NODE_METRICS: Final = {"event": "Event", "stats": "Stats"}
"""Where a message of the gateway itself stands, by kind."""


class NodePackets:
    """Makes the packets of one node, still without sequence numbers."""

    def __init__(
        self,
        group: str,
        node: str,
        facts: Mapping[str, str],
        aliases: Iterator[int],
        now_ms: Callable[[], int],
        *,
        is_confirmed: bool,
    ) -> None:
        """facts: strings for the node's birth, by name. aliases: unused ones, of which it takes some."""
        self._base = f"{NAMESPACE}/{group}"
        self._node = node
        self._is_confirmed = is_confirmed
        self._facts = facts
        self._aliases = {name: next(aliases) for name in _NODE_METRICS.values()}
        self._now_ms = now_ms

    def topic(self, kind: str, device: str = "") -> str:
        """Of a message of the node, or of one of its devices (4.1)."""
        return f"{self._base}/{kind}/{self._node}" + (f"/{device}" if device else "")

    def node_birth(self, bd_seq: int, templates: Iterable[Shape] = ()) -> Packet:
        """NBIRTH (6.4.19), with the definitions of templates, each after those that it consists of."""
        now = self._now_ms()
        payload = new_payload(timestamp=now)
        payload.metrics.add(name="bdSeq", timestamp=now, datatype=DataType.INT64, long_value=bd_seq)
        payload.metrics.add(name=REBIRTH, timestamp=now, datatype=DataType.BOOLEAN, boolean_value=False)
        for name, text in self._facts.items():
            payload.metrics.add(name=f"Properties/{name}", timestamp=now, datatype=DataType.STRING, string_value=text)
        for shape in templates:
            entry = payload.metrics.add(name=shape.name, timestamp=now, datatype=DataType.TEMPLATE)
            write_definition(entry, shape, now)
        for name, alias in self._aliases.items():
            payload.metrics.add(name=name, alias=alias, timestamp=now, datatype=DataType.STRING, is_null=True)
        return self._packet("NBIRTH", payload)

    def node_death(self, bd_seq: int) -> Packet:
        """NDEATH: at QoS 1 like the will that it stands for (5.4)."""
        payload = new_payload(timestamp=self._now_ms())
        payload.metrics.add(name="bdSeq", timestamp=payload.timestamp, datatype=DataType.INT64, long_value=bd_seq)
        return self._packet("NDEATH", payload)

    def device_birth(self, device: DeviceMetrics) -> Packet:
        """DBIRTH with every metric, in the order of time (5.16)."""
        payload = new_payload(timestamp=self._now_ms())
        for metric in sorted(device, key=lambda one: one.time_ms or payload.timestamp):
            write_birth(payload, metric, payload.timestamp)
        return self._packet("DBIRTH", payload, device.name)

    def device_death(self, name: str) -> Packet:
        """DDEATH."""
        return self._packet("DDEATH", new_payload(timestamp=self._now_ms()), name)

    def device_data(self, name: str, values: Sequence[MetricValue], *, historical: bool, most_bytes: int) -> list[Packet]:
        """DDATA, halved until each fits; one metric is sent whatever its size."""
        payload = new_payload(timestamp=self._now_ms())
        for one in values:
            write_value(payload, one, historical=historical)
        written = payload.SerializeToString()
        if len(written) + SEQ_BYTES <= most_bytes or len(values) < 2:
            return [self._packet("DDATA", written, name)]
        middle = len(values) // 2
        return [
            packet
            for half in (values[:middle], values[middle:])
            for packet in self.device_data(name, half, historical=historical, most_bytes=most_bytes)
        ]

    def node_data(self, kind: str, message: Message, *, hist: bool) -> Packet:
        """NDATA: a message of the contract, whole, as JSON in the metric for its kind."""
        name = _NODE_METRICS.get(kind, _NODE_METRICS["event"])
        body = document_of(mark_hist(message.payload) if hist else message.payload)
        payload = new_payload(timestamp=self._now_ms())
        entry: Any = payload.metrics.add(
            alias=self._aliases[name], timestamp=message.start_ms, datatype=DataType.STRING, is_transient=True
        )
        if hist:
            entry.is_historical = True
        set_value(entry, DataType.STRING, orjson.dumps({"stream": message.topic} | body).decode())
        return self._packet("NDATA", payload)

    def empty_data(self) -> Packet:
        """Return an NDATA without metrics."""
        return self._packet("NDATA", new_payload(timestamp=self._now_ms()))

    def _packet(self, kind: str, payload: Any, device: str = "") -> Packet:
        """payload: the message, or its bytes."""
        written = payload if isinstance(payload, bytes) else payload.SerializeToString()
        return Packet(self.topic(kind, device), written, is_confirmed=kind == "NDEATH" or self._is_confirmed)
