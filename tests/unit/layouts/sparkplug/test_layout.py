"""An edge node as its hosts see it: births, data, deaths, aliases, sequence numbers."""

import asyncio
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
import orjson
import pytest

from gateway.core.blocks import ObjectBlock
from gateway.core.errors import Permanent
from gateway.core.events.event import Event
from gateway.core.messages import DeviceState, Message
from gateway.core.ports.layout import Packet, Subscription
from gateway.core.tags import Tag, TagTable
from gateway.encoding.topics import Topics
from gateway.layouts.sparkplug.layout import SparkplugLayout
from gateway.layouts.sparkplug.wire import DataType, new_payload, read_payload
from gateway.settings.publish_model import DevicePublish, Publish
from tests.support.blocks import GOOD, SECOND, T0
from tests.support.events import limit_alarm
from tests.support.layout import scope_for, services_for
from tests.unit.encoding.test_encoder import BOOT, MS, block_of, encoder_for

TABLE = TagTable(
    ("press", "line"),
    (
        Tag(0, 0, "temp", unit="°C", range=(-40, 120)),
        Tag(1, 0, "speed", single=True),
        Tag(2, 0, "running", logical=True),
        Tag(3, 1, "count"),
    ),
)
TOPICS = Topics.of("plant", "press-1", TABLE.devices)
ALL = 2**28
OK, DOWN = "ok", "down"


@dataclass
class Host:
    """What a host application keeps: names by alias of each device, and the sequence numbers."""

    names: dict[tuple[str, int], str] = field(default_factory=dict)
    seqs: list[int] = field(default_factory=list)
    born: set[str] = field(default_factory=set)

    def take(self, packet: Packet) -> tuple[str, str, dict[str, Any]]:
        """Type, device and metrics by name. Data of a device that is not born, or of an unknown alias, fails."""
        space, group, kind, node, *device = packet.topic.split("/")
        assert (space, group, node) == ("spBv1.0", "plant", "press-1")
        name = device[0] if device else ""
        body = read_payload(packet.payload)
        assert body["timestamp"] > 0
        if kind == "NDEATH":
            assert "seq" not in body
        else:
            self.seqs.append(body["seq"])
        if kind.endswith("BIRTH"):
            self.born = {""} if kind == "NBIRTH" else {*self.born, name}
            self.names |= {(name, m["alias"]): m["name"] for m in body["metrics"] if "alias" in m}
        if kind == "DDEATH":
            assert "" in self.born
            self.born.discard(name)
        if kind.endswith("DATA"):
            assert name in self.born, f"{kind} of {name!r} without a birth"
        known = {m.get("name") or self.names[name, m["alias"]]: m for m in body["metrics"]}
        assert all(m["timestamp"] > 0 for m in known.values())
        return kind, name, known


class Bench:
    def __init__(self, *, summaries: bool = False, **sparkplug: object) -> None:
        config = Publish.model_validate({"layout": "sparkplug", "sparkplug": sparkplug, "summaries": summaries})
        numbers = count(250)
        self.now_ms = MS + 10_000
        self.events: list[Event] = []
        self.wakes: list[int] = []
        services = services_for(
            TABLE, self, {"Boot": BOOT}, lambda: self.states, self.events.append, lambda: self.wakes.append(1)
        )
        scope = scope_for(config, [DevicePublish()] * 2, TOPICS)
        self.node = SparkplugLayout(scope, services, lambda: next(numbers) % 256)
        self.encoder = encoder_for(TABLE)
        self.states = {0: DeviceState(0, OK), 1: DeviceState(1, OK)}
        self.host = Host()

    def now_ns(self) -> int:
        """The layout's clock."""
        return self.now_ms * 1_000_000

    def monotonic(self) -> float:
        return self.now_ms / 1000

    def set(self, device: int, state: str) -> None:
        self.states[device] = DeviceState(device, state)  # type: ignore[arg-type]

    def see(self, packets: Any) -> list[tuple[str, str, dict[str, Any]]]:
        return [self.host.take(self.node.numbered(packet)) for packet in packets]

    def connect(self, most_bytes: int = ALL) -> list[tuple[str, str, dict[str, Any]]]:
        self.will = read_payload(self.node.will().payload)
        return self.see(self.node.births(most_bytes))

    def send(self, message: Message, *, hist: bool = False, most_bytes: int = ALL) -> list[tuple[str, str, dict[str, Any]]]:
        return self.see(self.node.packets(message, hist=hist, most_bytes=most_bytes))

    def window(self, tags: list[int], **columns: object) -> Message:
        (message,) = self.encoder.windows(block_of(tags, **columns))
        self.node.observe(message)
        return message

    def value(self, tag: int, value: object) -> Message:
        one = np.array([tag], np.uint32)
        block = ObjectBlock(one, np.array([T0], np.int64), [value], np.array([GOOD], np.uint8))
        (message,) = self.encoder.objects(block)
        self.node.observe(message)
        return message


def values(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: metric["value"] for name, metric in metrics.items()}


def kinds(seen: list[tuple[str, str, dict[str, Any]]]) -> list[tuple[str, str]]:
    return [(kind, device) for kind, device, _ in seen]


def test_births_come_first_and_name_everything():
    """NBIRTH with the will's bdSeq and the rebirth command, without aliases for both; then each device that is there."""
    bench = Bench()
    seen = bench.connect()
    assert kinds(seen) == [("NBIRTH", ""), ("DBIRTH", "press"), ("DBIRTH", "line")]
    node, press = seen[0][2], seen[1][2]
    assert values(node) == {
        "bdSeq": 250, "Node Control/Rebirth": False, "Properties/Boot": BOOT, "Event": None, "Stats": None,
    }  # fmt: skip
    assert "alias" not in node["bdSeq"]
    assert "alias" not in node["Node Control/Rebirth"]
    assert bench.will["metrics"][0]["value"] == 250
    assert {name: (m["datatype"], m["value"]) for name, m in press.items()} == {
        "temp": (DataType.DOUBLE, None), "speed": (DataType.FLOAT, None), "running": (DataType.BOOLEAN, None),
    }  # fmt: skip
    assert press["temp"]["properties"] == {"Quality": 0, "engUnit": "°C", "engLow": -40, "engHigh": 120}
    aliases = [metric["alias"] for _, _, metrics in seen for metric in metrics.values() if "alias" in metric]
    assert len(aliases) == len(set(aliases))


def test_a_window_becomes_data_with_aliases():
    """The last value, the window's start as its time, quality as a property; floats, bits and numbers in their types."""
    bench = Bench()
    bench.connect()
    ((kind, device, metrics),) = bench.send(bench.window([0, 1, 2], last=[61.5, 0.1, 1.0]))
    assert (kind, device) == ("DDATA", "press")
    assert values(metrics) == {"temp": 61.5, "speed": float(np.float32(0.1)), "running": True}
    assert all("name" not in m and m["timestamp"] == MS and "is_historical" not in m for m in metrics.values())
    assert metrics["temp"]["properties"] == {"Quality": 192}


def test_qualities_and_carried_values_say_what_they_are():
    """bad is null with quality 0, uncertain 500; a value that is carried over keeps the time of its read."""
    bench = Bench()
    bench.connect()
    nothing = {
        "count": 0,
        "good": 0,
        "used": 0,
        "min": np.nan,
        "max": np.nan,
        "mean": np.nan,
        "std": np.nan,
        "first": np.nan,
    }
    held = bench.window([0, 1], **nothing, last=[5.0, np.nan], last_time=T0 - 7 * SECOND, quality=[0x44, 0x08])
    ((_, _, metrics),) = bench.send(held)
    assert [(m["value"], m["timestamp"], m["properties"]["Quality"]) for m in metrics.values()] == [
        (5.0, MS - 7000, 500),
        (None, MS, 0),
    ]


def test_backlog_and_supplements_are_historical():
    bench = Bench()
    bench.connect()
    for message, hist in ((bench.window([0]), True), (bench.window([0], late=True), False)):
        ((_, _, metrics),) = bench.send(message, hist=hist)
        assert metrics["temp"]["is_historical"] is True


def test_the_sequence_runs_to_255_and_from_0_again_and_a_birth_begins_it_anew():
    bench = Bench()
    bench.connect()
    for _ in range(300):
        bench.send(bench.window([0]))
    assert bench.host.seqs == [n % 256 for n in range(303)]
    bench.host.seqs.clear()
    bench.connect()
    bench.send(bench.window([0]))
    assert bench.host.seqs == [0, 1, 2, 3]
    assert bench.will["metrics"][0]["value"] == 251


def test_numbers_are_given_in_the_order_of_sending():
    """Births between the packets of a message do not tear the sequence."""
    bench = Bench()
    bench.connect()
    first, second = bench.node.packets(bench.window([0, 1]), hist=False, most_bytes=60)
    bench.see([first, *bench.node.births(ALL), second])
    assert bench.host.seqs == [0, 1, 2, 3, 0, 1, 2, 3]


def test_births_tell_the_newest_values_also_those_that_were_never_sent_live():
    bench = Bench()
    bench.connect()
    bench.send(bench.window([0], last=1.0))
    bench.window([0], last=2.0, quality=0x60)
    bench.window([0], last=9.0, late=True)
    bench.value(3, "A-17")
    seen = bench.connect()
    assert (seen[1][2]["temp"]["value"], seen[1][2]["temp"]["properties"]["Quality"]) == (2.0, 500)
    assert (seen[2][2]["count"]["value"], seen[2][2]["count"]["datatype"]) == ("A-17", DataType.STRING)


def test_a_device_that_goes_and_comes():
    bench = Bench()
    bench.set(1, DOWN)
    assert kinds(bench.connect()) == [("NBIRTH", ""), ("DBIRTH", "press")]
    bench.set(1, OK)
    bench.set(0, DOWN)
    assert kinds(bench.see(bench.node.changes(ALL))) == [("DDEATH", "press"), ("DBIRTH", "line")]
    assert bench.see(bench.node.changes(ALL)) == []


def test_what_a_device_that_is_away_had_to_say_comes_as_history():
    """Its backlog, and the window in which it went: a birth before, and its death again with the next news."""
    bench = Bench()
    bench.set(0, DOWN)
    bench.connect()
    for hist in (True, False):
        seen = bench.send(bench.window([0], last=5.0), hist=hist)
        assert kinds(seen) == ([("DBIRTH", "press"), ("DDATA", "press")] if hist else [("DDATA", "press")])
        assert seen[-1][2]["temp"]["is_historical"] is True
    assert kinds(bench.see(bench.node.changes(ALL))) == [("DDEATH", "press")]


def test_that_all_is_bad_needs_no_words_beside_a_death():
    """A message ends in at least one packet: after a birth for its history the device's DDEATH, else one without metrics."""
    bench = Bench()
    bench.set(0, DOWN)
    bench.connect()
    bad = bench.window([0], count=0, good=0, used=0, last=np.nan, quality=0x08)
    assert bench.send(bad) == [("NDATA", "", {})]
    bench.send(bench.window([0]), hist=True)
    assert kinds(bench.send(bad)) == [("DDEATH", "press")]


def test_the_first_window_of_a_device_that_is_back_is_live_even_before_the_news():
    bench = Bench()
    bench.set(0, DOWN)
    bench.connect()
    bench.set(0, OK)
    seen = bench.send(bench.window([0]))
    assert kinds(seen) == [("DBIRTH", "press"), ("DDATA", "press")]
    assert "is_historical" not in seen[1][2]["temp"]
    assert bench.see(bench.node.changes(ALL)) == []


@pytest.mark.parametrize(
    ("value", "kind", "told"),
    [("A-17", DataType.STRING, "A-17"), (2**53 + 1, DataType.INT64, 2**53 + 1), (2**64 - 1, DataType.UINT64, 2**64 - 1),
     (-(2**60), DataType.INT64, -(2**60)), (True, DataType.BOOLEAN, True), ([1, None], DataType.STRING, "[1,null]"),
     ({"a": 1.5}, DataType.STRING, '{"a":1.5}')],
)  # fmt: skip
def test_a_value_of_another_type_is_born_before_it_is_told(value, kind, told):
    """Text, exact integers, structures: the type that the birth declares is the one that comes."""
    bench = Bench()
    bench.connect()
    seen = bench.send(bench.value(3, value))
    assert kinds(seen) == [("DBIRTH", "line"), ("DDATA", "line")]
    assert seen[0][2]["count"]["datatype"] == seen[1][2]["count"]["datatype"] == kind
    assert seen[1][2]["count"]["value"] == told
    assert kinds(bench.send(bench.value(3, value))) == [("DDATA", "line")]


@pytest.mark.parametrize(
    ("first", "then", "kind"),
    [(None, 1e39, DataType.DOUBLE), (None, 1e38, DataType.FLOAT), (5, 7.0, DataType.INT64), (5, 1e300, DataType.DOUBLE),
     (5, 2.5, DataType.DOUBLE), (2**64 - 1, -1.0, DataType.DOUBLE), (2**64 - 1, 2.0**64, DataType.DOUBLE),
     (2**63, 2.0**62, DataType.UINT64), (True, 2.0, DataType.DOUBLE), (True, 1.0, DataType.BOOLEAN),
     ("A", 1.5, DataType.STRING)],
)  # fmt: skip
def test_no_number_is_bent_to_fit_its_type(first, then, kind):
    """A window's number that the type does not carry gets another type, never another value."""
    bench = Bench()
    bench.connect()
    tag, name = (1, "speed") if first is None else (0, "temp")
    if first is not None:
        bench.send(bench.value(tag, first))
    _, _, metrics = bench.send(bench.window([tag], last=then))[-1]
    told = metrics[name]["value"]
    assert metrics[name]["datatype"] == kind
    assert told == ("1.5" if kind is DataType.STRING else float(np.float32(then)) if kind is DataType.FLOAT else then)


def test_a_rounded_number_is_left_to_its_exact_message():
    bench = Bench()
    bench.connect()
    bench.send(bench.value(0, 2**60 + 1))
    ((_, _, metrics),) = bench.send(bench.window([0, 1], last=[float(2**60), 1.0], quality=[0x64, GOOD]))
    assert set(metrics) == {"speed"}


def test_summaries_are_metrics_of_their_own():
    bench = Bench(summaries=True)
    born = bench.connect()[1][2]
    (message,) = bench.encoder.summaries(block_of([0], length=60 * SECOND, mean=2.5, count=600))
    ((_, _, metrics),) = bench.send(message)
    assert values(metrics) == {
        "Summary/temp/n": 600, "Summary/temp/min": 1.5, "Summary/temp/max": 1.5, "Summary/temp/mean": 2.5,
        "Summary/temp/std": 1.5,
    }  # fmt: skip
    assert set(metrics) < set(born)
    assert born["temp"]["value"] is None, "a summary is not the newest value"


def test_statistics_are_properties_where_wanted():
    bench = Bench(statistics=True)
    bench.connect()
    ((_, _, metrics),) = bench.send(bench.window([0], mean=2.5))
    assert metrics["temp"]["properties"] == {"Quality": 192, "n": 10, "min": 1.5, "max": 1.5, "mean": 2.5, "std": 1.5}


def test_events_and_stats_are_whole_in_metrics_of_the_node():
    bench = Bench()
    bench.connect()
    alarm = bench.encoder.event(limit_alarm())
    stats = bench.encoder.stats(0, {"requests": 1}, T0)
    ((kind, _, event),) = bench.send(alarm, hist=True)
    ((_, _, counted),) = bench.send(stats)
    assert (kind, event["Event"]["is_historical"], event["Event"]["is_transient"]) == ("NDATA", True, True)
    assert orjson.loads(event["Event"]["value"]) == orjson.loads(alarm.payload) | {"hist": True, "stream": alarm.topic}
    assert orjson.loads(counted["Stats"]["value"])["stats"] == {"requests": 1}


def test_data_are_split_by_the_broker_s_packet_size():
    bench = Bench()
    bench.connect()
    seen = bench.send(bench.window([0, 1, 2], last=1.0), most_bytes=60)
    assert kinds(seen) == [("DDATA", "press")] * len(seen)
    assert [name for _, _, metrics in seen for name in metrics] == ["temp", "speed", "running"]
    packets = bench.node.packets(bench.window([0, 1, 2], last=0.0), hist=False, most_bytes=60)
    assert all(len(bench.node.numbered(packet).payload) <= 60 for packet in packets)


def test_a_device_that_is_no_longer_configured_is_born_for_its_backlog():
    bench = Bench()
    bench.connect()
    message = bench.window([0])
    old = Message("plant/v1/press-1/gone/window", BOOT, 1, message.lane, MS, MS + 1000, message.payload)
    assert kinds(bench.send(old, hist=True)) == [("DBIRTH", "gone"), ("DDATA", "gone")]
    assert kinds(bench.connect()) == [("NBIRTH", ""), ("DBIRTH", "press"), ("DBIRTH", "line")]


def rebirth(value: object = True) -> bytes:
    payload = new_payload(timestamp=1)
    payload.metrics.add(name="Node Control/Rebirth", datatype=DataType.BOOLEAN, boolean_value=bool(value))
    return payload.SerializeToString()


def test_a_host_may_ask_for_births_again():
    bench = Bench()
    bench.connect()
    assert bench.node.subscriptions[0] == Subscription("spBv1.0/plant/NCMD/press-1")
    bench.node.received("spBv1.0/plant/NCMD/press-1", rebirth())
    seen = bench.see(bench.node.changes(ALL))
    assert kinds(seen) == [("NBIRTH", ""), ("DBIRTH", "press"), ("DBIRTH", "line")]
    assert seen[0][2]["bdSeq"]["value"] == 250, "the connection is the same"
    assert bench.wakes == [1]
    assert bench.see(bench.node.changes(ALL)) == []


@pytest.mark.parametrize("payload", [b"", b"\xff", rebirth(False), b"{}"])
def test_other_commands_are_ignored(payload):
    bench = Bench()
    bench.connect()
    bench.node.received("spBv1.0/plant/NCMD/press-1", payload)
    assert bench.see(bench.node.changes(ALL)) == []


def state(online: object, stamp: object = 5) -> bytes:
    return orjson.dumps({"online": online, "timestamp": stamp})


async def test_nothing_is_sent_before_the_primary_host_is_there_nor_after():
    """STATE is retained: the first one says what holds; older ones and nonsense change nothing."""
    bench = Bench(host="scada")
    node = bench.node
    node.will()
    assert node.subscriptions == [
        Subscription("spBv1.0/plant/NCMD/press-1"),
        Subscription("spBv1.0/STATE/scada"),
        Subscription("spBv1.0/plant/DCMD/press-1/+", is_optional=True),
        Subscription("STATE/scada", is_optional=True),
    ]
    waiting = asyncio.ensure_future(node.may_send(True))
    for payload in (b"OFFLINE", b"[]", state(1), state(True, "x"), state(False), state(True, 4)):
        node.received("spBv1.0/STATE/scada", payload)
        await asyncio.sleep(0)
        assert not waiting.done()
    node.received("spBv1.0/STATE/scada", state(True, 6))
    await waiting
    bench.see(node.births(ALL))
    node.received("spBv1.0/STATE/scada", state(False, 5))
    node.received("spBv1.0/STATE/scada", state(False, 6))
    await node.may_send(False)
    assert kinds(bench.see(node.changes(ALL))) == [("NDEATH", "")]
    assert not node.death(), "it is dead already"


async def test_a_new_connection_knows_nothing_of_the_host():
    bench = Bench(host="scada")
    bench.node.received("spBv1.0/STATE/scada", state(True, 9))
    await bench.node.may_send(True)
    bench.node.will()
    bench.node.received("spBv1.0/STATE/scada", state(False, 1))
    await bench.node.may_send(False)


async def test_without_a_primary_host_nobody_is_waited_for():
    bench = Bench()
    await bench.node.may_send(True)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(bench.node.may_send(False), 0.01)


def test_a_proper_end_is_an_ndeath_with_the_bd_seq_of_its_birth():
    bench = Bench()
    assert bench.node.death() == []
    bench.connect()
    ((kind, _, metrics),) = bench.see(bench.node.death())
    assert (kind, metrics["bdSeq"]["value"], metrics["bdSeq"]["datatype"]) == ("NDEATH", 250, DataType.INT64)


def wide_bench() -> tuple[Bench, int]:
    """With the bytes that hold the births of node and `line`, and not that of `press`."""
    bench = Bench(summaries=True)
    bench.node.will()
    node, press, line = (len(packet.payload) for packet in bench.node.births(ALL))
    assert press > max(node, line) + 10
    return bench, press - 1


def test_a_birth_that_is_too_large_costs_only_its_device():
    """The others are born and heard; its data are refused with the reason, told once; another broker may take it."""
    bench, most = wide_bench()
    for _ in range(2):
        assert kinds(bench.connect(most)) == [("NBIRTH", ""), ("DBIRTH", "line")]
        with pytest.raises(Permanent, match="press is set aside: its birth has"):
            bench.send(bench.window([0]), most_bytes=most)
        assert kinds(bench.send(bench.window([3]), most_bytes=most)) == [("DDATA", "line")]
        assert bench.see(bench.node.changes(most)) == []
    (event,) = bench.events
    assert (event.kind, event.device, event.name, event.severity) == ("birth", 0, "press", 700)
    assert list(bench.node.refused_births.reasons) == ["press"]
    assert kinds(bench.send(bench.encoder.event(event), most_bytes=ALL)) == [("NDATA", "")], "the node says it"
    assert kinds(bench.connect()) == [("NBIRTH", ""), ("DBIRTH", "press"), ("DBIRTH", "line")]
    assert kinds(bench.send(bench.window([0]))) == [("DDATA", "press")]


def test_a_birth_that_grows_too_large_on_the_way_sets_its_device_aside():
    """A longer text, a new type: the birth before the data is where it shows."""
    bench = Bench()
    bench.connect()
    with pytest.raises(Permanent):
        bench.send(bench.value(3, "x" * 5000), most_bytes=3000)
    assert [event.name for event in bench.events] == ["line"]


def test_a_birth_of_the_node_that_is_too_large_ends_the_session():
    bench = Bench()
    bench.node.will()
    with pytest.raises(Permanent, match="the birth of the node has"):
        bench.node.births(50)
    assert not bench.node.is_announced


@pytest.mark.parametrize(
    ("until", "again", "after_reconnect"),
    [("later", True, True), ("reconnect", False, True), ("restart", False, False)],
)
def test_a_refused_birth_comes_again_when_it_may(until, again, after_reconnect):
    bench = Bench()
    bench.connect()
    assert bench.node.refused("spBv1.0/plant/DBIRTH/press-1/press", "quota", until=until)
    assert (("DBIRTH", "press") in kinds(bench.see(bench.node.changes(ALL)))) == again
    assert (("DBIRTH", "press") in kinds(bench.connect())) == after_reconnect
    assert [event.reason for event in bench.events] == ([] if again else ["quota"])


def test_without_its_own_birth_the_node_begins_anew():
    bench = Bench()
    bench.connect()
    assert not bench.node.refused("spBv1.0/plant/NBIRTH/press-1", "quota", until="later")
    assert kinds(bench.see(bench.node.changes(ALL)))[0] == ("NBIRTH", "")


@pytest.mark.parametrize("topic", ["spBv1.0/plant/DDATA/press-1/press", "spBv1.0/plant/NDATA/press-1", "x"])
def test_refused_data_change_nothing(topic):
    bench = Bench()
    bench.connect()
    assert bench.node.refused(topic, "quota", until="reconnect")
    assert bench.see(bench.node.changes(ALL)) == []
    assert bench.events == []


def test_no_data_go_before_births_that_were_asked_for():
    """Also before anything has woken the publisher (3.0.0, 5.17)."""
    bench = Bench()
    bench.connect()
    bench.node.received("spBv1.0/plant/NCMD/press-1", rebirth())
    seen = bench.send(bench.window([0]))
    assert kinds(seen) == [("NBIRTH", ""), ("DBIRTH", "press"), ("DBIRTH", "line"), ("DDATA", "press")]
    assert bench.see(bench.node.changes(ALL)) == [], "once"


def test_births_are_in_the_order_of_time():
    bench = Bench()
    bench.window([0, 1, 2], start=T0 + 5 * SECOND)
    bench.window([1], start=T0)
    times = [metric["timestamp"] for metric in bench.connect()[1][2].values()]
    assert times == sorted(times)
    assert len(set(times)) == 2
