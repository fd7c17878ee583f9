"""The read model: versions, devices, connections, alarms, events, counters."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gateway.core.events.device import DeviceStateChanged
from gateway.core.messages import DeviceState
from gateway.core.quality import Quality
from gateway.core.tag_move import TagMove
from gateway.core.tags import TagTable
from gateway.live.events import MOST_ALARMS, MOST_EVENTS
from gateway.live.model import LiveModel, PartReadings
from gateway.sources.opcua.source.events import ConditionAlarm
from tests.support.blocks import GOOD, T0, block_of, table
from tests.support.events import limit_alarm
from tests.support.oracle import Sample


@dataclass
class Connection:
    devices: tuple[int, ...]

    def stats(self) -> Mapping[int, Mapping[str, float | str]]:
        return {device: {"requests": 3.0} for device in self.devices}


@dataclass
class Parts:
    states: dict[int, DeviceState] = field(default_factory=dict)

    def readings(self) -> PartReadings:
        sources = [Connection((0, 1)), Connection((2,))]
        return PartReadings(
            lambda: self.states,
            lambda: sources,  # type: ignore[arg-type, return-value]
            lambda: {"alarm": 4},
            lambda: {"sent": 5.0},
        )


class Bench:
    """Three devices with two tags each, of which two share a connection."""

    def __init__(self) -> None:
        self.parts = Parts({row: DeviceState(row, "down", "starting") for row in range(3)})
        self.model = LiveModel(table(6, devices=3), self.parts.readings(), T0)

    def state(self, device: int, state: str, reason: str = "", at: int = T0) -> None:
        self.parts.states[device] = changed = DeviceState(device, state, reason)  # type: ignore[arg-type]
        self.model.state(changed, at)


def test_a_state_has_begun_when_it_changed_and_not_when_its_reason_did() -> None:
    bench = Bench()
    bench.state(1, "down", "no route", T0 + 1)
    version = bench.model.version
    bench.state(1, "down", "timeout", T0 + 2)
    view = bench.model.devices()[1]
    assert (view.name, view.state, view.reason, view.since_ns, view.tags) == ("device1", "down", "timeout", T0 + 1, 2)
    assert bench.model.devices_version > version
    bench.state(1, "ok", at=T0 + 3)
    assert bench.model.devices()[1].since_ns == T0 + 3


def test_a_connection_is_up_while_one_of_its_devices_is() -> None:
    bench = Bench()
    bench.state(0, "ok", at=T0 + 5)
    bench.state(1, "down", "timeout", T0 + 6)
    bench.state(2, "down", "refused", T0 + 7)
    shared, alone = bench.model.connections()
    assert (shared.devices, shared.is_up, shared.reason, shared.since_ns) == (("device0", "device1"), True, "", T0 + 5)
    assert (alone.is_up, alone.reason, alone.since_ns) == (False, "refused", T0 + 7)
    assert alone.stats == {"device2": {"requests": 3.0}}


def test_alarms_are_active_from_their_first_event_to_their_last() -> None:
    model = Bench().model
    model.event(limit_alarm(T0, device=1, tag=2))
    model.event(limit_alarm(T0 + 1, device=1, tag=2, condition="hihi"))
    model.event(limit_alarm(T0 + 2, device=1, tag=2))
    assert [(a.device, a.tag, a.condition, a.since_ns) for a in model.alarms()] == [
        ("device1", "tag2", "hihi", T0 + 1),
        ("device1", "tag2", "hi", T0),
    ]
    version = model.alarms_version
    model.event(limit_alarm(T0 + 3, device=1, tag=2, state="cleared"))
    assert [a.condition for a in model.alarms()] == ["hihi"]
    assert model.alarms_version > version


def test_conditions_of_a_server_are_told_apart_by_their_source() -> None:
    model = Bench().model
    common = {"severity": 5, "message": "hot", "condition": "Over"}
    for source in ("pump", "fan"):
        model.event(ConditionAlarm(time_ns=T0, device=0, source=source, state="active", **common))
    model.event(ConditionAlarm(time_ns=T0, device=0, source="fan", state="cleared", **common))
    assert [(a.device, a.tag, a.condition) for a in model.alarms()] == [("device0", "", "pump Over")]


def test_alarms_are_bounded() -> None:
    model = Bench().model
    for number in range(MOST_ALARMS + 3):
        model.event(ConditionAlarm(time_ns=T0, device=0, source=f"s{number}", state="active", severity=1, message=""))
    assert len(model.alarms()) == MOST_ALARMS
    assert model.counters().dropped_alarms == 3


def test_the_newest_events_are_kept_within_number_and_bytes() -> None:
    model = Bench().model
    for number in range(MOST_EVENTS + 10):
        model.event(limit_alarm(T0 + number))
    kept = model.events_since()
    assert [e.event.time_ns - T0 for e in (kept[0], kept[-1])] == [10, MOST_EVENTS + 9]
    assert [e.event.time_ns for e in model.events_since(kept[-2].version)] == [T0 + MOST_EVENTS + 9]
    for _ in range(400):
        model.event(DeviceStateChanged(time_ns=T0, device=0, state="down", reason="x" * 20_000))
    assert len(model.events_since()) < 110


def test_counters_come_from_those_who_count() -> None:
    model = Bench().model
    model.samples(block_of([Sample(0, T0, 1.0, GOOD), Sample(1, T0, 1.0, GOOD)]))
    counters = model.counters()
    assert (counters.samples, counters.windows, counters.events, counters.gateway) == (2, 0, {"alarm": 4}, {"sent": 5.0})


def test_another_table_keeps_what_stays_as_it_is() -> None:
    bench = Bench()
    model = bench.model
    model.samples(block_of([Sample(tag, T0, float(tag), GOOD) for tag in range(6)]))
    model.event(limit_alarm(T0, device=0, tag=0))
    model.event(limit_alarm(T0, device=1, tag=2))
    model.event(limit_alarm(T0, device=2, tag=4))
    bench.state(0, "ok", at=T0 + 1)
    bench.state(1, "ok", at=T0 + 1)
    before, names = model.version, ["tag0", "tag1", "tag4", "tag5", "a", "b"]
    tags = tuple(replace(tag, name=name) for tag, name in zip(model.table.tags, names, strict=True))
    after = TagTable(("device0", "device2", "new"), tags)
    moved = TagMove.between(model.table, after, {"device2"})
    bench.parts.states = {row: DeviceState(row, "ok") for row in range(3)}
    model.event(limit_alarm(T0, device=1, tag=2, state="cleared", reason="removed"))  # as stages say before
    model.take_table(after, moved, T0 + 9)
    assert model.table_version > before
    values = model.values()
    assert values.value[values.quality == GOOD].tolist() == [4, 5], "a device that was changed begins anew"
    assert values.quality.tolist() == [Quality.BAD_WAITING] * 2 + [GOOD] * 2 + [Quality.BAD_WAITING] * 2
    kept = [(a.device, a.tag) for a in model.alarms()]
    assert kept == [("device0", "tag0"), ("device2", "tag4")], "an alarm of a tag that is still there ends by an event"
    assert [view.since_ns for view in model.devices()] == [T0 + 9, T0, T0 + 9]
