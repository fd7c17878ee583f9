r"""Messages of the contract as lines of line protocol. Pure.

A point is known by measurement, tags and time: what is written twice replaces itself, so sending again is harmless. What is
not the same point must not have the same time, therefore events, and supplements of windows, have the last six digits of
their number as nanoseconds.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson

from gateway.core.messages import Message
from gateway.sinks.access.streams import Place, place_of

_MS_NS: Final = 1_000_000
_STATISTICS: Final = ("min", "max", "mean", "std", "first", "last")
_COUNTS: Final = ("n", "good", "used", "last_ts")
_LARGEST: Final = 2**63 - 1
_NAME: Final = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ ", "\n": "_", "\r": "_", "\t": "_"})
_TEXT: Final = str.maketrans({'"': r"\"", "\\": r"\\", "\n": r"\\n", "\r": r"\\r"})

Line = tuple[str, str]
"""The tag that it is about, empty for none; and the line without its end."""


def lines_of(message: Message, document: bytes, gateway: str, prefix: str, *, hist: bool) -> list[Line]:
    """Return the lines of a message, one for each tag. document: its content. Raises ValueError for no object."""
    body = orjson.loads(document)
    if not isinstance(body, dict):
        raise ValueError("is no object")
    place = place_of(message.topic, gateway)
    write = _WRITERS.get(place.stream, _other)
    return list(write(body, _Head(prefix, gateway, place, message, hist)))


class _Head:
    """What all lines of a message have in common."""

    def __init__(self, prefix: str, gateway: str, place: Place, message: Message, hist: bool) -> None:
        self.start = f"{prefix}{name(place.stream)},gateway={name(gateway)}"
        if place.device:
            self.start += f",device={name(place.device)}"
        self.end = f"boot={text(message.boot)},seq={message.seq}i,hist={'true' if hist else 'false'}"
        self.time_ns = message.start_ms * _MS_NS
        self.own_ns = message.seq % _MS_NS

    def line(self, tags: str, fields: list[str], time_ns: int) -> str:
        """Return a line. tags: further ones, each with its comma before."""
        return f"{self.start}{tags} {','.join([*fields, self.end])} {time_ns}"


def _windows(body: dict[str, Any], head: _Head) -> Iterator[Line]:
    """Yield a line per tag with a field for each statistic that has a value; a supplement is a point of its own."""
    is_late = bool(body.get("late"))
    is_whole = bool(body.get("replaces"))
    time_ns = head.time_ns + (head.own_ns if is_late and not is_whole else 0)
    general = [f"dur={int(body['dur'])}i"] if "dur" in body else []
    if is_late:
        general.append("late=true")
    for tag, row in (body.get("tags") or {}).items():
        fields = [f"{key}={row[key]}i" for key in _COUNTS if type(row.get(key)) is int]
        fields += [f"{key}={float(row[key])!r}" for key in _STATISTICS if isinstance(row.get(key), int | float)]
        fields += [f"{key}={text(row[key])}" for key in ("q", "reason") if isinstance(row.get(key), str)]
        if is_whole and "reason" not in row:
            fields.append('reason=""')  # the point that is replaced may have had one
        yield tag, head.line(f",tag={name(tag)}", fields + general, time_ns)


def _values(body: dict[str, Any], head: _Head) -> Iterator[Line]:
    """Yield a line per tag with a field by the type of the value, since a field keeps the type that it had first."""
    late = ["late=true"] if body.get("late") else []
    for tag, row in (body.get("tags") or {}).items():
        fields = [_typed(row.get("value")), *late]
        fields += [f"{key}={text(row[key])}" for key in ("q", "reason") if isinstance(row.get(key), str)]
        yield tag, head.line(f",tag={name(tag)}", fields, int(row["ts"]) * _MS_NS if "ts" in row else head.time_ns)


def _event(body: dict[str, Any], head: _Head) -> Iterator[Line]:
    tags = "".join(f",{key}={name(body[key])}" for key in ("kind", "tag") if isinstance(body.get(key), str) and body[key])
    fields = [f"severity={int(body['severity'])}i"] if isinstance(body.get("severity"), int | float) else []
    fields += [f"state={text(body['state'])}"] if isinstance(body.get("state"), str) else []
    fields.append(f"body={text(orjson.dumps(body).decode())}")
    yield "", head.line(tags, fields, head.time_ns + head.own_ns)


def _stats(body: dict[str, Any], head: _Head) -> Iterator[Line]:
    stats = body.get("stats")
    fields = []
    for key, value in stats.items() if isinstance(stats, dict) else ():
        if isinstance(value, int | float) and not isinstance(value, bool):
            fields.append(f"{name(key)}={float(value)!r}")
        elif isinstance(value, str):
            fields.append(f"{name(key)}_text={text(value)}")
    yield "", head.line("", fields, head.time_ns)


def _other(body: dict[str, Any], head: _Head) -> Iterator[Line]:
    yield "", head.line("", [f"body={text(orjson.dumps(body).decode())}"], head.time_ns + head.own_ns)


_WRITERS: Final[dict[str, Callable[[dict[str, Any], _Head], Iterator[Line]]]] = {
    "window": _windows,
    "summary": _windows,
    "value": _values,
    "event": _event,
    "stats": _stats,
}


def _typed(value: Any) -> str:
    if isinstance(value, bool):
        return f"value_bool={'true' if value else 'false'}"
    if isinstance(value, int) and -_LARGEST <= value <= _LARGEST:
        return f"value_int={value}i"
    if isinstance(value, float):
        return f"value={value!r}"
    if isinstance(value, str):
        return f"value_text={text(value)}"
    return f"value_text={text(orjson.dumps(value).decode())}"


def name(value: str) -> str:
    """Return a name or the value of a tag, escaped; a backslash at its end, which none can have, becomes a slash."""
    bare = value.rstrip("\\")
    return (bare + "/" * (len(value) - len(bare))).translate(_NAME) or "_"


def text(value: str) -> str:
    r"""Return a string of a field, quoted; ends of lines become \n and \r in letters, since not all servers take them."""
    return f'"{value.translate(_TEXT)}"'
