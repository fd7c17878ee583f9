"""Blocks and events as messages: the MQTT contract, field by field."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.blocks import ObjectBlock, WindowBlock
from gateway.core.events.device import DeviceStateChanged
from gateway.core.events.gateway import ClockJump
from gateway.core.messages import DeviceState, Lane, Loss, Message
from gateway.core.quality import Quality
from gateway.core.tags import Tag, TagTable
from gateway.encoding.encoder import Encoder, StatusText, mark_hist
from gateway.encoding.topics import Topics
from tests.support.blocks import GOOD, SECOND, T0, table
from tests.support.events import limit_alarm
from tests.support.schemas import check, fault_of

NAMES = (
    'plain "quoted"',
    "Wärmetauscher Öl °C",
    "comma, semicolon; {brace}",
    "back\\slash",
    '"hist":false',
    "日本",
    "a:b,[c]",
)
NUMBERS = ("min", "max", "mean", "std", "first", "last")
MS = T0 // 1_000_000
BOOT = "019a3c5d2f10a1b"
OLD = "019a3c5d2f00fff"


def block_of(tags: list[int], late: bool = False, length: int = SECOND, start: int = T0, **columns: object) -> WindowBlock:
    """A window with these columns; numbers default to 1.5, counts to 10, quality to good."""
    size = len(tags)

    def column(name: str, default: object, kind: type) -> np.ndarray:
        return np.array(np.broadcast_to(np.array(columns.get(name, default), kind), size))

    return WindowBlock(
        start, length, late, np.array(tags, np.uint32),
        *(column(name, 10, np.int64) for name in ("count", "good", "used")),
        *(column(name, 1.5, np.float64) for name in NUMBERS),
        column("last_time", start, np.int64), column("quality", GOOD, np.uint8),
    )  # fmt: skip


def encoder_for(tags: TagTable) -> Encoder:
    return Encoder(Topics.of("plant", "press-1", tags.devices), tags, BOOT)


def payload_of(message: Message) -> dict[str, object]:
    """The document; all but events, whose details the tests here make up, must keep the published schema."""
    body = json.loads(message.payload)
    if "kind" not in body or body["kind"] == "loss":
        check(message.topic, body)
    return body


def row_of(tags: TagTable, **columns: object) -> dict[str, object]:
    """The published row of tag 0; the columns may be such as no stage makes, so it need not keep the schema."""
    (message,) = encoder_for(tags).windows(block_of([0], **columns))
    (row,) = json.loads(message.payload)["tags"].values()
    return row


def test_a_window_is_the_contract_field_by_field() -> None:
    """Topic, lane, boot, seq, start and length in ms, hist, and per tag the statistics."""
    block = block_of([0], count=10, good=9, used=9, min=1, max=4, mean=2.5, std=0.5, first=1.25, last=3, quality=0x60)
    (message,) = encoder_for(table(1)).windows(block)
    assert payload_of(message) == {
        "boot": BOOT, "seq": 1, "ts": MS, "dur": 1000, "hist": False,
        "tags": {"tag0": {
            "n": 10, "good": 9, "min": 1.0, "max": 4.0, "mean": 2.5, "std": 0.5, "first": 1.25, "last": 3.0,
            "q": "uncertain", "reason": "partial",
        }},
    }  # fmt: skip
    assert (message.topic, message.lane) == ("plant/v1/press-1/device0/window", Lane.WINDOW)
    assert (message.boot, message.seq, message.start_ms, message.end_ms) == (BOOT, 1, MS, MS + 1000)


def test_a_summary_has_the_same_shape_over_a_minute() -> None:
    """Own topic, own lane, own sequence."""
    encoder = encoder_for(table(1))
    encoder.windows(block_of([0]))
    (message,) = encoder.summaries(block_of([0], length=60 * SECOND))
    assert (message.topic, message.lane, message.seq) == ("plant/v1/press-1/device0/summary", Lane.SUMMARY, 1)
    assert (payload_of(message)["dur"], message.end_ms - message.start_ms) == (60_000, 60_000)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=6, max_size=6))
def test_float64_reads_back_exactly_and_what_is_no_number_is_null(values: list[float]) -> None:
    """Every digit that tells two numbers apart, and nothing that JSON does not know."""
    row = row_of(table(1), **dict(zip(NUMBERS, values, strict=True)))
    assert [row[name] for name in NUMBERS] == [v if math.isfinite(v) else None for v in values]


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=6, max_size=6))
def test_float32_has_the_fewest_digits_that_read_back_to_the_same_float32(values: list[float]) -> None:
    """0.1 and not 0.10000000149011612; never longer than numpy's shortest form."""
    tags = table(1, single=True)
    (message,) = encoder_for(tags).windows(block_of([0], **dict(zip(NUMBERS, values, strict=True))))
    row = json.loads(message.payload)["tags"]["tag0"]
    texts = json.loads(message.payload, parse_float=str)["tags"]["tag0"]
    for name, value in zip(NUMBERS, values, strict=True):
        assert np.float32(row[name]) == np.float32(value)
        digits = len(str(texts[name]).lower().split("e")[0].replace(".", "").replace("-", "").strip("0"))
        shortest = np.format_float_scientific(np.float32(value), unique=True, trim="-").split("e")[0]
        assert digits == len(shortest.replace(".", "").replace("-", "").strip("0"))


def test_float32_and_float64_tags_of_one_device_keep_their_own_digits() -> None:
    """The choice is made row by row."""
    tags = TagTable(("d",), tuple(Tag(i, 0, f"t{i}", single=i % 2 == 1) for i in range(4)))
    (message,) = encoder_for(tags).windows(block_of([0, 1, 3], mean=[1 / 3, 1 / 3, math.nan]))
    assert [row["mean"] for row in payload_of(message)["tags"].values()] == [1 / 3, 0.33333334, None]


def test_a_number_too_large_for_float32_keeps_its_value() -> None:
    """A scaled float32 may leave its range; what is infinite itself is null, for infinity is no JSON."""
    row = row_of(table(1, single=True), min=23.450000762939453, max=1e39, std=math.inf)
    assert (row["min"], row["max"], row["std"]) == (23.45, 1e39, None)


@pytest.mark.parametrize(("single", "told"), [(True, 23.45), (False, 23.450000762939453)])
def test_an_alarm_says_its_value_in_the_digits_of_the_window(single: bool, told: float) -> None:
    """The same float32 in the same digits; 1e39 is none and stays."""
    encoder = encoder_for(table(1, single=single))
    event = limit_alarm(value=23.450000762939453)
    assert payload_of(encoder.event(event))["value"] == told
    assert payload_of(encoder.event(limit_alarm(value=1e39)))["value"] == 1e39


@pytest.mark.parametrize("name", NAMES)
def test_names_of_any_kind_survive(name: str) -> None:
    """Quotes, umlauts, commas, backslashes, and a name that looks like the mark."""
    tags = TagTable(('Gerät, "A"',), (Tag(0, 0, name), Tag(1, 0, "other")))
    encoder = encoder_for(tags)
    (window,) = encoder.windows(block_of([0, 1]))
    event = encoder.event(limit_alarm())
    assert list(payload_of(window)["tags"]) == [name, "other"]
    assert payload_of(event)["tag"] == name
    assert window.topic == 'plant/v1/press-1/Gerät, "A"/window'
    for message in (window, event):
        assert json.loads(mark_hist(message.payload)) == payload_of(message) | {"hist": True}


def test_marking_backlog_changes_the_mark_and_nothing_else() -> None:
    """`hist` is the only difference between what was sent live and what is sent again."""
    (message,) = encoder_for(table(2)).windows(block_of([0, 1], late=True))
    assert mark_hist(message.payload) == message.payload.replace(b'"hist":false', b'"hist":true')
    assert payload_of(message) | {"hist": True} == json.loads(mark_hist(message.payload))


def test_a_structure_with_a_field_of_the_same_name_keeps_it() -> None:
    """The mark is the message's; what a device calls `hist` is the device's."""
    told = {"hist": False, "n": 1}
    block = ObjectBlock(np.zeros(1, np.uint32), np.array([T0]), [told], np.array([GOOD], np.uint8))
    (message,) = encoder_for(table(1)).objects(block)
    sent = json.loads(mark_hist(message.payload))
    assert sent["hist"] is True
    assert sent["tags"]["tag0"]["value"] == told


def test_a_supplement_says_so() -> None:
    """`late` stands only where it is true."""
    late, usual = (encoder_for(table(1)).windows(block_of([0], late=flag))[0] for flag in (True, False))
    assert payload_of(late)["late"] is True
    assert "late" not in payload_of(usual)


def test_a_large_device_is_split_and_every_message_counts() -> None:
    """More than 800 rows: several messages with one ts, each with its own seq, together every tag once."""
    encoder = encoder_for(table(2000))
    messages = encoder.windows(block_of(list(range(2000))))
    assert [len(payload_of(m)["tags"]) for m in messages] == [800, 800, 400]
    assert [payload_of(m)["seq"] for m in messages] == [m.seq for m in messages] == [1, 2, 3]
    assert [tag for m in messages for tag in payload_of(m)["tags"]] == [f"tag{i}" for i in range(2000)]
    assert max(len(m.payload) for m in messages) < 200_000


def test_seq_counts_from_one_for_each_topic() -> None:
    """Windows of two devices, summaries and events: no topic sees a gap because of another."""
    encoder = encoder_for(table(4, devices=2))
    made = []
    for tags in ([0, 1, 2, 3], [0], [2], [0, 3]):
        made += encoder.windows(block_of(tags))
        made += encoder.summaries(block_of(tags))
        made.append(encoder.event(ClockJump(time_ns=T0, by_ms=-5)))
    for topic in {m.topic for m in made}:
        assert [m.seq for m in made if m.topic == topic] == list(range(1, sum(m.topic == topic for m in made) + 1))


@pytest.mark.parametrize(("rows", "devices"), [([], []), ([5], [2]), ([0, 1], [0]), ([1, 4, 5], [0, 2]), ([2, 3], [1])])
def test_only_devices_with_rows_get_a_message(rows: list[int], devices: list[int]) -> None:
    """Three devices of two tags; a block may hold any of them."""
    messages = encoder_for(table(6, devices=3)).windows(block_of(rows))
    assert [m.topic for m in messages] == [f"plant/v1/press-1/device{d}/window" for d in devices]
    assert [tag for m in messages for tag in payload_of(m)["tags"]] == [f"tag{i}" for i in rows]


def test_devices_without_tags_do_not_shift_the_others() -> None:
    """A device with no tags (first, in the middle, last) never gets or steals rows."""
    tags = TagTable(("none", "a", "empty", "b", "last"), (Tag(0, 1, "x"), Tag(1, 3, "y")))
    assert [m.topic.split("/")[3] for m in encoder_for(tags).windows(block_of([0, 1]))] == ["a", "b"]


@pytest.mark.parametrize(
    ("columns", "fields"),
    [
        ({"count": 0, "good": 0, "used": 0, "last": 7, "last_time": T0 - 5 * SECOND - 1}, {"last_ts": MS - 5001}),
        ({"count": 0, "good": 0, "used": 0, "quality": 0x20}, {}),
        ({"count": 3, "good": 1, "used": 3, "quality": 0x50}, {"used": 3}),
        ({"count": 3, "good": 0, "used": 0, "quality": 0x30}, {}),
        ({"count": 3, "good": 2, "used": 2, "quality": 0x60}, {}),
        ({}, {}),
    ],
)
def test_rare_fields_stand_where_they_say_something(columns: dict[str, object], fields: dict[str, int]) -> None:
    """`last_ts`: when the value in force was read. `used`: what the statistics rest on, where it is not `good`."""
    row = row_of(table(1), **columns)
    assert {k: row[k] for k in ("last_ts", "used") if k in row} == fields


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0xC0, ("good", None)), (0xD8, ("good", None)), (0x40, ("uncertain", "unspecified")), (0x5C, ("uncertain", "clock")),
        (0x00, ("bad", "unspecified")), (0x08, ("bad", "not_connected")), (0x28, ("bad", "not_a_number")),
        (0x80, ("bad", "code_0x80")),
    ],
)  # fmt: skip
def test_quality_has_three_words_and_a_reason_unless_good(code: int, text: tuple[str, str | None]) -> None:
    """The byte never leaves the gateway."""
    row = row_of(table(1), quality=code)
    assert (row["q"], row.get("reason")) == text


def test_events_carry_their_fields_and_null_for_what_is_no_number() -> None:
    """Kind, tag or device, detail; a device's event on its own topic, the gateway's on `event`."""
    encoder = encoder_for(table(2, devices=2))
    alarm = encoder.event(limit_alarm(T0 + 1_999_999, 1, 1, value=math.inf, limit=5.0))
    assert payload_of(alarm) == {
        "boot": BOOT, "seq": 1, "ts": MS + 1, "hist": False, "kind": "alarm", "tag": "tag1", "state": "active",
        "condition": "hi", "severity": 500, "value": None, "limit": 5.0,
    }  # fmt: skip
    device = encoder.event(DeviceStateChanged(time_ns=T0, device=0, state="down", reason='kein "Kontakt"'))
    gateway = encoder.event(ClockJump(time_ns=T0, by_ms=-3))
    assert (payload_of(device)["device"], payload_of(device)["reason"]) == ("device0", 'kein "Kontakt"')
    assert [m.topic.removeprefix("plant/v1/press-1/") for m in (alarm, device, gateway)] == [
        "device1/event", "device0/event", "event",
    ]  # fmt: skip
    assert {m.lane for m in (alarm, device, gateway)} == {Lane.EVENT}
    assert "tag" not in payload_of(gateway)


@pytest.mark.parametrize(
    ("topic", "told_on"),
    [("device1/window", "device1/event"), ("device0/event", "device0/event"), ("event", "event"), ("gone/window", "event")],
)
def test_a_loss_is_told_where_its_messages_would_have_come(topic: str, told_on: str) -> None:
    """Which topic, boot, sequence numbers, time span and why; a device that is no longer configured: on `event`."""
    encoder = encoder_for(table(2, devices=2))
    base = "plant/v1/press-1/"
    loss = Loss(base + topic, OLD, 5, 9, 4, 1000, 2000, "max_age", "7d")
    message = encoder.event(encoder.loss_event(loss, T0))
    assert encoder.read_loss(message) == loss
    assert message.topic == base + told_on
    assert payload_of(message) == {
        "boot": BOOT, "seq": 1, "ts": MS, "hist": False, "kind": "loss", "topic": base + topic, "of_boot": OLD,
        "first_seq": 5, "last_seq": 9, "count": 4, "start": 1000, "end": 2000, "cause": "max_age", "detail": "7d",
        "severity": 700,
    }  # fmt: skip


def test_a_loss_of_merged_windows_says_how_many_they_stood_for() -> None:
    encoder = encoder_for(table(2, devices=2))
    loss = Loss("plant/v1/press-1/device1/window", OLD, 60, 120, 2, 1000, 2000, "max_bytes", "", 120, 1)
    message = encoder.event(encoder.loss_event(loss, T0))
    assert encoder.read_loss(message) == loss
    assert (payload_of(message)["count"], payload_of(message)["windows"], payload_of(message)["from_seq"]) == (2, 120, 1)
    check(message.topic.removeprefix("plant/v1/press-1/"), payload_of(message))


def test_status_online_and_offline() -> None:
    """The birth names every device with state and reason; the offline status knows of none."""
    text = StatusText(BOOT, "0.1.0", "abc", table(2, devices=2))
    states = {0: DeviceState(0, "ok"), 1: DeviceState(1, "down", "no route")}
    assert json.loads(text.online(5, states)) == {
        "state": "online", "boot": BOOT, "version": "0.1.0", "config": "abc", "since": 5,
        "devices": {"device0": {"state": "ok", "reason": ""}, "device1": {"state": "down", "reason": "no route"}},
    }  # fmt: skip
    assert json.loads(text.offline(6, "stopped")) == {
        "state": "offline", "boot": BOOT, "version": "0.1.0", "config": "abc", "since": 6, "reason": "stopped",
        "devices": {},
    }  # fmt: skip


def test_integers_and_negative_zero_are_json_numbers() -> None:
    """Counters beyond 2^31 and -0.0 come through as they are."""
    row = row_of(table(1), count=2**40, last=float(2**53), min=-0.0)
    assert (row["n"], row["last"], math.copysign(1, row["min"])) == (2**40, 2.0**53, -1.0)


def test_objects_go_by_device_exactly_and_a_second_change_is_a_second_message() -> None:
    """Text with quotes, a uint64, a structure, a bad value; JSON has one entry per tag, so a repetition starts anew."""
    tags = table(4, devices=2)
    values = ['a "quoted" text', 2**64 - 1, {"x": [1, None, 2.5]}, None, "later"]
    block = ObjectBlock(
        np.array([0, 1, 2, 3, 0], np.uint32),
        T0 + np.arange(5, dtype=np.int64) * 1_000_000,
        values,
        np.array([GOOD, GOOD, GOOD, Quality.BAD_NOT_CONNECTED, GOOD], np.uint8),
    )
    messages = encoder_for(tags).objects(block)
    assert [(m.topic.split("/", 3)[3], m.seq, m.lane) for m in messages] == [
        ("device0/value", 1, Lane.SUMMARY),
        ("device0/value", 2, Lane.SUMMARY),
        ("device1/value", 1, Lane.SUMMARY),
    ]
    first, second, other = (payload_of(m) for m in messages)
    assert first["tags"] == {
        "tag0": {"value": values[0], "ts": MS, "q": "good"},
        "tag1": {"value": 2**64 - 1, "ts": MS + 1, "q": "good"},
    }
    assert second["tags"] == {"tag0": {"value": "later", "ts": MS + 4, "q": "good"}}
    assert other["tags"]["tag3"] == {"value": None, "ts": MS + 3, "q": "bad", "reason": "not_connected"}
    assert mark_hist(messages[0].payload) != messages[0].payload


def test_objects_of_the_past_say_so() -> None:
    """A subscriber must not take them for what holds now."""
    block = ObjectBlock(np.zeros(1, np.uint32), np.array([T0]), ["was"], np.array([GOOD], np.uint8), history=True)
    (message,) = encoder_for(table(1)).objects(block)
    assert payload_of(message)["late"] is True
    assert fault_of(message.topic, payload_of(message)) == ""


def test_stats_carry_what_json_can() -> None:
    """A number that is not finite becomes null."""
    message = encoder_for(table(1)).stats(0, {"requests": 7, "round_trip_ms": math.nan, "breaker": "open"}, T0)
    assert message.topic.endswith("/device0/stats")
    assert payload_of(message)["stats"] == {"requests": 7, "round_trip_ms": None, "breaker": "open"}
