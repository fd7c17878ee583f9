"""The published schema of the messages: valid itself, strict enough to notice, and kept by every kind of event."""

from importlib import resources

import jsonschema
import jsonschema_rs
import orjson
import pytest

from gateway.core.events.delivery import OUTBOX_SEVERITY, MessagesLost, OutboxStateChanged, SinkListChanged
from gateway.core.events.device import DeviceStateChanged, SamplesLost
from gateway.core.events.event import Event
from gateway.core.events.gateway import (
    CertificateExpiry,
    ClockJump,
    ConfigurationLoaded,
    ConfigurationRefused,
    ConfigurationReloaded,
    HistorianStateChanged,
    Stall,
    UncleanStop,
)
from gateway.core.events.process import AlarmFlood, Anomaly
from gateway.core.events.security import SecurityEvent
from gateway.core.messages import DeviceState, Loss
from gateway.encoding import schema
from gateway.encoding.encoder import Encoder, StatusText
from gateway.encoding.schema import message_schema
from gateway.encoding.topics import Topics
from gateway.layouts.sparkplug.events import BirthRefused
from gateway.plugins import EVENT_TYPES
from gateway.sources.opcua.source.events import ConditionAlarm, HistoryRead, ModelChanged, ServerEvent
from tests.support.blocks import T0, table
from tests.support.events import limit_alarm
from tests.support.schemas import check, fault_of
from tests.unit.encoding.test_encoder import BOOT, OLD, block_of, encoder_for
from tools.message_schema import text

WINDOW = "plant/v1/press-1/device0/window"


def from_server(type_: type[Event], **fields: object) -> Event:
    common = {"source": "Pump", "message": "hot", "event_type": "i=2915", "event_id": "00ff"}
    return type_(time_ns=T0, device=0, **(common | fields))


def history(**fields: object) -> HistoryRead:
    common = {"from_": 1, "to": 2, "samples": 3, "nodes": 1, "truncated": 0, "without_history": 0}
    return HistoryRead(time_ns=T0, device=0, **(common | fields))


def model(**fields: object) -> ModelChanged:
    return ModelChanged(time_ns=T0, device=0, reason="changed", added=1, removed=0, altered=0, names=["x"], **fields)


EVENTS = [
    limit_alarm(value=61.5, limit=60.0),
    AlarmFlood(
        time_ns=T0,
        start=1,
        end=2,
        raised=3,
        cleared=2,
        quality=0,
        conditions=2,
        top=["press/temp hi: 3"],
    ),
    Anomaly(time_ns=T0, device=0, tag=0, state="cleared", detector="ewma", value=1.0, score=5.2, expected=0.5),
    DeviceStateChanged(time_ns=T0, device=0, state="down", reason="no route"),
    SamplesLost(time_ns=T0, device=0, reason="the queue overflowed", at_least=3),
    UncleanStop(time_ns=T0, previous=OLD, bound_ms=2500),
    ClockJump(time_ns=T0, by_ms=-5),
    Stall(time_ns=T0, for_ms=3500),
    ConfigurationLoaded(time_ns=T0, config="0123456789ab", devices=2, tags=9),
    ConfigurationReloaded(time_ns=T0, result="applied", reason="SIGHUP", config="0a", changes=["press: url"]),
    ConfigurationReloaded(time_ns=T0, result="refused", reason="SIGHUP", config="0a", changes=[], problem="x.yaml:3: y"),
    ConfigurationRefused(time_ns=T0, name="press", problem="x.yaml:3: y", runs="nothing"),
    OutboxStateChanged(time_ns=T0, state="damaged", reason="x", kept="o.db.1", lost=None, unknown=None, rescued=3),
    *(OutboxStateChanged(time_ns=T0, state=state) for state in OUTBOX_SEVERITY),
    SinkListChanged(time_ns=T0, state="removed", sink="cloud", messages=None),
    SinkListChanged(time_ns=T0, state="renamed", sink="cloud", was="mqtt"),
    from_server(ConditionAlarm, severity=700, condition="HighHigh", state="active", acknowledged=False, fields={"a": 1}),
    from_server(ServerEvent, severity=100, message="started", event_type="i=2041"),
    history(),
    history(skipped_ms=5, skipped_from=1, too_old_ms=3, refused=2, reason="BadTimeout", resumed=True),
    model(),
    model(taken=True, cut=True),
    CertificateExpiry(time_ns=T0, certificate="broker", subject="CN=b", end=5, days_left=7, severity=500),
    HistorianStateChanged(time_ns=T0, state="refused", reason="disk full"),
    CertificateExpiry(time_ns=T0, certificate="broker", subject="CN=b", end=1, days_left=-1, severity=900),
    MessagesLost.of(Loss("plant/v1/g/event", OLD, 1, 2, 2, 5, 6, "max_age", "", 2, 1), T0, None),
    MessagesLost.of(Loss("plant/v1/g/event", OLD, 1, 2, 2, 5, 6, "max_age"), T0, None, "cloud"),
    SecurityEvent(time_ns=T0, what="trust_changed", source="root: gateway cert trust", result="accepted", reason="x"),
    SecurityEvent(time_ns=T0, device=0, what="login_refused", source="press", result="refused", reason="x"),
    BirthRefused(time_ns=T0, device=0, name="press", reason="quota"),
]


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


def test_every_type_of_event_has_an_example_here():
    assert {type(event) for event in EVENTS} == set(EVENT_TYPES)


def test_the_published_schema_is_the_generated_one():
    """`make docs` writes it anew."""
    committed = (resources.files("gateway.encoding") / schema.FILE).read_text("utf-8")
    assert committed == text()


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
