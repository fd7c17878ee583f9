"""Encodes blocks and events as messages: payloads, sequence numbers, the mark `hist`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import orjson

from gateway.core.blocks import ObjectBlock, WindowBlock
from gateway.core.events.delivery import MessagesLost
from gateway.core.events.event import Event
from gateway.core.messages import DeviceState, Lane, Loss, Message
from gateway.core.tags import TagTable
from gateway.encoding.columns import ColumnText
from gateway.encoding.topics import Topics
from gateway.encoding.window_json import STATISTICS, RowText, quality_fields, shortest_single

ROWS_PER_MESSAGE: Final = 800
"""About 128 KiB of JSON, which brokers accept by default."""

_LATE: Final = (b"", b'"late":true,', b'"late":true,"replaces":true,')
_LIVE: Final = b'"hist":false'
_BACKLOG: Final = b'"hist":true'


def mark_hist(payload: bytes) -> bytes:
    """Return the payload as it is sent from backlog. Only fields of our own stand before the mark: the first match is it."""
    return payload.replace(_LIVE, _BACKLOG, 1)


@dataclass(frozen=True, slots=True)
class WindowStyle:
    """How the windows and summaries of a device are written."""

    columns: bool = False
    """One array per statistic in place of one object per tag."""
    statistics: tuple[str, ...] = STATISTICS
    """What is said of each tag's numbers, in the order of payloads; `last` is among them."""


class Encoder:
    """The encoder of one run of the gateway. `seq` counts from 1 per topic; every message it makes must go to the outbox."""

    def __init__(self, topics: Topics, table: TagTable, boot: str, styles: Sequence[WindowStyle] = ()) -> None:
        """styles: of each device; without any, all that there is in rows."""
        self._topics = topics
        self._table = table
        self._boot = boot
        self._styles = tuple(styles) or (WindowStyle(),) * len(table.devices)
        self._rows = RowText(table)
        self._columns = ColumnText(table)
        self._last_seq: dict[str, int] = {}
        self._window_topics = [topics.window(device) for device in range(len(table.devices))]
        self._summary_topics = [topics.summary(device) for device in range(len(table.devices))]
        self._first_ids = np.array([table.range_of(d)[0] for d in range(len(table.devices))], np.int64)

    def adopt(self, fresh: "Encoder") -> None:
        """Go on with the tables of an encoder that was built for another configuration; numbers go on by topic."""
        self._topics, self._table, self._styles = fresh._topics, fresh._table, fresh._styles
        self._rows, fresh._rows = fresh._rows, self._rows  # to free a text for each tag takes milliseconds: later
        self._columns, fresh._columns = fresh._columns, self._columns
        self._window_topics, self._summary_topics = fresh._window_topics, fresh._summary_topics
        self._first_ids = fresh._first_ids

    def windows(self, block: WindowBlock) -> list[Message]:
        """Return one message per device with rows (more for very large devices), in lane WINDOW."""
        return self._messages(block, self._window_topics, Lane.WINDOW)

    def summaries(self, block: WindowBlock) -> list[Message]:
        """Return the same for a block of summaries, in lane SUMMARY."""
        return self._messages(block, self._summary_topics, Lane.SUMMARY)

    def objects(self, block: ObjectBlock) -> list[Message]:
        """Return values that are no numbers: one message per device, or more where a tag changed more than once.

        Those of the past are marked `late`.
        """
        waiting: dict[int, dict[str, dict[str, Any]]] = {}
        messages = []
        for tag, time, value, quality in zip(
            block.tag.tolist(), block.time.tolist(), block.value, block.quality.tolist(), strict=True
        ):
            known = self._table.tags[tag]
            rows = waiting.setdefault(known.device, {})
            if known.name in rows or len(rows) == ROWS_PER_MESSAGE:
                messages.append(self._values(known.device, rows, block.history))
                rows = waiting[known.device] = {}
            rows[known.name] = {"value": value, "ts": time // 1_000_000} | quality_fields(quality)
        return messages + [self._values(device, rows, block.history) for device, rows in waiting.items()]

    def _values(self, device: int, rows: dict[str, dict[str, Any]], late: bool) -> Message:
        times = [row["ts"] for row in rows.values()]
        body = ({"late": True} if late else {}) | {"tags": rows}
        return self._document(self._topics.value(device), Lane.SUMMARY, min(times), max(times), body, past=late)

    def stats(self, device: int | None, stats: Mapping[str, float | str], now_ns: int) -> Message:
        """Return counters and measurements of a device's connection, or of the gateway itself, as a message."""
        stamp = now_ns // 1_000_000
        return self._document(self._topics.stats(device), Lane.WINDOW, stamp, stamp, {"stats": _finite(stats)})

    def event(self, event: Event, *, sink: str = "") -> Message:
        """Return an event of a device or of the gateway as a message; a number that JSON cannot carry becomes null.

        sink: with several sinks, the only one that gets it, on a topic of its own.
        """
        topic = self._topics.event_of_sink(sink) if sink else self._topics.event(event.device)
        stamp = event.time_ns // 1_000_000
        owner: dict[str, Any] = {}
        payload = _finite(event.payload())
        if event.tag is not None:
            tag = self._table.tags[event.tag]
            owner["tag"] = tag.name
            if tag.single and isinstance(value := payload.get("value"), float):
                payload["value"] = shortest_single(value)
        elif event.device is not None and event.concerns != "gateway":
            owner["device"] = self._table.devices[event.device]
        return self._document(topic, Lane.EVENT, stamp, stamp, {"kind": event.kind} | owner | payload)

    def loss_event(self, loss: Loss, now_ns: int, sink: str | None = None) -> MessagesLost:
        """Return the event of messages that will never arrive, for the topic of the device they belong to.

        sink: with several sinks, the one that will not get them.
        """
        device = loss.topic.removeprefix(self._topics.base + "/").rpartition("/")[0]
        known = self._topics.devices.index(device) if device in self._topics.devices else None
        return MessagesLost.of(loss, now_ns, known, sink)

    @staticmethod
    def read_loss(message: Message) -> Loss:
        """Return the loss that a message of kind `loss` describes."""
        body = orjson.loads(message.payload)
        return Loss(
            topic=body["topic"],
            boot=body["of_boot"],
            first_seq=body["first_seq"],
            last_seq=body["last_seq"],
            count=body["count"],
            start_ms=body["start"],
            end_ms=body["end"],
            cause=body["cause"],
            detail=body["detail"],
            windows=body.get("windows", 0),
            from_seq=body.get("from_seq", 0),
        )

    def _seq(self, topic: str) -> int:
        seq = self._last_seq[topic] = self._last_seq.get(topic, 0) + 1
        return seq

    def _document(
        self, topic: str, lane: Lane, start_ms: int, end_ms: int, fields: dict[str, Any], *, past: bool = False
    ) -> Message:
        seq = self._seq(topic)
        head: dict[str, Any] = {"boot": self._boot, "seq": seq, "ts": start_ms, "hist": False}
        return Message(topic, self._boot, seq, lane, start_ms, end_ms, orjson.dumps(head | fields), past)

    def _messages(self, block: WindowBlock, topics: list[str], lane: Lane) -> list[Message]:
        if not len(block):
            return []
        bounds = list(pairwise([*np.searchsorted(block.tag, self._first_ids).tolist(), len(block)]))
        rows = self._row_texts(block, bounds)
        start_ms, length_ms = block.start // 1_000_000, block.length // 1_000_000
        late = _LATE[block.late + block.replaces]
        messages = []
        for device, (first, end) in enumerate(bounds):
            for at in range(first, end, ROWS_PER_MESSAGE):
                until = min(end, at + ROWS_PER_MESSAGE)
                seq = self._seq(topics[device])
                head = b'{"boot":"%b","seq":%d,"ts":%d,"dur":%d,"hist":false,%b' % (
                    self._boot.encode(), seq, start_ms, length_ms, late,
                )  # fmt: skip
                if self._styles[device].columns:
                    some = block if until - at == len(block) else block.take(slice(at, until))
                    payload = head + self._columns.text(some, device, self._styles[device].statistics) + b"}"
                else:
                    payload = head + b'"tags":{' + rows[device](at, until) + b"}}"
                messages.append(
                    Message(topics[device], self._boot, seq, lane, start_ms, start_ms + length_ms, payload, block.past)
                )
        return messages

    def _row_texts(self, block: WindowBlock, bounds: Sequence[tuple[int, int]]) -> dict[int, "_Rows"]:
        """Return for each device that has rows, and writes them as such, what returns their text.

        Devices that say the same of their tags are written in one go.
        """
        devices: dict[tuple[str, ...], list[int]] = {}
        for device, (first, end) in enumerate(bounds):
            if end > first and not self._styles[device].columns:
                devices.setdefault(self._styles[device].statistics, []).append(device)
        texts: dict[int, _Rows] = {}
        for statistics, some in devices.items():
            spans = [bounds[device] for device in some]
            count = sum(end - first for first, end in spans)
            part = block if count == len(block) else block.take(np.concatenate([np.arange(*span) for span in spans]))
            pieces, width = self._rows.row_pieces(part, statistics)
            before = 0
            for device, (first, end) in zip(some, spans, strict=True):
                texts[device] = _Rows(pieces, width, first - before)
                before += end - first
        return texts


@dataclass(frozen=True, slots=True)
class _Rows:
    """The texts of rows of a block."""

    pieces: list[bytes]
    width: int
    skipped: int
    """Rows of the block before the device's that have no texts here."""

    def __call__(self, first: int, end: int) -> bytes:
        """Return the text of rows of the block, without the comma before the first."""
        return b"".join(self.pieces[(first - self.skipped) * self.width : (end - self.skipped) * self.width])[1:]


def _finite(detail: Mapping[str, object]) -> dict[str, object]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in detail.items()}


class StatusText:
    """Payloads of the status topic, before and after the end of the gateway.

    Attributes:
        refused: devices that do not run because of their configuration, and why.
    """

    def __init__(self, boot: str, version: str, config: str, table: TagTable) -> None:
        self.refused: Mapping[str, str] = {}
        self._head = {"boot": boot, "version": version, "config": config}
        self._table = table

    def adopt(self, config: str, table: TagTable, refused: Mapping[str, str]) -> None:
        """Describe another configuration from now on."""
        self._head = self._head | {"config": config}
        self._table, self.refused = table, refused

    def online(
        self,
        since_ms: int,
        devices: Mapping[int, DeviceState],
        certificates: Mapping[str, int] | None = None,
        memory_only: tuple[str, int] | None = None,
        configuration: Mapping[str, object] | None = None,
        sinks: Mapping[str, str] | None = None,
    ) -> bytes:
        """Return every device's state, and since when the gateway runs.

        certificates: when they end, ms, by owner. memory_only: why the disk takes nothing, and since when messages are in
        memory only, ms UTC. configuration: what cannot be used of it, and the last reload, as the message schema says.
        sinks: where there are several, the state of each.
        """
        states = {
            self._table.devices[number]: {"state": state.state, "reason": state.reason} for number, state in devices.items()
        }
        more: dict[str, object] = {"certificates": certificates} if certificates else {}
        if memory_only:
            more["outbox"] = dict(zip(("refused", "memory_since"), memory_only, strict=True))
        if configuration:
            more["configuration"] = configuration
        if sinks:
            more["sinks"] = {name: {"state": state} for name, state in sinks.items()}
        states |= {name: {"state": "down", "reason": reason} for name, reason in self.refused.items()}
        return orjson.dumps({"state": "online"} | self._head | {"since": since_ms, "devices": states} | more)

    def offline(self, since_ms: int, reason: str) -> bytes:
        """Return that the gateway has stopped, or (reason `connection lost`) may have; nothing is known of devices then."""
        return orjson.dumps({"state": "offline"} | self._head | {"since": since_ms, "reason": reason, "devices": {}})
