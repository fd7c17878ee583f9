"""Merges windows of one topic into a longer one, from payloads alone: their boot and configuration may be earlier ones."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from gateway.core.messages import Message
from gateway.core.quality import CLASS_NAMES, GOOD_FROM, REASONS, USABLE_FROM, Quality
from gateway.encoding.columns import document_of
from gateway.encoding.encoder import ROWS_PER_MESSAGE
from gateway.encoding.window_json import STATISTICS, quality_fields

TagRow = dict[str, Any]
"""The row of one tag in a payload."""

_CODES: Final = {
    (CLASS_NAMES[code >> 6], "" if code >= GOOD_FROM else REASONS[code]): code
    for code in (*reversed(range(256)), Quality.GOOD)
}


def merge_windows(messages: Sequence[Message]) -> list[Message]:
    """Merge windows of one boot and topic into as few messages as `ROWS_PER_MESSAGE` allows.

    Returns an empty list when they are no windows, or would not become fewer.

    Counts add up, minimum and maximum are exact, mean and spread those of all samples together up to float64's rounding
    (Chan, Golub, LeVeque 1979), quality follows the rule of windows (`stages.statistics.Statistics.quality`). The result
    covers the time from the first start to the last end; `windows` is how many messages it stands for, `first_seq` the first
    of them and its `seq` that of the last. Of k results each takes one of the last k numbers: the first stands for all
    messages before, and each has some of the tags for all of the time.
    """
    numbered = sorted(messages, key=lambda m: m.seq)
    bodies = [body for m in numbered if (body := _window(m.payload)) is not None]
    if len(bodies) < len(messages) or not bodies or any("replaces" in body for body in bodies):
        return []  # of what replaces another, that one may have been sent
    tags = list(_merged_tags(bodies).items())
    parts = max(1, math.ceil(len(tags) / ROWS_PER_MESSAGE))
    if parts >= len(messages):
        return []
    start, end = min(m.start_ms for m in messages), max(m.end_ms for m in messages)
    head = {"boot": numbered[0].boot, "seq": 0, "ts": start, "dur": end - start, "hist": False}
    head |= {"late": True} if all(body.get("late") for body in bodies) else {}
    stood_for = [bodies[: len(bodies) - parts + 1], *([body] for body in bodies[len(bodies) - parts + 1 :])]
    results = []
    for part, (last, some) in enumerate(zip(numbered[-parts:], stood_for, strict=True)):
        windows = sum(int(body.get("windows", 1)) for body in some)
        own = {"seq": last.seq, "windows": windows, "first_seq": int(some[0].get("first_seq", some[0]["seq"]))}
        rows = dict(tags[part * ROWS_PER_MESSAGE : (part + 1) * ROWS_PER_MESSAGE])
        results.append(replace(last, start_ms=start, end_ms=end, payload=orjson.dumps(head | own | {"tags": rows})))
    return results


def _window(payload: bytes) -> dict[str, Any] | None:
    """Return the payload if it is a window of the contract."""
    try:
        body = document_of(payload)
    except ValueError:
        return None
    if not isinstance(body, dict) or not isinstance(tags := body.get("tags"), dict) or "dur" not in body:
        return None
    return body if all("n" in row and "good" in row for row in tags.values()) else None


def _merged_tags(bodies: Iterable[dict[str, Any]]) -> dict[str, TagRow]:
    rows: dict[str, list[tuple[int, TagRow]]] = {}
    for body in sorted(bodies, key=lambda b: (b["ts"], b.get("late", False), b["seq"])):
        for name, row in body["tags"].items():
            rows.setdefault(name, []).append((body["ts"], row))
    return {name: some[0][1] if len(some) == 1 else _merged(some) for name, some in rows.items()}


def _merged(rows: Sequence[tuple[int, TagRow]]) -> TagRow:
    """Merge one tag's rows, which stand in the order of time, each with the start of its window."""
    count = sum(row["n"] for _, row in rows)
    if not count:
        return rows[-1][1]  # nothing was read: the value in force at the end
    good = sum(row["good"] for _, row in rows)
    usable = [(ts, used, row) for ts, row in rows if row["n"] and (used := row.get("used", row["good"]))]
    used = sum(share for _, share, _ in usable)
    merged = {"n": count, "good": good} | (_numbers(usable, used) if usable else _no_numbers(rows))
    return merged | ({"used": used} if used != good else {}) | quality_fields(_quality(rows, count, good, used))


def _no_numbers(rows: Sequence[tuple[int, TagRow]]) -> TagRow:
    return {name: None for name in STATISTICS if all(name in row for _, row in rows)}


def _numbers(usable: Sequence[tuple[int, int, TagRow]], used: int) -> TagRow:
    """Return what all of them say; of statistics that one leaves out nothing is known."""
    known = [name for name in STATISTICS if all(name in row for _, _, row in usable)]
    # of two with one start the earlier in order counts: a supplement's samples have no known place in their window
    merged: TagRow = {"last": max(usable, key=lambda part: part[0])[2].get("last")}
    if "min" in known:
        merged["min"] = min(_number(row["min"]) for _, _, row in usable)
    if "max" in known:
        merged["max"] = max(_number(row["max"]) for _, _, row in usable)
    if "first" in known:
        merged["first"] = usable[0][2]["first"]
    if "mean" in known:
        mean, spread = _moments(usable, used, with_spread="std" in known)
        merged |= {"mean": min(max(mean, merged.get("min", mean)), merged.get("max", mean)), "std": spread}
    return {name: merged[name] for name in known}


def _moments(usable: Sequence[tuple[int, int, TagRow]], used: int, *, with_spread: bool) -> tuple[float, float]:
    """Return the mean of all samples, and their spread where that is wanted."""
    means = [_number(row["mean"]) for _, _, row in usable]
    shares = [share / used for _, share, _ in usable]
    base = means[0]
    mean = base + sum((m - base) * share for m, share in zip(means, shares, strict=True))
    if not math.isfinite(mean):  # a difference beyond float64
        mean = sum(m * share for m, share in zip(means, shares, strict=True))
    if not with_spread:
        return mean, 0.0
    spread = sum(
        share * (_square(_number(row["std"])) + _square(m - mean))
        for share, m, (_, _, row) in zip(shares, means, usable, strict=True)
    )
    return mean, math.sqrt(spread)


def _number(value: float | None) -> float:
    """Return the number; null stands for what JSON cannot carry, a spread beyond float64."""
    return math.inf if value is None else value


def _square(value: float) -> float:
    return value * value  # `**` would raise beyond float64


def _quality(rows: Sequence[tuple[int, TagRow]], count: int, good: int, used: int) -> int:
    codes = [(row, _code(row)) for _, row in rows]
    unknown = any(
        code < USABLE_FROM if not row["n"] else code < GOOD_FROM and row["good"] == row["n"] for row, code in codes
    )
    flaw = min((code for row, code in codes if row["n"]), default=int(Quality.GOOD))
    if not used:
        return flaw
    if good == count and not unknown:
        return Quality.GOOD
    return Quality.UNCERTAIN_PARTIAL if unknown or count > used else flaw


def _code(row: TagRow) -> int:
    quality = row["q"], row.get("reason", "")
    return _CODES.get(quality, _CODES.get((row["q"], "unspecified"), int(Quality.BAD)))
