"""Payloads back to messages of the contract, on the subscriber's side. Pure; trusts nothing."""

from collections.abc import Mapping
from typing import Any, Final, get_args

from gateway.core.decoded_message import DecodedMessage, Foreign, Malformed, MessageKind
from gateway.encoding.columns import Lookup, are_columns, rows_of
from gateway.encoding.formats import read_document
from gateway.encoding.topics import CONTRACT_VERSION

_KINDS: Final = tuple(kind for kind in get_args(MessageKind) if kind not in ("birth", "death"))
_DEVICE_LEVELS, _GATEWAY_LEVELS = 2, 1
_HEAD: Final = ("boot", "seq", "ts", "dur", "hist", "late", "replaces", "windows", "first_seq", "part")
_NO_ROW: Final = (*_HEAD, "stream", "tag")
"""Keys of a payload about one tag that are not its tag's."""


def parse(topic: str, payload: bytes, root: str = "", known: Lookup | None = None) -> DecodedMessage:
    """Return the message in a payload of the contract, whatever its format, with one topic per device or per tag.

    root: the first levels of the contract's topics, when known. known: names of tags by set, from messages of kind `tags`;
    tags of other sets are called #0 and so on. Raises Malformed.
    """
    try:
        body = read_document(payload)
    except ValueError as error:
        _place(topic, root)  # what is foreign need not be a document
        raise Malformed(str(error)) from None
    if isinstance(body, dict) and isinstance(body.get("stream"), str):
        topic, root, body = body["stream"], "", _of_tag(body)
    gateway, device, kind = _place(topic, root)
    if not isinstance(body, dict):
        raise Malformed(f"a JSON {type(body).__name__}, not an object")
    if kind in ("window", "summary"):
        body = _with_rows(body, known or {})
    for key, wanted in _required(kind).items():
        _check(body, key, wanted)
    if kind in ("window", "summary", "value") and not all(isinstance(tag, dict) for tag in body["tags"].values()):
        raise Malformed("a tag is not an object")
    return DecodedMessage(topic, gateway, device, kind, body, str(body.get("boot")))


def _with_rows(body: dict[str, Any], known: Lookup) -> dict[str, Any]:
    if are_columns(body) and "names" not in body and str(body.get("set")) not in known:
        columns = [value for value in body.values() if isinstance(value, list)]
        rows = body.get("rows", range(max(map(len, columns), default=1)))
        body = body | {"names": [f"#{row}" for row in rows] if isinstance(rows, list | range) else []}
    try:
        return rows_of(body, known)
    except ValueError as error:
        raise Malformed(str(error)) from None


def _of_tag(body: dict[str, Any]) -> dict[str, Any]:
    """Return a payload about one tag in the shape of a message about a device."""
    if "kind" in body or not isinstance(body.get("tag"), str):
        return body
    row = {key: value for key, value in body.items() if key not in _NO_ROW}
    if "n" in row:
        row["last"] = row.pop("value", None)
    elif "ts" in body:
        row["ts"] = body["ts"]
    return {key: value for key, value in body.items() if key in _HEAD} | {"tags": {body["tag"]: row}}


def _place(topic: str, root: str) -> tuple[str, str, MessageKind]:
    """Return gateway, device and kind of a topic `{root}/v1/{gateway}/[{device}/]{kind}`."""
    known = f"{root}/{CONTRACT_VERSION}/"
    if root and topic.startswith(known):
        levels = topic.removeprefix(known).split("/")
    else:
        parts = topic.split("/")
        marks = [at for at in (len(parts) - 4, len(parts) - 3) if at > 0 and parts[at] == CONTRACT_VERSION]
        levels = parts[marks[0] + 1 :] if marks else []
    *names, last = levels or [""]
    kind = next((kind for kind in _KINDS if kind == last), None)
    if kind is None or len(names) not in (_GATEWAY_LEVELS, _DEVICE_LEVELS) or not all(names):
        raise Foreign("foreign topic")
    device = names[1] if len(names) == _DEVICE_LEVELS else ""
    if (kind == "status" and device) or (kind not in ("status", "event", "stats") and not device):
        raise Foreign("foreign topic")
    return names[0], device, kind


def _required(kind: MessageKind) -> dict[str, type]:
    if kind == "status":
        return {"state": str}
    numbered: dict[str, type] = {"boot": str, "seq": int, "ts": int}
    if kind == "tags":
        return {"set": str, "tags": list}
    if kind == "event":
        return numbered | {"kind": str}
    if kind == "value":
        return numbered | {"tags": dict}
    if kind == "stats":
        return numbered | {"stats": dict}
    return numbered | ({} if kind == "raw" else {"dur": int, "tags": dict})


def _check(body: Mapping[str, Any], key: str, wanted: type) -> None:
    if key not in body:
        raise Malformed(f"no key {key!r}")
    value = body[key]
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise Malformed(f"{key!r} is {type(value).__name__}, not {wanted.__name__}")
    if key == "seq" and body["seq"] < 1:
        raise Malformed(f"'seq' is {body['seq']}, below 1")
