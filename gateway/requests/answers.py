"""Answers questions for the past. A `core.ports.requests.PastRequests`."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.core.os_errors import os_reason
from gateway.core.tags import TagTable
from gateway.encoding.topics import Topics
from gateway.live.history.historian import NOT_KEPT, Historian
from gateway.requests.choose import chosen_tags
from gateway.requests.documents import row_documents, write
from gateway.requests.request import BadRequest, PastRequest, correlation_of, read_document, read_request
from gateway.requests.rows import no_tags, pieces

MOST_ROWS: Final = 1_000_000
"""Rows of one answer."""
_MS: Final = 1_000_000
_HEAD_BYTES: Final = 512
_LEAST_BYTES: Final = 256
_LONGEST_LIST: Final = 20
_AHEAD_NS: Final = 3_600_000_000_000
"""Devices whose clock is fast have values of the near future."""


@dataclass(slots=True)
class _Counts:
    """What an answer has had until now."""

    parts: int = 0
    rows: int = 0


class PastAnswers:
    """Questions and answers of one gateway. Nothing is kept between them, and nothing is done while nobody asks."""

    def __init__(
        self, topics: Topics, boot: str, table: Callable[[], TagTable], history: Historian | None, now_ns: Callable[[], int]
    ) -> None:
        """table: that runs. history: None where nothing is remembered."""
        self.topic, self.answer_topic = topics.raw_request, topics.raw_answer
        self._boot = boot
        self._table = table
        self._history = history
        self._now_ns = now_ns

    async def answer(self, document: bytes, most_bytes: int) -> AsyncIterator[bytes]:
        """Yield the parts of the answer to a question in JSON."""
        try:
            fields = read_document(document)
            request = read_request(fields, self._now_ns())
        except BadRequest as bad:
            yield self.refusal(document, str(bad), bad.expected)
            return
        async for part in self.parts(request, most_bytes, str(fields.get("correlation", ""))):
            yield part

    def refusal(self, document: bytes, error: str, expected: str = "") -> bytes:
        """Return the only part of an answer that says why there is none."""
        now_ms = self._now_ns() // _MS
        why = {"error": error} | ({"expected": expected} if expected else {})
        return write(self._head(now_ms, 1, correlation_of(document)) | {"last": True} | why)

    async def parts(self, request: PastRequest, most_bytes: int, correlation: str = "") -> AsyncIterator[bytes]:
        """Yield the parts of the answer to a question: rows, and at the end what is missing."""
        table, counts = self._table(), _Counts()
        tags, unknown = await chosen_tags(table, request.patterns)
        missing: list[Mapping[str, Any]] = []
        begin_ms = request.begin_ns // _MS
        if self._history is None:
            missing.append(_missing(request.begin_ns, request.end_ns, "this gateway keeps no values of the past"))
        elif tags.size:
            held = await self._history.query(no_tags(), request.begin_ns, request.end_ns, request.kind, 1)
            missing += [_missing(*one) for one in held.missing[:_LONGEST_LIST]]
            begin_ns = max([until for _, until, why in held.missing if why == NOT_KEPT], default=request.begin_ns)
            end_ns = min(request.end_ns, self._now_ns() + _AHEAD_NS)
            try:
                async for found in pieces(self._history, table, tags, begin_ns, end_ns, request.kind):
                    if why := self._end_of(table, counts):
                        missing.append(_missing(begin_ns, end_ns, why))
                        break
                    for rows in row_documents(found, table, max(_LEAST_BYTES, most_bytes - _HEAD_BYTES)):
                        counts.parts += 1
                        counts.rows += rows["rows"]
                        head = self._head(begin_ms, counts.parts, correlation)
                        yield write(head | {"kind": request.kind} | rows)
            except OSError as error:
                missing.append(_missing(begin_ns, end_ns, f"the disk refuses: {os_reason(error)}"))
        head = self._head(begin_ms, counts.parts + 1, correlation)
        yield write(head | {"kind": request.kind, "last": True} | _end(counts.rows, int(tags.size), unknown, missing))

    def _end_of(self, table: TagTable, counts: _Counts) -> str:
        """Return why an answer ends before its span does, empty to go on."""
        if self._table() is not table:
            return "the configuration was changed during the answer: ask again"
        return (
            f"only {counts.rows} rows are answered at once: ask for fewer tags or less time"
            if counts.rows >= MOST_ROWS
            else ""
        )

    def _head(self, begin_ms: int, number: int, correlation: str) -> dict[str, Any]:
        head = {"boot": self._boot, "ts": begin_ms, "hist": True, "number": number}
        return head | ({"correlation": correlation} if correlation else {})


def _missing(begin_ns: int, end_ns: int, reason: str) -> dict[str, Any]:
    return {"from": begin_ns // _MS, "to": end_ns // _MS, "reason": reason}


def _end(rows: int, tags: int, unknown: Sequence[str], missing: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "all_rows": rows,
        "all_tags": tags,
        "unknown": [one[:100] for one in unknown[:_LONGEST_LIST]],
        "missing": list(missing),
        "complete": not missing and not unknown,
    }
