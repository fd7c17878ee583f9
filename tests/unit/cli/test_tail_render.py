"""Lines on the terminal: readable, and safe whatever the network sends."""

import io
import time

import orjson
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from gateway.cli.terminal import Screen, clean, number
from gateway.core.decoded_message import Malformed
from gateway.encoding.decoder import parse

TAG = {"n": 5, "good": 5, "min": 1.0, "max": 3.0, "mean": 2.0, "std": 0.5, "first": 1.0, "last": 2.5, "q": "good"}


def shown(
    kind: str, body: dict[str, object], *, device: str = "press", width: int = 80, colour: bool = False, **screen
) -> str:
    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=colour, color_system="standard" if colour else None, highlight=False
    )
    topic = f"plant/v1/gw/{device}/{kind}" if device else f"plant/v1/gw/{kind}"
    head = {"boot": "b", "seq": 1, "ts": 1_700_000_000_000} | ({} if kind == "event" else {"dur": 1000, "tags": {}})
    Screen(console, **screen).show(parse(topic, orjson.dumps(head | body), "plant"))
    return out.getvalue()


def test_a_window_says_how_many_tags_and_the_values_with_units():
    line = shown("window", {"tags": {"temp": TAG, "n": TAG | {"last": 1204311.0}}}, units={"press/temp": "°C"})
    assert "press   2 tags  temp 2.5 °C  n 1204311" in line.replace("press  ", "press ")


def test_a_window_is_one_line_however_narrow():
    tags = {f"a_rather_long_name_{n}": TAG for n in range(50)}
    for width in (20, 40, 80):
        line = shown("window", {"tags": tags}, width=width)
        assert line.count("\n") == 1
        assert len(line.rstrip("\n")) <= width


def test_configured_headlines_come_first_and_keep_their_last_value():
    out = io.StringIO()
    screen = Screen(Console(file=out, width=80), highlights={"press": ["b"]})
    for tags in ({"a": TAG, "b": TAG | {"last": 7}}, {"a": TAG}):
        body = {"boot": "b", "seq": 1, "ts": 0, "dur": 1000, "tags": tags}
        screen.show(parse("plant/v1/gw/press/window", orjson.dumps(body), "plant"))
    assert [line.split("tag")[1].lstrip("s ") for line in out.getvalue().splitlines()] == ["b 7", "b 7"]


def test_bad_quality_is_in_words_and_in_red():
    line = shown("window", {"tags": {"t": TAG | {"q": "bad", "reason": "timeout", "last": None}}}, colour=True)
    assert "\x1b[31m  1 bad (timeout)" in line


def test_an_uncertain_value_says_why():
    tags = {"t": TAG | {"q": "uncertain", "reason": "clock"}, "u": TAG | {"q": "uncertain", "reason": 7}}
    assert "t 2.5 uncertain (clock)  u 2.5 uncertain (7)" in shown("window", {"tags": tags})


def test_backlog_and_late_windows_say_so():
    assert "backlog" in shown("window", {"hist": True})
    assert "late" in shown("window", {"late": True})


def test_what_is_made_before_the_first_connection_is_no_backlog():
    """Every start has such messages; only later ones tell of an outage."""
    out = io.StringIO()
    screen = Screen(Console(file=out, width=120))
    now_ms = time.time_ns() // 1_000_000
    for hist, ts in ((True, now_ms), (False, now_ms), (True, now_ms), (True, now_ms - 3_600_000)):
        body = {"boot": "b", "seq": 1, "ts": ts, "dur": 1000, "hist": hist, "tags": {}}
        screen.show(parse("plant/v1/gw/press/window", orjson.dumps(body), "plant"))
    marks = [line.split("0 tags")[1].strip() for line in out.getvalue().splitlines()]
    assert marks == ["before connecting", "", "backlog", "backlog"]


def test_an_old_message_is_backlog_whoever_sent_it():
    assert "(backlog)" in shown("event", {"kind": "device", "state": "ok", "hist": True})


def test_alarms_are_highlighted_with_limit_and_value():
    body = {"kind": "alarm", "tag": "temp", "state": "active", "condition": "hihi", "value": 61.25, "limit": 60.0}
    line = shown("event", body, units={"press/temp": "°C"}, colour=True)
    assert "\x1b[1;37;41m ALARM " in line
    plain = shown("event", body, units={"press/temp": "°C"})
    assert "ALARM  temp 61.25 °C, hihi limit 60 °C" in plain
    assert "alarm cleared" in shown("event", body | {"state": "cleared"})


def test_anomalies_show_score_and_expectation():
    body = {"kind": "anomaly", "tag": "t", "state": "active", "value": 9.0, "expected": 2.0, "score": 7.5}
    assert "ANOMALY  t 9, expected 2, score 7.5" in shown("event", body)
    why = {"causes": ["sudden rise", "level higher than ever"]}
    assert "score 7.5: sudden rise, level higher than ever" in shown("event", body | why)


def test_device_states_and_losses_are_told():
    assert "DEVICE down  no answer" in shown("event", {"kind": "device", "state": "down", "reason": "no answer"})
    loss = {"kind": "loss", "topic": "x/y", "first_seq": 3, "last_seq": 9, "count": 7, "cause": "max_age", "detail": ""}
    assert "LOSS  7 messages of x/y, seq 3 to 9: max_age" in shown("event", loss)
    assert "LOSS  7 messages (merged from 420) of x/y" in shown("event", loss | {"windows": 420, "from_seq": 1})


def test_an_unknown_kind_of_event_shows_its_fields():
    assert "clock_jump  by_ms 5000" in shown("event", {"kind": "clock_jump", "by_ms": 5000, "severity": 1}, device="")


def test_status_shows_every_device():
    devices = {"press": {"state": "ok", "reason": ""}, "line": {"state": "down", "reason": "starting"}}
    line = shown("status", {"state": "online", "devices": devices}, device="")
    assert "gw is online  press ok  line down (starting)" in line


def test_the_reason_of_a_device_is_whole():
    reason = "2 of 3 tags cannot be read: oil_temperature (illegal data address), strokes (illegal data address)"
    line = shown("status", {"state": "online", "devices": {"press": {"state": "degraded", "reason": reason}}}, device="")
    assert reason in " ".join(line.split())


def test_control_characters_and_markup_are_shown_and_not_obeyed():
    nasty = "\x1b]0;owned\x07[red]x[/red]\x1b[2J\r\n\u202e"
    line = shown(
        "event", {"kind": "alarm", "tag": nasty, "state": nasty, "condition": nasty, "value": nasty, "limit": nasty}
    )
    assert not [c for c in line.rstrip("\n") if not c.isprintable()]
    assert "[red]x[/red]" in line
    assert "\\x1b" in line


def test_clean_cuts_what_is_too_long():
    assert len(clean("x" * 10**6)) == 60
    assert clean({"a": "\n"}) == "{'a': '\\n'}"


def test_numbers_are_readable():
    values = (1204311.0, 44.0359, 0.06283, True, None, 10**20, 123456.78)
    assert [number(value) for value in values] == ["1204311", "44.04", "0.06283", "True", "-", "1e+20", "123456.78"]


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=9,
)
KEYS = (
    "kind",
    "state",
    "tag",
    "value",
    "limit",
    "score",
    "expected",
    "reason",
    "devices",
    "dur",
    "hist",
    "ts",
    "count",
    "topic",
)


@given(
    st.sampled_from(["window", "summary", "event", "status", "raw"]),
    st.dictionaries(st.sampled_from(KEYS), json),
    st.dictionaries(st.text(max_size=5), st.dictionaries(st.sampled_from(["n", "q", "last", "reason"]), json)),
    st.sampled_from(["alarm", "anomaly", "device", "loss", "other"]),
)
def test_any_json_of_the_right_shape_prints_without_a_crash_or_a_control_code(kind, body, tags, event):
    try:
        text = shown(
            kind, {"state": "online", "kind": event} | body | {"tags": tags}, device="" if kind == "status" else "d"
        )
    except Malformed:
        return
    assert not [c for c in text.replace("\n", "") if not c.isprintable()]
