"""Shapes that grow, their limits, and what a host and the gateway's own reader see of them."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.layouts.sparkplug.metrics import MOST_CHANGES
from gateway.layouts.sparkplug.reader import SparkplugReader
from gateway.layouts.sparkplug.structures import DEEPEST, MOST_MEMBERS, TEXT, grown, write_definition, write_structure
from gateway.layouts.sparkplug.wire import DataType, new_payload, read_payload
from tests.unit.layouts.sparkplug.test_layout import ALL, OK, Bench, kinds

AXIS = {"speed": 12.5, "count": 7, "limits": {"low": 0, "high": 5.5}}
numbers = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False), st.text()
)
values = st.recursive(
    numbers,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc/"), inner, max_size=4)),
    max_leaves=20,
)
scalars = st.one_of(st.none(), st.sampled_from([True, -1, 2, 2.5, 2**53 + 1, 2**63, "x"]))
rows = st.lists(st.dictionaries(st.sampled_from("ab"), scalars, max_size=2), max_size=2)
inner = st.dictionaries(st.just("d"), scalars)
alike = st.one_of(rows, st.fixed_dictionaries({}, optional={"a": scalars, "b": rows, "c": inner}))
"""Values that differ little, so that shapes grow."""


def member(shape: Any, name: str) -> Any:
    return dict(shape.fields)[name]


def read_back(shape: Any, value: Any) -> Any:
    """Write a value and read it with the gateway's reader."""
    payload = new_payload(timestamp=1)
    write_structure(payload.metrics.add(name="x", datatype=shape.kind), shape, value, 1)
    return read_payload(payload.SerializeToString())["metrics"][0]["value"]


def same(told: Any, value: Any) -> bool:
    """Whether nothing is bent: text in the place of a type says the same in JSON, NaN says that there is no number."""
    if isinstance(told, dict):
        return isinstance(value, dict) and all(same(inner, value.get(name)) for name, inner in told.items())
    if isinstance(told, list):
        return isinstance(value, list) and len(told) == len(value) and all(map(same, told, value))
    if isinstance(told, str) and not isinstance(value, str):
        return value is not None and json.loads(told) == value
    if isinstance(told, float) and math.isnan(told):
        return value is None
    return told == value and isinstance(told, bool) == isinstance(value, bool)


@given(st.one_of(st.lists(values, min_size=1, max_size=4), st.lists(alike, min_size=1, max_size=4)))
def test_whatever_came_before_a_value_is_told_as_it_is(several: list[Any]) -> None:
    """A shape carries all that it has grown over, or is text; what has grown does not grow with the same again."""
    shape = None
    for value in several:
        shape = grown(shape, value)
    assert shape is not None
    for value in several:
        assert grown(shape, value) is shape
        if shape.kind in (DataType.TEMPLATE, DataType.DATASET) and value is not None:
            assert same(read_back(shape, value), value)


def test_a_shape_has_the_types_of_its_members() -> None:
    shape = grown(None, AXIS | {"on": True, "name": "a", "big": 2**64 - 1, "list": [1, 2], "nothing": None})
    assert {name: inner.kind for name, inner in shape.fields} == {
        "speed": DataType.DOUBLE, "count": DataType.INT64, "limits": DataType.TEMPLATE, "on": DataType.BOOLEAN,
        "name": DataType.STRING, "big": DataType.UINT64, "list": DataType.STRING, "nothing": DataType.STRING,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("first", "then", "kind"),
    [(1, 2.5, DataType.DOUBLE), (2.5, 1, DataType.DOUBLE), (2.5, 2**53 + 1, DataType.STRING), (1, "a", DataType.STRING),
     (True, 1, DataType.STRING), (None, 1, DataType.INT64), (1, None, DataType.INT64), (2**63, 1, DataType.UINT64),
     (2**63, -1, DataType.STRING), (1, {"a": 1}, DataType.STRING), ({"a": 1}, [{"a": 1}], DataType.STRING),
     ([], [{"a": 1}], DataType.DATASET), ([{"a": 1}], [], DataType.DATASET), ([], [1], DataType.STRING)],
)  # fmt: skip
def test_a_member_widens_or_is_text(first: Any, then: Any, kind: DataType) -> None:
    assert member(grown(grown(None, {"m": first}), {"m": then}), "m").kind is kind


@pytest.mark.parametrize(
    ("rows", "told"),
    [([{"a": 1, "b": 2.5}, {"a": 2}], {"a": DataType.INT64, "b": DataType.DOUBLE}), ([{"a": -1}], {"a": DataType.DOUBLE}),
     ([{"a": [1]}, {"a": {"x": 1}}], {"a": DataType.STRING}), ([{"a": None}], {"a": DataType.DOUBLE})],
)  # fmt: skip
def test_rows_are_columns_with_types(rows: list[Any], told: dict[str, DataType]) -> None:
    assert {name: column.kind for name, column in grown(None, rows).fields} == told


@pytest.mark.parametrize("rows", [[{"a": 1}, {"b": 1}], [{"a": "x"}, {"a": None}], [{"a": 2**63}], [{"a": 1}, 2], [{}]])
def test_rows_that_no_data_set_carries_are_text(rows: list[Any]) -> None:
    """A cell has to have a value, and an unsigned one is not read by everybody."""
    assert grown(None, rows) == TEXT


def test_what_is_too_large_or_too_deep_is_text() -> None:
    assert grown(None, {f"m{at}": at for at in range(MOST_MEMBERS)}).kind is DataType.TEMPLATE
    assert grown(None, {f"m{at}": at for at in range(MOST_MEMBERS + 1)}) == TEXT
    deep: Any = 1
    for _ in range(DEEPEST):
        deep = {"in": deep}
    shape = grown(None, deep)
    assert len(list(shape.templates())) == DEEPEST
    assert [one.kind for one in grown(None, {"in": deep}).templates()] == [DataType.TEMPLATE] * DEEPEST


def test_a_name_depends_on_names_and_types_alone() -> None:
    """Equal in each run; odd characters stand in the members, not in the name of the template."""
    first, second = grown(None, AXIS), grown(None, {**AXIS, "speed": -3.0})
    assert first.name == second.name
    assert first.name.startswith("speed_count_limits_")
    assert grown(None, {**AXIS, "speed": 3}).name != first.name
    odd = grown(None, {"a/b #+ü": 1, "": 2})
    assert odd.name.isascii()
    assert [name for name, _ in odd.fields] == ["a/b #+ü", ""]
    payload = new_payload(timestamp=1)
    write_definition(payload.metrics.add(name=odd.name), odd, 1)
    assert [m.name for m in payload.metrics[0].template_value.metrics] == ["a/b #+ü", ""]


def test_the_default_is_text() -> None:
    bench = Bench()
    bench.connect()
    *_, (_, _, metrics) = bench.send(bench.value(3, AXIS))
    assert (metrics["count"]["datatype"], json.loads(metrics["count"]["value"])) == (DataType.STRING, AXIS)


def test_a_first_structure_brings_births_of_everything() -> None:
    """Its definition stands in NBIRTH, and data of the same shape bring no further ones."""
    bench = Bench(structures="templates")
    bench.connect()
    seen = bench.send(bench.value(3, AXIS))
    assert kinds(seen) == [("NBIRTH", ""), ("DBIRTH", "press"), ("DBIRTH", "line"), ("DDATA", "line")]
    assert seen[-1][2]["count"]["value"] == AXIS
    assert seen[2][2]["count"]["value"] == AXIS
    assert sum(m["datatype"] == DataType.TEMPLATE for m in seen[0][2].values()) == 2
    assert kinds(bench.send(bench.value(3, AXIS | {"speed": 1.0}))) == [("DDATA", "line")]
    assert kinds(bench.send(bench.value(0, AXIS))) == [("DBIRTH", "press"), ("DDATA", "press")], "the same definition"
    again = bench.connect()
    assert kinds(again) == [("NBIRTH", ""), ("DBIRTH", "press"), ("DBIRTH", "line")]
    assert kinds(bench.send(bench.value(3, AXIS))) == [("DDATA", "line")]


def test_backlog_of_an_earlier_run_is_defined_before_it_is_sent() -> None:
    """It was never observed: the layout sees its structures when it is to be sent."""
    bench = Bench(structures="templates")
    message = Bench(structures="templates").value(3, AXIS)
    bench.connect()
    seen = bench.send(message, hist=True)
    assert kinds(seen) == [("NBIRTH", ""), ("DBIRTH", "press"), ("DBIRTH", "line"), ("DDATA", "line")]
    assert seen[-1][2]["count"]["is_historical"] is True
    assert seen[2][2]["count"]["value"] is None


def test_a_device_that_comes_with_a_new_structure_is_born_after_the_node() -> None:
    bench = Bench(structures="templates")
    bench.set(1, "down")
    bench.connect()
    bench.value(3, AXIS)
    bench.set(1, OK)
    assert kinds(bench.see(bench.node.changes(ALL))) == [("NBIRTH", ""), ("DBIRTH", "press"), ("DBIRTH", "line")]


def test_a_structure_that_keeps_changing_is_text_after_a_while() -> None:
    """Births of everything are not the server's to command."""
    bench = Bench(structures="templates")
    bench.connect()
    births = 0
    for at in range(3 * MOST_CHANGES):
        births += sum(kind == "NBIRTH" for kind, _, _ in bench.send(bench.value(3, {f"m{at}": 1})))
    assert births == MOST_CHANGES
    *_, (_, _, metrics) = bench.send(bench.value(3, AXIS))
    assert (metrics["count"]["datatype"], json.loads(metrics["count"]["value"])) == (DataType.STRING, AXIS)


def test_definitions_that_the_broker_does_not_take_are_given_up() -> None:
    """The node is born without them, and structures are text: one part never costs the others."""
    bench = Bench(structures="templates")
    bench.connect()
    wide = {f"member {at}": at for at in range(200)}
    seen = bench.send(bench.value(3, wide), most_bytes=4000)
    assert kinds(seen) == [("NBIRTH", ""), ("DBIRTH", "press"), ("DBIRTH", "line"), ("DDATA", "line")]
    assert json.loads(seen[-1][2]["count"]["value"]) == wide
    assert kinds(bench.send(bench.value(0, AXIS), most_bytes=4000)) == [("DBIRTH", "press"), ("DDATA", "press")]


def test_a_structure_without_a_value_is_null_with_members() -> None:
    """Some libraries read no template without them."""
    bench = Bench(structures="templates")
    bench.connect()
    bench.send(bench.value(3, AXIS))
    (packet,) = bench.node.packets(bench.value(3, None), hist=False, most_bytes=ALL)
    payload = new_payload()
    payload.ParseFromString(packet.payload)
    (metric,) = payload.metrics
    assert metric.is_null
    assert [m.name for m in metric.template_value.metrics] == list(AXIS)


def test_tail_shows_structures_as_values() -> None:
    """The reader of the subscriber's side: templates by member, data sets as rows."""
    bench, reader = Bench(structures="templates"), SparkplugReader()
    bench.node.will()
    sent = [*bench.node.births(ALL)]
    for value in (AXIS, AXIS | {"speed": 2.0}):
        sent += bench.node.packets(bench.value(3, value), hist=False, most_bytes=ALL)
    sent += bench.node.packets(bench.value(0, [{"a": 1}]), hist=False, most_bytes=ALL)
    shown = [reader.read(p.topic, p.payload)[0] for p in map(bench.node.numbered, sent)]
    rows = [one.body["tags"] for one in shown if one is not None and one.kind == "window"]
    assert [row.get("count", row.get("temp"))["last"] for row in rows] == [AXIS, AXIS | {"speed": 2.0}, [{"a": 1}]]


@pytest.mark.parametrize(
    ("payload", "read"),
    [
        (b"\x12\x05\x92\x01\x02\x12\x00", {"": None}),
        (b"\x12\x07\x8a\x01\x04\x22\x02\x0a\x00", [{}]),
        (b"\x12\x05\x8a\x01\x02\x22\x00", [{}]),
    ],
)
def test_odd_structures_of_others_are_read(payload: bytes, read: Any) -> None:
    """Members without names, cells without columns, rows without cells."""
    assert [metric["value"] for metric in read_payload(payload)["metrics"]] == [read]


@pytest.mark.parametrize("payload", [b"\x12\x08\x8a\x01\x05\x22\x03\x0a\x01\x00", b"\x0a" * 2_000_000, b"\x22" * 2_000_000])
def test_what_is_no_structure_is_refused(payload: bytes) -> None:
    """A cell of a broken length, and more cells or rows than could be kept."""
    with pytest.raises(ValueError, match="not a Sparkplug payload"):
        read_payload(payload)


@given(st.lists(st.tuples(st.one_of(values, alike), st.booleans(), st.booleans()), max_size=6))
def test_any_values_live_and_from_backlog_reach_the_host_as_they_are(several: list[tuple[Any, bool, bool]]) -> None:
    """Whatever order they come in: data have the births that they need, and births tell the newest value."""
    bench, earlier = Bench(structures="templates"), Bench(structures="templates")
    bench.connect()
    newest = None
    for value, is_live, asks in several:
        message = (bench if is_live else earlier).value(3, value)
        newest = value if is_live else newest
        *_, (kind, _, metrics) = bench.send(message, hist=not is_live)
        told = metrics["count"]
        assert kind == "DDATA"
        assert told["value"] is None or same(told["value"], value) or told["value"] == str(value)
        if asks:
            *_, (_, _, metrics) = bench.connect()
            told = metrics["count"]["value"]
            assert newest is None or told is None or same(told, newest) or told == newest
