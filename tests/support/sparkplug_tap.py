"""What an edge node says on the wire: each connection's CONNECT, subscriptions, publications and DISCONNECT, read by hand,
with payloads as Eclipse Tahu's own library (npm sparkplug-payload) reads them."""

import base64
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.conftest import NODE
from tests.support.bad_broker import body_of

_CONNECT, _PUBLISH, _SUBSCRIBE, _DISCONNECT = 1, 3, 8, 14
_SIZES = {0x01: 1, 0x02: 4, 0x11: 4, 0x17: 1, 0x18: 4, 0x19: 1, 0x21: 2, 0x22: 2, 0x23: 2, 0x24: 1, 0x25: 1, 0x27: 4}
"""Properties of a fixed size (MQTT 5.0, 2.2.2.2); those of text are told by `_TEXTS`."""
_TEXTS = {0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1F}


class Reader:
    """Reads the fields of one packet, in order."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def number(self, size: int) -> int:
        return int.from_bytes(self.raw(size))

    def raw(self, size: int) -> bytes:
        taken, self._data = self._data[:size], self._data[size:]
        assert len(taken) == size, "a packet that ends too early"
        return taken

    def text(self) -> bytes:
        return self.raw(self.number(2))

    def rest(self) -> bytes:
        return self._data

    def properties(self) -> dict[int, Any]:
        """MQTT 5's, by number. Only one of each is kept."""
        length, shift = 0, 0
        while True:
            byte = self.number(1)
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        inner, found = Reader(self.raw(length)), {}
        while inner.rest():
            kind = inner.number(1)
            if kind == 0x26:
                found[kind] = (inner.text(), inner.text())
            else:
                found[kind] = inner.text() if kind in _TEXTS else inner.number(_SIZES[kind])
        return found


@dataclass
class Sent:
    """One publication. body: as Tahu's library reads it."""

    kind: str
    device: str
    topic: str
    qos: int
    retain: bool
    payload: bytes
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def metrics(self) -> list[dict[str, Any]]:
        return self.body.get("metrics", [])

    def metric(self, name: str) -> dict[str, Any]:
        """The metric of this name; there must be exactly one."""
        (found,) = [metric for metric in self.metrics if metric.get("name") == name]
        return found

    @property
    def seq(self) -> int | None:
        return int(self.body["seq"]) if "seq" in self.body else None


@dataclass
class Session:
    """One connection, from CONNECT to its end. order: what was sent, by name, in order."""

    version: int
    clean: bool
    expiry_s: int
    will: Sent
    will_delay_s: int
    subscribed: list[tuple[str, int]] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    disconnect: int | None = None

    def of(self, *kinds: str) -> list[Sent]:
        """Publications of these types."""
        return [sent for sent in self.sent if sent.kind in kinds]


class Tap:
    """Set `Tap.meddle` as a proxy's `meddle`; ask for `sessions` at the end."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []

    async def meddle(self, up: bool, kind: int, packet: bytes) -> bytes:
        """Look at a packet, and pass it on."""
        if up:
            self._look(kind, packet)
        return packet

    def all(self, *kinds: str) -> Iterator[Sent]:
        """Publications of these types in all sessions."""
        return (sent for session in self.sessions for sent in session.of(*kinds))

    def decode(self) -> None:
        """Read all payloads with Tahu's library."""
        every = [one for session in self.sessions for one in (session.will, *session.sent)]
        lines = "\n".join(base64.b64encode(one.payload).decode() for one in every) + "\n"
        done = subprocess.run(
            ["node", "sparkplug.js"], cwd=NODE, input=lines, capture_output=True, text=True, timeout=60, check=True
        )
        for one, line in zip(every, done.stdout.splitlines(), strict=True):
            one.body = json.loads(line)

    def _look(self, kind: int, packet: bytes) -> None:
        if kind == _CONNECT:
            self.sessions.append(_connect(packet))
            return
        session = self.sessions[-1]
        fields = Reader(body_of(packet))
        if kind == _PUBLISH:
            topic, qos = fields.text().decode(), packet[0] >> 1 & 3
            if qos:
                fields.number(2)
            if session.version == 5:
                fields.properties()
            session.sent.append(_sent(topic, qos, bool(packet[0] & 1), fields.rest()))
            session.order.append(session.sent[-1].kind)
        elif kind == _SUBSCRIBE:
            fields.number(2)
            if session.version == 5:
                fields.properties()
            session.subscribed.append((fields.text().decode(), fields.number(1) & 3))
            session.order.append("SUBSCRIBE")
        elif kind == _DISCONNECT:
            session.disconnect = fields.number(1) if fields.rest() else 0
            session.order.append("DISCONNECT")


def _connect(packet: bytes) -> Session:
    fields = Reader(body_of(packet))
    assert fields.text() == b"MQTT"
    version, flags = fields.number(1), fields.number(1)
    fields.number(2)
    expiry_s = fields.properties().get(0x11, 0) if version == 5 else 0
    fields.text()
    assert flags & 0x04, "a will"
    delay_s = fields.properties().get(0x18, 0) if version == 5 else 0
    topic, payload = fields.text().decode(), fields.text()
    will = _sent(topic, flags >> 3 & 3, bool(flags & 0x20), payload)
    return Session(version, bool(flags & 0x02), expiry_s, will, delay_s)


def _sent(topic: str, qos: int, retain: bool, payload: bytes) -> Sent:
    levels = topic.split("/")
    return Sent(levels[2], "/".join(levels[4:]), topic, qos, retain, payload)
