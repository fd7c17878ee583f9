"""The streams that a sink may choose from, by the last level of a message's topic."""

from typing import Final, Literal

StreamName = Literal["events", "windows", "summaries", "values", "stats", "raw"]

_BY_KIND: Final[dict[str, StreamName]] = {
    "event": "events",
    "window": "windows",
    "summary": "summaries",
    "value": "values",
    "stats": "stats",
    "raw": "raw",
}


def stream_of(topic: str) -> str:
    """Return the stream of a message by its topic in the contract; the last level itself where that is none of them."""
    kind = topic.rpartition("/")[2]
    return _BY_KIND.get(kind, kind)
