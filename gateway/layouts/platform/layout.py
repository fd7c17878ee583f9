"""The layout `platform`: each message in the form that a platform wants, without status, will or retained messages."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from string import Template
from typing import Any, Final

import orjson

from gateway.core.messages import Message
from gateway.core.ports.layout import Packet, Properties, Subscription, Until
from gateway.core.ports.layout_plugin import LayoutScope
from gateway.encoding.columns import document_of
from gateway.encoding.encoder import mark_hist
from gateway.encoding.topics import Topics
from gateway.layouts.platform.forms import CONTRACT, CONTRACT_MESSAGE, form_of
from gateway.layouts.platform.templates import fill_topic, in_string

_MEASURED: Final = ("window", "value")
_TYPE: Final = "application/json"


class PlatformLayout:
    """A `core.ports.layout.Layout` that is a session of its own, since platforms have no place for a status.

    Windows and values become $values: a tag's last value, null where none is valid, and its quality beside it. A payload
    that is too large for the platform is cut between tags. What is only the newest state (a shadow) takes neither backlog
    nor supplements: these go out on the contract's topics, where nothing newer is overwritten.
    """

    is_announced = False

    def __init__(self, scope: LayoutScope) -> None:
        config = scope.config.platform
        self._form = form_of(config)
        self._topics = Topics.of(scope.root, scope.gateway, [device.name for device in scope.devices])
        self._quality: bool = config.quality
        self._id: str = config.id or ""
        self._ids: Mapping[str, str] = config.ids
        self._fields = {"root": scope.root, "gateway": scope.gateway}

    # -- messages ----------------------------------------------------------------------------------------------------

    def packets(self, message: Message, *, hist: bool, most_bytes: int) -> Sequence[Packet]:
        """Return the message in the platform's form."""
        name, kind = self._place(message)
        document = mark_hist(message.payload) if hist else message.payload
        body = document_of(document)
        topic, payload = self._templates(kind, is_old=hist or "late" in body)
        fields = {**self._fields, "device": name, "kind": kind, "id": self._ids.get(name, self._id)}
        where = fill_topic(topic, fields) if name or topic != CONTRACT else message.topic
        properties = Properties(_TYPE, (("boot", message.boot), ("seq", str(message.seq))))
        most = min(most_bytes, self._form.most_bytes)
        texts = self._payloads(payload, name or self._topics.gateway, kind, body, most)
        return [Packet(where, text.encode(), properties=properties) for text in texts]

    def _place(self, message: Message) -> tuple[str, str]:
        """Return device and kind of a message; the device is empty for the gateway itself."""
        before, _, kind = message.topic.rpartition("/")
        return before.removeprefix(self._topics.base).lstrip("/"), kind

    def _templates(self, kind: str, *, is_old: bool) -> tuple[str, Template]:
        form = self._form
        if kind not in _MEASURED:
            return form.other_topic, Template(form.other_payload)
        if form.is_state and is_old:
            return CONTRACT, Template(CONTRACT_MESSAGE)
        return form.topic, Template(form.payload)

    def _payloads(self, template: Template, device: str, kind: str, body: dict[str, Any], most: int) -> Iterator[str]:
        """Yield the payloads, cut between tags where one would be too large."""
        ts_ms = int(body["ts"])
        tags = body["tags"] if kind in (*_MEASURED, "summary") else {}  # an event has other things by this name
        text = template.substitute(
            values=orjson.dumps(self._values(tags if kind in _MEASURED else {})).decode(),
            ts=str(ts_ms),
            time=orjson.dumps(datetime.fromtimestamp(ts_ms / 1e3, UTC).isoformat(timespec="milliseconds")).decode(),
            device=in_string(device),
            gateway=in_string(self._topics.gateway),
            kind=in_string(kind),
            message=(whole := orjson.dumps(body).decode()),
            text=orjson.dumps(whole).decode(),
        )
        rows = list(tags.items())
        if len(text.encode()) <= most or len(rows) < 2:
            yield text
            return
        middle = len(rows) // 2
        for some in (rows[:middle], rows[middle:]):
            yield from self._payloads(template, device, kind, body | {"tags": dict(some)}, most)

    def _values(self, tags: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for tag, row in tags.items():
            is_valid = row.get("q") != "bad"
            values[tag] = row.get("value", row.get("last")) if is_valid else None
            if self._quality:
                values[f"{tag}_q"] = row.get("q")
        return values

    # -- session: nothing goes beside the messages ---------------------------------------------------------------------

    def will(self) -> Packet | None:
        """Return None: platforms see themselves when the connection breaks, and refuse other topics."""
        return None

    def births(self, most_bytes: int) -> Sequence[Packet]:
        """Return nothing."""
        del most_bytes
        return ()

    def changes(self, most_bytes: int) -> Sequence[Packet]:
        """Return nothing."""
        del most_bytes
        return ()

    def death(self) -> Sequence[Packet]:
        """Return nothing."""
        return ()

    def refused(self, topic: str, reason: str, *, until: Until) -> bool:
        """Return False: nothing was announced."""
        del topic, reason, until
        return False

    def numbered(self, packet: Packet) -> Packet:
        """Return the packet as it is."""
        return packet

    @property
    def subscriptions(self) -> Sequence[Subscription]:
        """Return nothing."""
        return ()

    def received(self, topic: str, payload: bytes) -> None:
        """Ignore it: nothing was subscribed to."""

    async def may_send(self, wanted: bool) -> None:
        """Return at once where that is wanted; messages may always be sent."""
        if not wanted:
            await asyncio.Event().wait()
