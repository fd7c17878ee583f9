"""The layout `tag`: one topic per tag, for a unified namespace."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.core.messages import Message
from gateway.core.ports.layout import Packet
from gateway.encoding.config import LayoutConfig
from gateway.encoding.formats import FORMATS
from gateway.encoding.topic_template import filled
from gateway.encoding.topics import Topics
from gateway.layouts.device.layout import DeviceLayout, properties_of


@dataclass(frozen=True, slots=True)
class TagTopics:
    """Where the tags of one device are published. values: of every field but `tag`."""

    template: str
    values: Mapping[str, str]

    @classmethod
    def of(cls, config: LayoutConfig, topics: Topics, device: int) -> "TagTopics":
        """Topics of a device, for its own configuration."""
        own = {"root": topics.root, "gateway": topics.gateway, "device": topics.devices[device]}
        return cls(config.topic, own | config.topic_fields)

    def topic(self, tag: str) -> str:
        """Windows and values of a tag."""
        return filled(self.template, {**self.values, "tag": tag})

    def event(self, tag: str) -> str:
        """Events of a tag."""
        return f"{self.topic(tag)}/event"

    def summary(self, tag: str) -> str:
        """Summaries of a tag."""
        return f"{self.topic(tag)}/summary"


class TagLayout:
    """A `core.ports.Layout` for the messages of one device.

    Each tag of a window, summary or value is a packet of its own: the message's head, `stream` (the topic it would have in
    layout device, which is what `seq` counts), `part: [k, n]`, `tag` and the tag's row, the last value as `value`. Events of
    the device as a whole and its stats go as in layout device.
    """

    def __init__(self, config: LayoutConfig, topics: TagTopics) -> None:
        self._form = FORMATS[config.format]
        self._whole = DeviceLayout(config.format)
        self._retain = config.retain
        self._topics = topics
        self._known: dict[str, str] = {}

    def packets(self, message: Message, *, hist: bool, most_bytes: int) -> Sequence[Packet]:
        """One packet per tag. Only what is newest is retained: no backlog, no supplement, no summary."""
        kind = message.topic.rpartition("/")[2]
        body = orjson.loads(message.payload) if kind in ("window", "summary", "value", "event") else {}
        if kind == "event" and isinstance(tag := body.get("tag"), str):
            document = body | {"hist": hist, "stream": message.topic}
            return [self._packet(message, self._topics.event(tag), document, retain=False)]
        rows = body.get("tags")
        if not rows:  # a supplement without rows is possible after merging; it still counts
            return self._whole.packets(message, hist=hist, most_bytes=most_bytes)
        head = {key: value for key, value in body.items() if key != "tags"} | {"hist": hist, "stream": message.topic}
        retain = self._retain and not hist and kind != "summary" and "late" not in body
        packets, count = [], len(rows)
        for k, (tag, row) in enumerate(rows.items(), 1):
            document = head | {"part": [k, count], "tag": tag} | _row(row)
            packets.append(self._packet(message, self._topic(kind, tag), document, retain, (k, count)))
        return packets

    def _topic(self, kind: str, tag: str) -> str:
        if kind == "summary":
            return self._topics.summary(tag)
        topic = self._known.get(tag)
        if topic is None:
            topic = self._known[tag] = self._topics.topic(tag)
        return topic

    def _packet(
        self, message: Message, topic: str, document: dict[str, Any], retain: bool, part: tuple[int, int] = (1, 1)
    ) -> Packet:
        payload = self._form.write(orjson.dumps(document))
        return Packet(topic, payload, retain, properties_of(message, self._form, part))


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A tag's row with its last value first."""
    if "value" in row:
        return dict(row)
    return {"value": row.get("last")} | {key: value for key, value in row.items() if key != "last"}
