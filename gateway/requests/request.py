"""A question for the past: which tags, from when to when. Pure; trusts nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import orjson

from gateway.core.errors import PeerError
from gateway.core.time_text import TIME_EXAMPLE, parse_time_ns
from gateway.live.history.files import KINDS, Kind

MOST_BYTES: Final = 64 * 1024
MOST_PATTERNS: Final = 100
_LONGEST_PATTERN: Final = 300
_LONGEST_CORRELATION: Final = 256
_LONGEST_SPAN_NS: Final = 400 * 86_400 * 1_000_000_000
_OF_SINK: Final = ("response_topic", "expiry_s")
"""Keys that the sink reads: where the answer goes, and until when it is wanted."""
_KEYS: Final = ("tags", "from", "to", "kind", "correlation")
_TAGS_EXAMPLE: Final = 'names or patterns of device/tag, for instance ["press/oil", "oven/*"]'


class BadRequest(PeerError):
    """A question that cannot be answered. The text says what is wrong."""

    def __init__(self, text: str, expected: str = "") -> None:
        """Say what is wrong. expected: what would be right."""
        self.expected = expected
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class PastRequest:
    """What is asked for."""

    patterns: tuple[str, ...]
    """Names of tags as `device/tag`, or patterns with `*`, `?` and `[..]`."""
    begin_ns: int
    """The first time, ns UTC."""
    end_ns: int
    """The time before which the answer ends, ns UTC."""
    kind: Kind
    """Samples, or minutes, or ten minutes."""


def read_document(document: bytes) -> Mapping[str, Any]:
    """Return the keys of a question. Raises BadRequest."""
    if len(document) > MOST_BYTES:
        raise BadRequest(f"the question has {len(document)} bytes", f"at most {MOST_BYTES}")
    try:
        found = orjson.loads(document)
    except orjson.JSONDecodeError:
        raise BadRequest("the question is no JSON", '{"tags": ["press/*"], "from": "-10min"}') from None
    if not isinstance(found, dict):
        raise BadRequest("the question is no JSON object", '{"tags": ["press/*"], "from": "-10min"}')
    return found


def correlation_of(document: bytes) -> str:
    """Return the text by which whoever asks knows the answer, empty where there is none that can be used."""
    try:
        found = read_document(document).get("correlation", "")
    except BadRequest:
        return ""
    return found if isinstance(found, str) and len(found) <= _LONGEST_CORRELATION else ""


def read_request(fields: Mapping[str, Any], now_ns: int) -> PastRequest:
    """Return the question that the keys ask. now_ns: what relative times count from. Raises BadRequest."""
    if unknown := sorted(map(str, fields.keys() - {*_KEYS, *_OF_SINK})):
        raise BadRequest(f"unknown key {unknown[0][:_LONGEST_PATTERN]!r}", f"keys: {', '.join((*_KEYS, *_OF_SINK))}")
    correlation = fields.get("correlation", "")
    if not isinstance(correlation, str) or len(correlation) > _LONGEST_CORRELATION:
        raise BadRequest("correlation cannot be used", f"a text of at most {_LONGEST_CORRELATION} characters")
    begin, end = _time(fields, "from", "", now_ns), _time(fields, "to", "now", now_ns)
    if begin >= end:
        raise BadRequest("the span is empty", "from before to")
    if end - begin > _LONGEST_SPAN_NS:
        raise BadRequest("the span is longer than 400 days", "a shorter one")
    kind = fields.get("kind", "samples")
    if kind not in KINDS:
        raise BadRequest(f"kind {str(kind)[:_LONGEST_PATTERN]!r} is not known", " or ".join(KINDS))
    return PastRequest(_patterns(fields.get("tags")), begin, end, cast(Kind, kind))


def _time(fields: Mapping[str, Any], key: str, default: str, now_ns: int) -> int:
    value = fields.get(key, default)
    if value == "":
        raise BadRequest(f"{key} is missing", TIME_EXAMPLE)
    try:
        return parse_time_ns(value, now_ns)
    except ValueError:
        raise BadRequest(f"{key}: {str(value)[:_LONGEST_PATTERN]!r} is not understood", TIME_EXAMPLE) from None


def _patterns(value: Any) -> tuple[str, ...]:
    patterns = [value] if isinstance(value, str) else value
    if not isinstance(patterns, list | tuple) or not patterns:
        raise BadRequest("tags is missing" if value is None else "tags cannot be used", _TAGS_EXAMPLE)
    if len(patterns) > MOST_PATTERNS:
        raise BadRequest(f"tags has {len(patterns)} entries", f"at most {MOST_PATTERNS}")
    for one in patterns:
        if not isinstance(one, str) or not 0 < len(one) <= _LONGEST_PATTERN:
            raise BadRequest(f"tags: {str(one)[:_LONGEST_PATTERN]!r} cannot be used", _TAGS_EXAMPLE)
    return tuple(dict.fromkeys(patterns))
