"""The published schema of the messages: valid itself, strict enough to notice, and kept by every kind of event."""

import jsonschema
import jsonschema_rs
import orjson
import pytest

from gateway.core.messages import DeviceState, Event
from gateway.encoding.encoder import Encoder, StatusText
from gateway.encoding.schema import message_schema
from gateway.encoding.topics import Topics
from gateway.outbox.health import SEVERITY
from tests.support.blocks import T0, table
from tests.support.schemas import check, fault_of
from tests.unit.encoding.test_encoder import BOOT, OLD, block_of, encoder_for

WINDOW = "plant/v1/press-1/device0/window"
DAMAGED = {"state": "damaged", "reason": "x", "kept": "o.db.1", "lost": None, "unknown": None, "rescued": 3, "severity": 800}

EVENTS = [
    Event("alarm", T0, 0, 0,
          {"state": "active", "condition": "hi", "severity": 500, "value": 61.5, "limit": 60.0}),
    Event("anomaly", T0, 0, 0,
          {"state": "cleared", "detector": "ewma", "severity": 400, "value": 1.0, "score": 5.2, "expected": 0.5}),
    Event("device", T0, 0, None, {"state": "down", "reason": "no route", "severity": 600}),
    Event("samples_lost", T0, 0, None, {"reason": "the queue overflowed", "at_least": 3, "severity": 500}),
    Event("unclean_stop", T0, detail={"previous": OLD, "bound_ms": 2500, "severity": 600}),
    Event("clock_jump", T0, detail={"by_ms": -5, "severity": 400}),
    Event("stall", T0, detail={"for_ms": 3500, "severity": 400}),
    Event("configuration", T0, detail={"config": "0123456789ab", "devices": 2, "tags": 9, "severity": 1}),
    Event("outbox", T0, detail=DAMAGED),
    *(Event("outbox", T0, detail={"state": state, "severity": severity}) for state, severity in SEVERITY.items()),
    Event("alarm", T0, 0, None,
          {"source": "Pump", "severity": 700, "message": "hot", "event_type": "i=2915", "event_id": "00ff",
           "condition": "HighHigh", "state": "active", "acknowledged": False, "fields": {"a": 1}}),
    Event("opcua_event", T0, 0, None,
          {"source": "Pump", "severity": 100, "message": "started", "event_type": "i=2041", "event_id": "00ff"}),
    Event("history", T0, 0, None,
          {"from": 1, "to": 2, "samples": 3, "nodes": 1, "truncated": 0, "without_history": 0, "severity": 1}),
    Event("history", T0, 0, None,
          {"from": 1, "to": 2, "samples": 0, "nodes": 0, "truncated": 0, "without_history": 0, "skipped_ms": 5,
           "skipped_from": 1, "too_old_ms": 3, "refused": 2, "reason": "BadTimeout", "resumed": True, "severity": 400}),
    Event("model", T0, 0, None,
          {"reason": "changed", "added": 1, "removed": 0, "altered": 0, "names": ["x"], "severity": 300}),
    Event("model", T0, 0, None,
          {"reason": "changed", "added": 1, "removed": 0, "altered": 0, "names": ["x"], "restart": True, "severity": 300}),
    Event("configuration", T0, detail={"config": "0a", "devices": 2, "tags": 9, "reason": "tags", "severity": 1}),
    Event("renewal_refused", T0, detail={"reason": "tags have changed", "problem": "x.yaml:3: y", "severity": 600}),
    Event("certificate", T0, detail={"certificate": "broker", "subject": "CN=b", "end": 5, "days_left": 7, "severity": 500}),
    Event("certificate", T0,
          detail={"certificate": "broker", "subject": "CN=b", "end": 1, "days_left": -1, "severity": 900}),
]  # fmt: skip


def window(**fields: object) -> dict[str, object]:
    (message,) = encoder_for(table(1)).windows(block_of([0]))
    return orjson.loads(message.payload) | fields


def row(**fields: object) -> dict[str, object]:
    body = window()
    body["tags"]["tag0"] |= fields
    return body


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(message_schema())
    jsonschema_rs.meta.validate(message_schema())


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_every_kind_of_event_is_described(event):
    message = encoder_for(table(1)).event(event)
    check(message.topic, orjson.loads(message.payload))


def test_the_status_is_described():
    text = StatusText(BOOT, "0.1.0", "abc", table(1))
    check("x/status", orjson.loads(text.online(1, {0: DeviceState(0, "ok")})))
    check("x/status", orjson.loads(text.online(1, {}, {"broker": 1_800_000_000_000})))
    check("x/status", orjson.loads(text.offline(1, "stopped")))


def test_stats_are_described():
    encoder = Encoder(Topics.of("plant", "g", ("d",)), table(1), BOOT)
    message = encoder.stats(0, {"requests": 3, "state": "ok", "round_trip_ms": float("nan")}, T0)
    check(message.topic, orjson.loads(message.payload))


def test_merged_windows_are_described():
    check(WINDOW, window(dur=60_000, windows=60, first_seq=1, seq=60))
    assert fault_of(WINDOW, window(windows=60))


@pytest.mark.parametrize(
    "wrong",
    [window(seq=0), window(boot="b"), window(hist="no"), window(late=False), window(more=1), window(part=[1, 1]),
     window(tags={"t": {}}), row(q="fine"), row(q="bad"), row(reason="x"), row(n=-1), row(last_ts=5), row(more=1),
     row(n=0, good=0), row(mean="1"), row(std=-0.5), {k: v for k, v in window().items() if k != "dur"}],
)  # fmt: skip
def test_what_is_not_in_the_contract_is_noticed(wrong):
    """By the strict form that tests use; the published one is open to more fields."""
    assert fault_of(WINDOW, wrong)


def test_a_reader_is_told_to_expect_more_fields_and_kinds():
    published = jsonschema.Draft202012Validator(message_schema())
    assert published.is_valid(window(more=1))
    assert published.is_valid({"boot": BOOT, "seq": 1, "ts": 1, "hist": False, "kind": "new", "x": 1})
    assert not published.is_valid(window(seq=0))
