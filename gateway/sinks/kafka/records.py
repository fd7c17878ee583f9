"""From a packet of a layout to a record: topic, key, headers. Pure."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from gateway.core.errors import GatewayError, Permanent
from gateway.core.messages import Message
from gateway.core.ports.layout import Packet
from gateway.sinks.access.streams import Place, place_of
from gateway.sinks.kafka.batches import Record
from gateway.sinks.kafka.config import KafkaConfig

_NOT_LEGAL: Final = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST_TOPIC: Final = 249
_MOST_PLACES: Final = 10_000
_TYPE: Final = "gateway"

Headers = list[tuple[str, bytes]]


class RecordWriter:
    """Writes records as a configuration says."""

    def __init__(self, config: KafkaConfig, gateway: str) -> None:
        self._config = config
        self._gateway = gateway
        self._known: dict[str, tuple[Place, str, bytes]] = {}

    def record(self, message: Message, packet: Packet, *, hist: bool, done: Callable[[GatewayError | None], None]) -> Record:
        """Return the record of a packet. done: called once with its end. Raises Permanent where no topic can be made."""
        known = self._known.get(message.topic)
        if known is None:
            if len(self._known) >= _MOST_PLACES:
                self._known.clear()
            known = self._known[message.topic] = self._lead(message.topic)
        place, topic, key = known
        headers: Headers = [
            ("boot", message.boot.encode()),
            ("seq", b"%d" % message.seq),
            ("topic", packet.topic.encode()),
            ("content-type", packet.properties.content_type.encode()),
            ("hist", b"true" if hist else b"false"),
        ]
        parts = [value for name, value in packet.properties.user if name == "part"]
        for part in parts:
            headers.append(("part", part.encode()))
        if self._config.cloudevents:
            headers += self._cloud_event(message, place, parts)
        return Record(topic, key, packet.payload, headers, message.start_ms, done)

    def _lead(self, contract_topic: str) -> tuple[Place, str, bytes]:
        place = place_of(contract_topic, self._gateway)
        names = {"gateway": self._gateway, "device": place.device or self._gateway, "stream": place.stream}
        topic = _NOT_LEGAL.sub("_", _put_in(self._config.topic, names))
        if len(topic) > _LONGEST_TOPIC or topic in {"", ".", ".."}:
            raise Permanent(f"{topic!r} is no topic of Kafka; expected up to {_LONGEST_TOPIC} characters: check kafka.topic")
        return place, topic, _put_in(self._config.key, names).encode()

    def _cloud_event(self, message: Message, place: Place, parts: Sequence[str]) -> Headers:
        """Return the attributes of CloudEvents 1.0 (Kafka protocol binding, binary mode)."""
        made = datetime.fromtimestamp(message.start_ms / 1000, UTC).isoformat(timespec="milliseconds")
        source = "/".join(part for part in (self._gateway, place.device) if part)
        return [
            ("ce_specversion", b"1.0"),
            ("ce_id", "-".join([message.boot, str(message.seq), place.stream, *parts]).encode()),
            ("ce_source", f"/{source}".encode()),
            ("ce_type", f"{_TYPE}.{place.stream}".encode()),
            ("ce_time", made.replace("+00:00", "Z").encode()),
        ]


def _put_in(template: str, names: dict[str, str]) -> str:
    return template.format_map(names)
