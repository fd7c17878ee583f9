"""What stands at the broker about the tags themselves: `{device}/tags`, retained, for whoever subscribes later."""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import structlog

from gateway.core.bounded_file import read_bounded
from gateway.core.os_errors import os_reason
from gateway.core.ports.layout import Packet, Properties
from gateway.core.private_files import write_private
from gateway.core.tags import Tag, TagTable
from gateway.encoding.columns import set_id
from gateway.encoding.topics import Topics

log = structlog.get_logger("publisher")

_MOST_BYTES: Final = 2**24
_PROPERTIES: Final = Properties("application/json")
_KIND: Final = "tags"
_SET: Final = b'{"set":"'
_NO_TOPIC: Final = re.compile(r"[+#\0]")
"""No name of a topic has these (MQTT 5.0, 4.7): a broker would hang up for a damaged file."""
_GONE: Final = b""
"""An empty payload takes what is retained on a topic away (MQTT 5.0, 3.3.1.3)."""

Extra = Callable[[], Mapping[str, bytes]]
"""Returns further payloads that are to stand, by topic, and an empty payload for topics that messages fill."""


def description_of(table: TagTable, device: int) -> bytes:
    """Return the payload: `set` names the list of tags, which windows in columns count in."""
    first, end = table.range_of(device)
    tags = table.tags[first:end]
    return orjson.dumps({"set": set_id([tag.name for tag in tags]), "tags": [_described(tag) for tag in tags]})


def _described(tag: Tag) -> dict[str, Any]:
    fields = {
        "name": tag.name,
        "unit": tag.unit,
        "description": tag.description,
        "type": "boolean" if tag.logical else "text" if tag.text else "float32" if tag.single else "number",
        "range": tag.range,
        "interval_ms": tag.interval_ns / 1e6 if tag.interval_ns else None,
    }
    return {key: value for key, value in fields.items() if value not in ("", None)}


class Descriptions:
    """The descriptions of all devices, and whatever else is to stand; what no longer has a place is taken away.

    What was published is remembered in a file, so that a start with other devices or tags can take it away, too.
    """

    def __init__(self, topics: Topics, table: TagTable, file: Path, extra: Extra = dict) -> None:
        """Do no I/O yet. file: where topics are remembered, a few dozen bytes each."""
        self._topics, self._table, self._extra = topics, table, extra
        self._file = file
        self._arrived: dict[str, str] = {}
        """The set of each device's description that the broker has, by what the device's topics begin with."""
        self._remembered: set[str] | None = None
        self._standing: set[str] | None = None
        """What stands once all packets that were returned have arrived."""
        self._changed = asyncio.Event()

    def adopt(self, topics: Topics, table: TagTable, extra: Extra) -> None:
        """Describe another configuration from now on."""
        self._topics, self._table, self._extra = topics, table, extra
        self._changed.set()

    def connected(self) -> None:
        """Begin a connection: all of it is published again."""
        self._arrived.clear()
        self._standing = None
        self._changed.set()

    async def changes(self) -> Iterator[Packet]:
        """Return all packets at the beginning of a connection, and whenever there is another configuration. Cancellable.

        Called again once all of them have arrived.
        """
        if self._standing is not None:
            await asyncio.to_thread(self._remember, self._standing)
        await self._changed.wait()
        self._changed.clear()
        described = [self._topics.of_device(row) for row in range(len(self._table.devices))]
        made = await asyncio.to_thread(self._made, self._table, described, self._extra)
        for base in described:
            self._arrived.pop(base, None)
        return iter(made)

    def arrived(self, packet: Packet) -> None:
        """Record that the broker has a packet."""
        base, _, kind = packet.topic.rpartition("/")
        if kind == _KIND and packet.payload.startswith(_SET):
            self._arrived[base] = packet.payload[len(_SET) :].partition(b'"')[0].decode()

    def known_set(self, base: str) -> str:
        """Return the set of tags whose description the broker has; empty for none. base: of the device's topics."""
        return self._arrived.get(base, "")

    # -- on a thread ---------------------------------------------------------------------------------------------------

    def _made(self, table: TagTable, described: Sequence[str], extra: Extra) -> list[Packet]:
        others = extra()
        before = self._read() if self._remembered is None else self._remembered
        now = {*others, *(f"{base}/{_KIND}" for base in described)}
        self._remember(before | now)
        self._standing = now
        gone = [Packet(topic, _GONE, is_latest=True) for topic in sorted(before - now)]
        own = [
            Packet(f"{base}/{_KIND}", description_of(table, row), True, _PROPERTIES) for row, base in enumerate(described)
        ]
        return gone + own + [Packet(topic, payload, True, _PROPERTIES) for topic, payload in others.items() if payload]

    def _read(self) -> set[str]:
        try:
            found = orjson.loads(read_bounded(self._file, _MOST_BYTES))
        except (OSError, ValueError):
            return set()
        topics = found if isinstance(found, list) else []
        return {one for one in topics if isinstance(one, str) and one and not _NO_TOPIC.search(one)}

    def _remember(self, topics: set[str]) -> None:
        if topics == self._remembered:
            return
        self._remembered = topics
        try:
            write_private(self._file, orjson.dumps(sorted(topics)))
        except OSError as error:
            log.warning("which topics are retained is not kept", file=str(self._file), reason=os_reason(error))
