"""Events and conditions of a server, as events of ours."""

from dataclasses import replace

import pytest

from gateway.sources.opcua.config.events import OpcUaEvents
from gateway.sources.opcua.port.events import SELECTED, EventFields
from gateway.sources.opcua.source.alarms import MOST_CONDITIONS, Alarms
from tests.support.clock import ManualClock, settle
from tests.support.opcua_fake import FakeSession, entry, source, values

NOW_NS = 1_700_000_000_000_000_000
TIME = "2023-11-14T22:13:19.500000+00:00"
TIME_NS = NOW_NS - 500_000_000
NAMES = [name for name, _, _ in SELECTED]


def event(*extra: object, **fields: object) -> EventFields:
    known: dict[str, object] = dict.fromkeys(NAMES)
    known |= {"event_id": "AA==", "event_type": "i=2041", "source": "Tank", "time": TIME, "message": "m", "severity": 500}
    return EventFields(0, [*(known | fields).values(), *extra])


def condition(active: bool | None, **fields: object) -> EventFields:
    known: dict[str, object] = {"event_type": "i=9341", "condition": "High", "condition_id": "ns=1;s=high"}
    known |= {"branch": "i=0", "retain": active, "active": active, "acknowledged": False}
    return event(**(known | fields))


START, END = event(event_type="i=2787", severity=0), event(event_type="i=2788", severity=0)


def alarms(*wanted: dict[str, object]) -> Alarms:
    return Alarms(3, [OpcUaEvents.model_validate(one) for one in wanted or ({},)], 5_000_000_000)


def states(made: Alarms, *given: EventFields) -> list[object]:
    return [getattr(told, "state", None) for one in given for told in made.events_of(one, NOW_NS)]


def test_an_event_keeps_its_time_source_severity_and_further_fields():
    (told,) = alarms({"fields": ["SourceNode", "2:Batch"]}).events_of(event("ns=1;s=tank", 7), NOW_NS)
    assert (told.kind, told.time_ns, told.device, told.tag) == ("opcua_event", TIME_NS, 3, None)
    assert told.payload() == {
        "source": "Tank", "severity": 500, "message": "m", "event_type": "i=2041", "event_id": "AA==",
        "fields": {"SourceNode": "ns=1;s=tank", "2:Batch": 7},
    }  # fmt: skip


def test_the_name_of_the_type_is_told_where_it_is_known():
    made = alarms()
    names = {"i=9341": "LimitAlarmType", "i=5": ""}
    told = [made.events_of(given, NOW_NS, True, names) for given in (condition(True), event())]
    assert [one.type_name for (one,) in told] == ["LimitAlarmType", None]
    assert [one.event_type for (one,) in told] == ["i=9341", "i=2041"]


def test_an_alarm_names_the_condition_so_that_somebody_can_acknowledge_it():
    made = alarms()
    (told,) = made.events_of(condition(True), NOW_NS)
    assert (told.payload()["condition_id"], told.payload()["event_id"]) == ("ns=1;s=high", "AA==")
    made.events_of(START, NOW_NS)
    (ended,) = made.events_of(END, NOW_NS)
    assert (ended.state, ended.payload()["condition_id"]) == ("cleared", "ns=1;s=high")
    (nameless,) = made.events_of(condition(True, condition_id=None), NOW_NS)
    assert "condition_id" not in nameless.payload()


def test_a_condition_becomes_active_and_cleared():
    made = alarms()
    (on,) = made.events_of(condition(True, time="2023-11-14T22:13:19+00:00"), NOW_NS)
    assert (on.kind, on.condition, on.state, on.acknowledged) == (
        "alarm",
        "High",
        "active",
        False,
    )
    assert made.active == 1
    assert states(made, condition(False)) == ["cleared"]
    assert made.active == 0


@pytest.mark.parametrize(("given", "told"), [(0, 1), (1, 1), (1000, 1000), (5000, 1000), (None, 1)])
def test_severity_is_always_within_the_standards_bounds(given, told):
    assert alarms().events_of(event(severity=given), NOW_NS)[0].severity == told


@pytest.mark.parametrize("time", [None, "soon", "2123-11-14T22:13:20+00:00", "0001-01-01T00:00:00+00:00"])
def test_a_time_that_cannot_be_is_replaced_by_ours(time):
    assert alarms().events_of(event(time=time), NOW_NS)[0].time_ns == NOW_NS


def test_a_time_by_a_clock_that_is_off_is_replaced_by_ours():
    assert alarms().events_of(event(), NOW_NS, clock_is_right=False)[0].time_ns == NOW_NS


def test_events_below_the_wanted_severity_are_left_out():
    made = alarms({"severity": 300})
    assert len([*made.events_of(event(severity=299), NOW_NS), *made.events_of(event(severity=300), NOW_NS)]) == 1


def test_a_condition_that_ends_with_a_low_severity_is_cleared_all_the_same():
    made = alarms({"severity": 300})
    assert states(made, condition(True, severity=299)) == []
    assert states(made, condition(True, severity=300), condition(False, severity=0)) == ["active", "cleared"]
    assert states(made, condition(False, severity=0, message="again")) == []


def test_what_a_refresh_repeats_is_told_once():
    made = alarms()
    assert states(made, START, condition(True), END) == ["active"]
    assert states(made, START, condition(True), END) == []
    assert states(made, START, condition(True, acknowledged=True), END) == ["active"], "somebody acknowledged it meanwhile"


def test_a_condition_that_a_refresh_does_not_name_any_more_has_ended():
    made = alarms()
    made.events_of(condition(True), NOW_NS)
    made.events_of(condition(True, condition_id="ns=1;s=other", condition="Low"), NOW_NS)
    told = [one for given in (START, condition(True), END) for one in made.events_of(given, NOW_NS)]
    assert [(one.condition, one.state, one.reason) for one in told] == [("Low", "cleared", "ended while away")]
    assert told[0].time_ns == NOW_NS


def test_an_end_of_a_refresh_without_a_beginning_ends_nothing():
    made = alarms()
    assert states(made, condition(True), END) == ["active"]
    assert made.active == 1


def test_branches_are_earlier_states_and_not_told():
    assert states(alarms(), condition(True, branch="ns=1;g=398f1730-873f-be64-d4eb-9a557885031a")) == []


def test_a_condition_without_an_active_state_is_an_event():
    (told,) = alarms().events_of(condition(None), NOW_NS)
    assert (told.kind, told.condition) == ("opcua_event", "High")


def test_refresh_required_and_overflow_are_noted():
    made = alarms()
    assert made.events_of(event(event_type="i=2789"), NOW_NS) == made.events_of(event(event_type="i=3035"), NOW_NS) == []
    assert (made.needs_refresh, made.lost) == (True, True)


def test_a_server_that_forgets_fields_does_no_harm():
    (told,) = alarms().events_of(EventFields(0, ["AA==", "i=2041"]), NOW_NS)
    assert (told.kind, told.time_ns, told.source) == ("opcua_event", NOW_NS, None)


def test_memory_of_conditions_is_bounded():
    made = alarms()
    for i in range(MOST_CONDITIONS + 50):
        made.events_of(condition(True, condition_id=f"ns=1;i={i}"), NOW_NS)
    assert made.active == MOST_CONDITIONS


async def test_events_are_subscribed_refreshed_and_told_in_their_order():
    clock = ManualClock(monotonic_s=0)
    server = FakeSession(clock)
    made = source(clock, server, events=[{"severity": 5}])
    await made.open()
    assert (len(server.events_added), server.refreshes) == (1, 1)
    told = values([], [])
    server.publish(with_events(told, condition(True), event(event_type="i=2789"), event(event_type="i=3035")))
    await settle()
    said = [made._state.queue.pop() for _ in range(3)]
    assert [one.kind for one in said if hasattr(one, "kind")] == ["alarm"]
    assert server.refreshes == 2
    await made.close()


async def test_an_alarm_that_is_received_late_keeps_its_own_time():
    """The server's clock was right before, and seems to be 6.7 s behind now: the answer waited."""
    clock = ManualClock(monotonic_s=0)
    server = FakeSession(clock)
    made = source(clock, server, events=[{}])
    await made.open()
    server.publish(values([], [], received_ns=TIME_NS, server_clock_ns=TIME_NS))
    late = values([], [], received_ns=TIME_NS + 6_700_000_000, server_clock_ns=TIME_NS)
    server.publish(with_events(late, condition(True)))
    await settle()
    said = [made._state.queue.pop() for _ in range(2)]
    assert [one.time_ns for one in said if hasattr(one, "kind")] == [TIME_NS]
    await made.close()


def with_events(told, *events):
    return replace(told, events=events)


async def test_a_refused_notifier_is_told_and_tried_again():
    clock = ManualClock(monotonic_s=0)
    server = FakeSession(clock, keepalive_s=1000.0)
    server.refused["ns=1;s=nobody"] = 0x80340000
    made = source(clock, server, events=[{"notifier": "ns=1;s=nobody"}])
    await made.open()
    assert "events of ns=1;s=nobody are refused: BadNodeIdUnknown" in (await made.read()).reason
    assert server.refreshes == 0
    server.refused.clear()
    await clock.advance(75)
    assert len(server.events_added) == 2
    assert server.refreshes == 1
    await made.close()


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ({"events": [{}], "mode": "poll"}, "expected mode: subscribe, or no events"),
        ({"events": [{"severity": 0}]}, "greater than or equal to 1"),
        ({"events": [{"severity": 1001}]}, "less than or equal to 1000"),
        ({"events": [{"fields": ["x:y"]}]}, "no field of an event; expected for instance SourceNode"),
        ({"events": [{"fields": ["a//b"]}]}, "no field of an event"),
        ({"events": [{"fields": ["2:Batch", "2:Batch"]}]}, "names 2:Batch twice; expected each field once"),
        ({"events": [{"notifier": "Server"}]}, "NodeId"),
        ({"events": [{"severty": 5}]}, "Extra inputs"),
    ],
)
def test_events_that_cannot_be_are_refused(keys, word):
    with pytest.raises(ValueError, match=word):
        entry(**keys)


def test_texts_of_the_server_are_cleaned_and_bounded_and_its_values_are_not() -> None:
    hostile = "hot\u2028<3>forged\x1b[2J\udc80" + "x" * 2000
    made = Alarms(3, [OpcUaEvents.model_validate({"fields": ["Note"]})], 5_000_000_000)
    (alarm,) = made.events_of(replace_texts(condition(True), "a\r\n\u202eb", hostile), NOW_NS)
    payload = alarm.payload()
    assert payload["source"] == "a\\r\\n\\u202eb"
    assert payload["message"].startswith("hot\\u2028<3>forged\\x1b[2J\\udc80xxx")
    assert len(payload["message"]) == 1000
    assert payload["fields"] == {"Note": "line 1\nline 2"}


def replace_texts(given: EventFields, source: str, message: str) -> EventFields:
    known = dict(zip(NAMES, given.values, strict=False)) | {"source": source, "message": message}
    return EventFields(0, [*known.values(), "line 1\nline 2"])
