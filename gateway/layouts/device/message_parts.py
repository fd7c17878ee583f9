"""One message in several packets, where the broker takes only small ones."""

from collections.abc import Iterator
from typing import Any, Final

import orjson

from gateway.encoding.columns import columns_of, document_of
from gateway.encoding.formats import Format

_MOST_PARTS: Final = 99_999
"""For judging sizes: the longest `part` that may come to stand in a payload."""


def split(document: bytes, form: Format, most_bytes: int) -> list[bytes]:
    """Return the document as payloads of at most `most_bytes`, each with some of its tags and `part: [k, n]`.

    One payload without `part` where it fits or has no tags; a single tag that is still too large stays as it is.
    """
    whole = form.write(document)
    if len(whole) <= most_bytes:
        return [whole]
    body = document_of(document)
    tags = body.get("tags")
    if not isinstance(tags, dict) or len(tags) < 2:
        return [whole]
    pieces = list(_halved(body, list(tags.items()), form, most_bytes))
    if len(pieces) == 1:  # it was only written wastefully
        return [form.write(orjson.dumps((columns_of(body) if form.columns else None) or body))]
    return [_piece(body, tags, (k, len(pieces)), form) for k, tags in enumerate(pieces, 1)]


def _halved(
    body: dict[str, Any], tags: list[tuple[str, Any]], form: Format, most_bytes: int
) -> Iterator[list[tuple[str, Any]]]:
    if len(tags) == 1 or len(_piece(body, tags, (_MOST_PARTS, _MOST_PARTS), form)) <= most_bytes:
        yield tags
    else:
        middle = len(tags) // 2
        yield from _halved(body, tags[:middle], form, most_bytes)
        yield from _halved(body, tags[middle:], form, most_bytes)


def _piece(body: dict[str, Any], tags: list[tuple[str, Any]], part: tuple[int, int], form: Format) -> bytes:
    piece = {key: value for key, value in body.items() if key != "tags"} | {"part": list(part), "tags": dict(tags)}
    return form.write(orjson.dumps((columns_of(piece) if form.columns else None) or piece))
