"""The layout `tag`: a packet for each tag of a message, on the tag's own topic."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from gateway.core.messages import Message
from gateway.core.ports.layout import Packet, Properties
from gateway.encoding.columns import document_of
from gateway.encoding.formats import FORMATS, FormatName
from gateway.layouts.device.layout import DeviceLayout, properties_of
from gateway.layouts.tag.topics import TagTopics

_LATEST_KINDS: Final = ("window", "value")


@dataclass(frozen=True, slots=True)
class _Latest:
    """The newest row of a tag."""

    message: Message
    """The message that it stands in, without payload."""
    head: Mapping[str, Any]
    """What that message says beside its rows."""
    row: Mapping[str, Any]
    part: tuple[int, int]
    """Its place among the rows."""


class TagLayout:
    """A `core.ports.layout.Layout` for the messages of one device. MessageObserver, LatestStates.

    Each tag of a window, summary or value is a packet of its own: the message's head, `stream` (the topic it would have in
    layout device, which is what `seq` counts), `part: [k, n]`, `tag` and the tag's row, the last value as `value`. Events of
    the device as a whole and its stats go as in layout device.
    """

    def __init__(self, topics: TagTopics, form: FormatName, *, keep_latest: bool, quality_topic: bool = False) -> None:
        """keep_latest: the newest value of each tag is marked as its topic's latest state.

        quality_topic: plain values have their quality on a topic beside theirs.
        """
        self._quality_topic = quality_topic
        self._form = FORMATS[form]
        self._whole = DeviceLayout(form)
        self._keep_latest = keep_latest
        self._topics = topics
        self._known: dict[str, str] = {}
        self._latest: dict[str, _Latest] = {}
        self._sent: set[str] = set()
        """Tags whose newest value was sent live on this connection."""

    def observe(self, message: Message) -> None:
        """Learn the newest value of each tag from a message that was just made, whenever it may be sent."""
        kind = message.topic.rpartition("/")[2]
        if not self._keep_latest or message.past or kind not in _LATEST_KINDS:
            return
        body = document_of(message.payload)
        if "late" in body or not (rows := body.pop("tags", None)):
            return
        bare, count = replace(message, payload=b""), len(rows)
        for k, (tag, row) in enumerate(rows.items(), 1):
            self._latest[tag] = _Latest(bare, body, row, (k, count))
            self._sent.discard(tag)

    def latest_states(self) -> Iterator[Packet]:
        """Return each tag's newest value as history, as in its message: that may come once more, from backlog."""
        self._sent.clear()
        return self._latest_states()

    def _latest_states(self) -> Iterator[Packet]:
        for tag in list(self._latest):
            if tag not in self._sent:
                one = self._latest[tag]
                head = {**one.head, "hist": True, "stream": one.message.topic}
                document = head | {"part": list(one.part), "tag": tag} | _row(one.row)
                yield from self._packets(one.message, "window", tag, document, is_latest=True)

    def packets(self, message: Message, *, hist: bool, most_bytes: int) -> Sequence[Packet]:
        """Return one packet per tag. Only what is newest is its topic's latest: no backlog, no supplement, no summary."""
        kind = message.topic.rpartition("/")[2]
        body = document_of(message.payload) if kind in ("window", "summary", "value", "event") else {}
        if kind == "event" and isinstance(tag := body.get("tag"), str):
            document = body | {"hist": hist, "stream": message.topic}
            return [self._packet(message, self._topics.event(tag), document)]
        rows = body.get("tags")
        if not rows:  # a supplement without rows is possible after merging; it still counts
            return self._whole.packets(message, hist=hist, most_bytes=most_bytes)
        head = {key: value for key, value in body.items() if key != "tags"} | {"hist": hist, "stream": message.topic}
        is_latest = self._keep_latest and not hist and kind != "summary" and "late" not in body
        packets: list[Packet] = []
        count = len(rows)
        for k, (tag, row) in enumerate(rows.items(), 1):
            document = head | {"part": [k, count], "tag": tag} | _row(row)
            packets += self._packets(message, kind, tag, document, is_latest=is_latest)
            if is_latest and self._is_newest(tag, message):
                self._sent.add(tag)
        return packets

    def _is_newest(self, tag: str, message: Message) -> bool:
        one = self._latest.get(tag)
        return one is not None and (one.message.topic, one.message.seq) == (message.topic, message.seq)

    def _topic(self, kind: str, tag: str) -> str:
        if kind == "summary":
            return self._topics.summary(tag)
        topic = self._known.get(tag)
        if topic is None:
            topic = self._known[tag] = self._topics.topic(tag)
        return topic

    def _packets(
        self, message: Message, kind: str, tag: str, document: dict[str, Any], *, is_latest: bool
    ) -> Iterator[Packet]:
        """Yield the packet of a tag, and that of its quality where this has a topic."""
        part = (document["part"][0], document["part"][1])
        if not self._form.plain or kind == "summary":
            yield self._packet(message, self._topic(kind, tag), document, is_latest, part)
            return
        quality = document["q"] if "reason" not in document else f"{document['q']}:{document['reason']}"
        user = properties_of(message, self._form, part).user
        more = (("stream", message.topic), ("ts", str(document["ts"])), ("q", quality), ("hist", _JSON[document["hist"]]))
        yield Packet(self._topic(kind, tag), _plain(document), is_latest, Properties("text/plain", (*user, *more)))
        if self._quality_topic:
            text = quality.encode()
            yield Packet(self._topics.quality(tag), text, is_latest, Properties("text/plain", (*user, *more)))

    def _packet(
        self, message: Message, topic: str, document: dict[str, Any], is_latest: bool = False, part: tuple[int, int] = (1, 1)
    ) -> Packet:
        payload = self._form.write(orjson.dumps(document))
        return Packet(topic, payload, is_latest, properties_of(message, self._form, part))


_JSON: Final = {False: "false", True: "true"}


def _plain(document: Mapping[str, Any]) -> bytes:
    """Return a value and nothing else: a number as JSON writes it, text as it is; empty where there is none or it is bad."""
    value = document.get("value")
    if value is None or document["q"] == "bad":
        return b""
    return value.encode() if isinstance(value, str) else orjson.dumps(value)


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tag's row with its last value first."""
    if "value" in row:
        return dict(row)
    return {"value": row.get("last")} | {key: value for key, value in row.items() if key != "last"}
