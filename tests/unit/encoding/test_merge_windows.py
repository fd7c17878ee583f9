"""Windows merged from their payloads say what the samples themselves would have said."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.messages import Lane, Message
from gateway.core.quality import Quality
from gateway.encoding.encoder import Encoder, mark_hist
from gateway.encoding.merge_windows import merge_windows
from gateway.encoding.topics import Topics
from gateway.stages.statistics import LastValue, Statistics, of_samples
from tests.support.blocks import QUALITIES, SECOND, T0, Sample, block_of, table
from tests.support.schemas import check

NAMES = 3
TABLE = table(NAMES)

numbers = st.one_of(
    st.floats(-1e6, 1e6),
    st.floats(1e9, 1e9 + 1),
    st.sampled_from([0.0, -0.0, 1e300, -1e300, 1.7e308, -1.7e308, 5e-324]),
)
samples_of_a_second = st.lists(st.tuples(st.integers(0, NAMES - 1), numbers, QUALITIES), max_size=8)
seconds = st.lists(samples_of_a_second, min_size=2, max_size=6)


def encoder() -> Encoder:
    return Encoder(Topics.of("plant", "gw", TABLE.devices), TABLE, "019a3c5d2f10a1b")


def statistics(samples: Sequence[Sample]) -> Statistics:
    span = Statistics(NAMES)
    span.merge(of_samples(block_of(samples), NAMES))
    return span


def windows_of(script: list[list[tuple[int, float, int]]]) -> tuple[list[Message], list[Sample]]:
    """One window per second as the pipeline would publish it, and all samples."""
    made, messages, everything = encoder(), [], []
    for second, rows in enumerate(script):
        start = T0 + second * SECOND
        samples = [Sample(tag, start + at, value, quality) for at, (tag, value, quality) in enumerate(rows)]
        everything += samples
        block = statistics(samples).window(start, SECOND, False, LastValue.unknown(NAMES))
        messages += made.windows(block.take(block.count > 0))
    return messages, everything


def tags_of(message: Message) -> dict[str, dict[str, object]]:
    return json.loads(message.payload)["tags"]


def assert_says(found: dict[str, dict[str, object]], expected: dict[str, dict[str, object]]) -> None:
    """The same but for the rounding of mean and spread."""
    assert found.keys() == expected.keys()
    for name, row in expected.items():
        scale = max(abs(row["min"] or 0), abs(row["max"] or 0))
        for key in row.keys() - {"mean", "std"}:
            assert found[name][key] == row[key], (name, key)
        if row["mean"] is None:
            assert found[name]["mean"] is None
            continue
        assert found[name]["mean"] == pytest.approx(row["mean"], rel=1e-12, abs=scale * 1e-14 + 1e-300)
        if row["std"] is None:
            assert found[name]["std"] is None
        else:
            # squares of spreads below 1.5e-154 are subnormal in float64 and have few digits, on both sides
            assert found[name]["std"] == pytest.approx(row["std"], rel=1e-7, abs=scale * 1e-13 + 1.5e-154)


@given(seconds)
def test_merged_windows_say_what_all_their_samples_say(script: list[list[tuple[int, float, int]]]) -> None:
    messages, samples = windows_of(script)
    if len(messages) < 2:
        return
    (merged,) = merge_windows(messages)
    whole = statistics(samples).window(T0, SECOND, False, LastValue.unknown(NAMES))
    (expected,) = encoder().windows(whole.take(whole.count > 0))
    assert_says(tags_of(merged), tags_of(expected))


@given(seconds, st.integers(1, 5))
def test_merging_what_was_merged_says_the_same(script: list[list[tuple[int, float, int]]], cut: int) -> None:
    messages, _ = windows_of(script)
    if len(messages) < 2:
        return
    parts = [some for some in (messages[:cut], messages[cut:]) if some]
    twice = merge_windows([merge_windows(some)[0] if len(some) > 1 else some[0] for some in parts])
    (once,) = merge_windows(messages)
    (last,) = twice or [once]
    assert_says(tags_of(last), tags_of(once))
    heads = [{k: v for k, v in json.loads(m.payload).items() if k != "tags"} for m in (last, once)]
    assert heads[0] == heads[1]


@given(seconds)
def test_merged_windows_keep_the_published_schema(script: list[list[tuple[int, float, int]]]) -> None:
    messages, _ = windows_of(script)
    for merged in merge_windows(messages):
        check(merged.topic, json.loads(merged.payload))


def window(seq: int, tags: dict[str, object], ts: int | None = None, **head: object) -> Message:
    ts = 60_000 + seq * 1000 if ts is None else ts
    body = {"boot": "b", "seq": seq, "ts": ts, "dur": 1000, "hist": False, **head, "tags": tags}
    return Message("t", "b", seq, Lane.WINDOW, ts, ts + 1000, json.dumps(body, separators=(",", ":")).encode())


def row(value: float, n: int = 10, **changes: object) -> dict[str, object]:
    same = dict.fromkeys(("min", "max", "mean", "first", "last"), value)
    return {"n": n, "good": n, **same, "std": 0.0, "q": "good", **changes}


def gone(n: int = 0, reason: str = "not_connected") -> dict[str, object]:
    nothing = dict.fromkeys(("min", "max", "mean", "std", "first", "last"))
    return {"n": n, "good": 0, **nothing, "q": "bad", "reason": reason}


def merged_row(*rows: dict[str, object]) -> dict[str, object]:
    (merged,) = merge_windows([window(seq, {"x": row}) for seq, row in enumerate(rows, 1)])
    return tags_of(merged)["x"]


def test_the_result_says_what_it_stands_for_and_takes_the_last_number() -> None:
    (merged,) = merge_windows([window(5, {"x": row(1)}), window(3, {"x": row(2)}), window(4, {"y": row(3)})])
    body = json.loads(merged.payload)
    assert (merged.seq, merged.start_ms, merged.end_ms) == (5, 63_000, 66_000)
    assert {k: body[k] for k in ("boot", "seq", "ts", "dur", "windows", "first_seq")} == {
        "boot": "b", "seq": 5, "ts": 63_000, "dur": 3000, "windows": 3, "first_seq": 3,
    }  # fmt: skip
    assert (body["tags"]["x"]["first"], body["tags"]["x"]["last"]) == (2, 1)
    assert json.loads(mark_hist(merged.payload))["hist"] is True


def test_a_tag_that_was_away_for_a_while_is_uncertain_and_partial() -> None:
    merged = merged_row(row(1), gone(), row(3))
    assert (merged["n"], merged["good"], merged["q"], merged["reason"]) == (20, 20, "uncertain", "partial")
    assert merged_row(row(1), row(2, q="uncertain", reason="partial"))["reason"] == "partial"


def test_without_any_read_the_newest_value_in_force_counts() -> None:
    held = {**gone(), "q": "good", "last": 7.5, "last_ts": 1000}
    held.pop("reason")
    assert merged_row(gone(), held) == held
    assert merged_row(held, gone(reason="timeout")) == gone(reason="timeout")
    assert merged_row(held, row(2))["q"] == "good"


def test_only_bad_samples_are_bad_with_the_worst_reason() -> None:
    merged = merged_row(gone(4, "timeout"), gone(5, "sensor_failure"))
    assert (merged["n"], merged["good"]) == (9, 0)
    assert (merged["q"], merged["reason"], merged["mean"]) == ("bad", "sensor_failure", None)


def test_uncertain_samples_count_in_the_mean_and_say_so() -> None:
    merged = merged_row(row(1.0), row(4.0, n=20, good=5, used=20, q="uncertain", reason="sensor"))
    assert (merged["n"], merged["good"], merged["used"], merged["mean"]) == (30, 15, 30, 3.0)
    assert (merged["q"], merged["reason"]) == ("uncertain", "sensor")


def test_supplements_alone_stay_a_supplement_and_merge_into_a_window_otherwise() -> None:
    late = [window(seq, {"x": row(seq)}, ts=60_000, late=True) for seq in (7, 8)]
    assert json.loads(merge_windows(late)[0].payload)["late"] is True
    (whole,) = merge_windows([*late, window(1, {"x": row(1)}, ts=60_000)])
    assert "late" not in json.loads(whole.payload)
    assert (tags_of(whole)["x"]["n"], tags_of(whole)["x"]["last"]) == (30, 1)


def test_a_reason_of_another_version_is_kept_as_far_as_it_is_known() -> None:
    assert merged_row(gone(3, "something_new"), gone(3, "something_new"))["reason"] == "unspecified"


def test_very_many_tags_make_several_messages_that_share_the_numbers() -> None:
    windows = [window(seq, {f"t{i}": row(seq) for i in range(seq % 2, 2000, 2)}) for seq in range(1, 11)]
    merged = merge_windows(windows)
    assert [m.seq for m in merged] == [8, 9, 10]
    bodies = [json.loads(m.payload) for m in merged]
    assert [(b["first_seq"], b["windows"], len(b["tags"])) for b in bodies] == [(1, 8, 800), (9, 1, 800), (10, 1, 400)]
    assert {name for b in bodies for name in b["tags"]} == {f"t{i}" for i in range(2000)}
    assert merge_windows(merged) == [], "no fewer messages than there are"


@pytest.mark.parametrize("payload", [b'{"stats":{}}', b"[]", b"\x00binary", b'{"tags":{"x":{"value":1}},"dur":1}'])
def test_what_is_no_window_is_left_alone(payload: bytes) -> None:
    other = Message("t", "b", 9, Lane.WINDOW, 0, 0, payload)
    assert merge_windows([window(1, {"x": row(1)}), other]) == []


def test_what_replaces_another_window_is_left_alone() -> None:
    """That one may have been sent, and its samples would count twice."""
    first, second = window(1, {"x": row(1)}), window(2, {"x": row(2)})
    again = replace(second, payload=second.payload.replace(b'"hist":false,', b'"hist":false,"late":true,"replaces":true,'))
    assert b"replaces" in again.payload
    assert len(merge_windows([first, second])) == 1
    assert merge_windows([first, again]) == []


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.integers(1, 50)), min_size=2, max_size=70))
def test_a_large_offset_costs_no_digits_of_the_spread(parts: list[tuple[float, int]]) -> None:
    offset = 1e12
    rows = [row(offset + value, n=n) for value, n in parts]
    merged = merged_row(*rows)
    values = np.repeat([r["mean"] for r in rows], [n for _, n in parts])
    assert math.isclose(merged["std"], values.std(), rel_tol=1e-6, abs_tol=1e-3)


def test_quality_names_lead_back_to_their_codes() -> None:
    """Every reason that the gateway publishes survives a merge."""
    for quality in Quality:
        if quality < Quality.UNCERTAIN:
            reason = gone(2, "unspecified" if quality == 0 else quality.name[4:].lower())
            assert merged_row(reason, reason)["reason"] == reason["reason"]
