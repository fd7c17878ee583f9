"""Sparkplug on the subscriber's side: names for aliases, sequence numbers that prove each session."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.core.decoded_message import DecodedMessage, Malformed
from gateway.core.ports.layout_plugin import Proof
from gateway.encoding.decoder import parse
from gateway.layouts.sparkplug.topics import NAMESPACE
from gateway.layouts.sparkplug.wire import read_payload

_PREFIX: Final = f"{NAMESPACE}/"

_MODULUS: Final = 256
_MOST_NODES, _MOST_ALIASES = 1000, 100_000
_LONGEST_NAME: Final = 500
_NODE_LEVELS, _DEVICE_LEVELS = 4, 5
_WORDS: Final = {192: "good", 500: "uncertain", 0: "bad"}
_DOCUMENTS: Final = ("Event", "Stats")
_SILENT: Final = ("NCMD", "DCMD")
"""What hosts say to nodes."""


@dataclass(slots=True)
class _Node:
    """One edge node.

    session: names what its numbers count in; last: the newest of them, which go on beyond 255; ahead: the subscriber was
    away, so the next number can only be a later one, however far.
    """

    births: int = 0
    session: str = "joined"
    last: int = 0
    ahead: bool = False
    names: dict[tuple[str, int], str] = field(default_factory=dict)

    def born(self, seq: int, bd_seq: object) -> int:
        """Begin a new session; return the first number."""
        self.births += 1
        self.session = f"bdSeq {bd_seq}, birth {self.births}"
        self.last = seq + 1
        self.ahead = False
        return self.last

    def learn(self, device: str, metrics: Sequence[Mapping[str, Any]]) -> None:
        """Which names the aliases of a birth stand for."""
        for metric in metrics:
            if "alias" in metric and "name" in metric and len(self.names) < _MOST_ALIASES:
                self.names[device, metric["alias"]] = metric["name"][:_LONGEST_NAME]

    def name_of(self, device: str, metric: Mapping[str, Any]) -> str:
        """Return the name of a metric, as far as its birth has been seen."""
        alias = metric.get("alias", -1)
        return str(metric.get("name") or self.names.get((device, alias), f"alias {alias}"))

    def number(self, seq: int, *, dup: bool) -> int:
        """Return the number of a message, the nearest to the newest: what is late or twice is told from what is missing."""
        if not self.last:
            self.last = _MODULUS + seq + 1  # joined later; leaves room for what comes out of order
            return self.last
        if self.ahead and not dup:
            self.ahead = False
            self.last += (seq - self.last) % _MODULUS + 1
            return self.last
        number = self.last + (seq + 1 - self.last + _MODULUS // 2) % _MODULUS - _MODULUS // 2
        self.last = max(self.last, number)
        return number


class SparkplugReader:
    """A `core.ports.layout_plugin.Reader`: takes the messages of all nodes in the order of their arrival."""

    footnote = f"Sparkplug's own numbers go from 0 to {_MODULUS - 1}: what is missing there is counted modulo {_MODULUS}."

    def __init__(self) -> None:
        """Begin without any node."""
        self._nodes: dict[tuple[str, str], _Node] = {}

    def is_mine(self, topic: str) -> bool:
        """Return whether a topic is in Sparkplug's namespace."""
        return topic.startswith(_PREFIX)

    def was_away(self) -> None:
        """Record that the subscriber was disconnected until now.

        Brokers keep nothing of QoS 0, and what is missing may be a birth: no alias is known any more.
        """
        for node in self._nodes.values():
            node.ahead = bool(node.last)
            node.names.clear()

    def read(
        self, topic: str, payload: bytes, *, is_repeated: bool = False
    ) -> tuple[DecodedMessage | None, Sequence[Proof]]:
        """Return what to show, and what to enter into the ledger. None for what hosts publish. Raises Malformed."""
        levels = topic.split("/")
        if levels[1] == "STATE" or (len(levels) > 2 and levels[2] in _SILENT):
            return None, ()
        if len(levels) not in (_NODE_LEVELS, _DEVICE_LEVELS) or levels[2][:1] != "ND"[len(levels) - _NODE_LEVELS]:
            raise Malformed("foreign topic")
        group, kind, name, device = levels[1], levels[2][1:], levels[3], levels[4] if len(levels) > _NODE_LEVELS else ""
        if kind not in ("BIRTH", "DEATH", "DATA"):
            raise Malformed("foreign topic")
        try:
            body = read_payload(payload)
        except ValueError as error:
            raise Malformed(str(error)) from None
        node = self._node(group, name)
        stream = f"{_PREFIX}{group}/+/{name}"
        proofs = [] if levels[2] == "NDEATH" else [(stream, _numbered(node, levels[2], body, is_repeated))]
        if kind == "BIRTH":
            node.learn(device, body["metrics"])
            return _life(topic, name, device, "birth", body), proofs
        if kind == "DEATH":
            return _life(topic, name, device, "death", body), proofs
        named = {node.name_of(device, metric): metric for metric in body["metrics"]}
        whole = _document(named) if not device else None
        if whole is not None:
            return whole, [*proofs, (whole.topic, whole.body)]
        return _window(topic, name, device, named, proofs[0][1]), proofs

    def _node(self, group: str, name: str) -> _Node:
        if (group, name) not in self._nodes and len(self._nodes) >= _MOST_NODES:
            raise Malformed("one node too many to follow")
        return self._nodes.setdefault((group, name), _Node())


def _numbered(node: _Node, kind: str, body: Mapping[str, Any], dup: bool) -> dict[str, Any]:
    seq = body.get("seq")
    if not isinstance(seq, int) or not 0 <= seq < _MODULUS:
        raise Malformed(f"'seq' is {seq}, not 0 to 255")
    if kind == "NBIRTH":
        number = node.born(seq, next((m["value"] for m in body["metrics"] if m.get("name") == "bdSeq"), "?"))
    else:
        number = node.number(seq, dup=dup)
    return {"boot": node.session, "seq": number, "ts": body.get("timestamp", 0)}


def _life(topic: str, node: str, device: str, kind: Any, body: Mapping[str, Any]) -> DecodedMessage:
    summary = {"ts": body.get("timestamp"), "metrics": len(body["metrics"])}
    return DecodedMessage(topic, node, device, kind, summary, node)


def _document(named: Mapping[str, Mapping[str, Any]]) -> DecodedMessage | None:
    """Return the event or stats that this gateway sends as JSON in a metric."""
    for name in _DOCUMENTS:
        text = named.get(name, {}).get("value")
        if isinstance(text, str):
            try:
                return parse("", text.encode())
            except Malformed:
                continue
    return None


def _window(
    topic: str, node: str, device: str, named: Mapping[str, Mapping[str, Any]], numbered: Mapping[str, Any]
) -> DecodedMessage:
    tags = {name: _row(metric) for name, metric in named.items()}
    hist = any(metric.get("is_historical") is True for metric in named.values())
    times = [metric["timestamp"] for metric in named.values() if "timestamp" in metric]
    body = {**numbered, "ts": max(times, default=numbered["ts"]), "dur": 0, "hist": hist, "tags": tags}
    return DecodedMessage(topic, node, device, "window", body, node)


def _row(metric: Mapping[str, Any]) -> dict[str, Any]:
    properties: Mapping[str, Any] = metric.get("properties", {})
    quality = _WORDS.get(properties.get("Quality", 192), "uncertain")
    return {"last": metric["value"], "q": quality} | {k: v for k, v in properties.items() if k not in ("Quality", "q")}
