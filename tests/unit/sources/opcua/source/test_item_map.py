"""Tags that share an item, and what each takes of its value."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.sources.opcua.codec.columns import KIND_NOT_SCALAR, KIND_NULL
from gateway.sources.opcua.config.value_selection import NO_ELEMENT, NO_FIELD, NO_VALUE
from gateway.sources.opcua.source.item_map import ItemMap
from tests.support.opcua_fake import entry, values

DOUBLE, INT64, BOOLEAN, STRING = 11, 8, 1, 12


def tagging(*tags: str | dict[str, object]) -> ItemMap:
    made = entry(nodes=tags)
    return ItemMap(made.config, made.tags)


def structure(value: object, row: int = 0, **more: object):
    return values([row], [value], kind=KIND_NOT_SCALAR, **more)


def test_plain_tags_pass_untouched():
    given = values([0, 1], [1.0, 2.0])
    assert tagging("i=1", "i=2").spread(given) is given


def test_tags_that_ask_for_the_same_share_one_item():
    made = tagging(
        "i=1", {"node": "i=2", "field": "a"}, {"node": "i=1"}, {"node": "i=2", "field": "b"}, {"node": "i=2", "index": "1"}
    )
    assert [(item.row, item.node, item.index) for item in made.items] == [(0, "i=1", ""), (1, "i=2", ""), (2, "i=2", "1")]
    assert [made.tags_of(item) for item in made.items] == [(0, 2), (1, 3), (4,)]
    assert [item.row for item in made.items_of([3, 2, 1])] == [0, 1]
    assert made.rows_of([3, 4]) == {1, 2}


def test_another_sampling_interval_is_another_item():
    assert len(tagging("i=1", {"node": "i=1", "sampling": "1s"}).items) == 2


def test_a_structure_feeds_all_its_tags():
    machine = {"speed": 1.5, "count": 2**60, "on": True, "name": "press", "axes": [3, 4]}
    names = ["speed", "count", "on", "name", "axes", "axes[1]"]
    made = tagging(*({"node": "i=1", "field": name} for name in names))
    columns = made.spread(structure(machine)).columns
    assert columns.row.tolist() == [0, 1, 2, 3, 4, 5]
    assert columns.kind.tolist() == [DOUBLE, INT64, BOOLEAN, STRING, KIND_NOT_SCALAR, INT64]
    np.testing.assert_array_equal(columns.number, [1.5, float(2**60), 1, math.nan, math.nan, 4])
    assert columns.objects == {1: 2**60, 3: "press", 4: [3, 4]}
    assert columns.status.tolist() == [0] * 6


def test_what_is_not_there_costs_its_own_tag():
    fields = ["a", "b", "c.d", "e[3]"]
    made = tagging(*({"node": "i=1", "field": name} for name in fields))
    columns = made.spread(structure({"a": 1, "c": None, "e": [0]})).columns
    assert columns.status.tolist() == [0, NO_FIELD, NO_VALUE, NO_ELEMENT]
    assert columns.kind.tolist() == [INT64, KIND_NULL, KIND_NULL, KIND_NULL]
    assert not columns.objects


def test_a_bad_status_is_left_as_it_is():
    made = tagging({"node": "i=1", "field": "a"}, {"node": "i=1", "field": "b"})
    columns = made.spread(values([0], [None], kind=KIND_NULL, status=0x80340000)).columns
    assert columns.status.tolist() == [0x80340000] * 2


def test_an_index_of_one_element_is_a_number_and_a_range_stays_an_array():
    made = tagging({"node": "i=1", "index": "2"}, {"node": "i=1", "index": "1:2"})
    columns = made.spread(values([0, 1], [[7.5], [1.0, 2.0]], kind=KIND_NOT_SCALAR)).columns
    assert (columns.kind.tolist(), columns.number[0], columns.objects) == ([DOUBLE, 255], 7.5, {1: [1.0, 2.0]})


def test_a_part_of_a_plain_number_is_missing():
    columns = tagging({"node": "i=1", "element": "0"}).spread(values([0], [5.0])).columns
    assert (columns.status.tolist(), columns.kind.tolist()) == ([NO_ELEMENT], [KIND_NULL])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.lists(st.integers(0, 11), max_size=20))
def test_every_value_lands_on_its_tags_in_order(nodes, arrivals):
    """Against one value at a time; tags of one node take turns as they stand in the file."""
    made = tagging(*(f"i={n + 1}" for n in nodes))
    rows = [made.items[a % len(made.items)].row for a in arrivals]
    kinds = [STRING if a % 3 == 0 else DOUBLE for a in arrivals]
    told = values(rows, [f"text{a}" if a % 3 == 0 else float(a) for a in arrivals], kind=kinds)
    columns = made.spread(told).columns
    node_of = [int(item.node.removeprefix("i=")) - 1 for item in made.items]
    expected = [(tag, at) for at, row in enumerate(rows) for tag, node in enumerate(nodes) if node == node_of[row]]
    assert columns.row.tolist() == [tag for tag, _ in expected]
    np.testing.assert_array_equal(columns.number, [told.columns.number[at] for _, at in expected])
    assert [columns.objects.get(place) for place in range(len(expected))] == [
        told.columns.objects.get(at) for _, at in expected
    ]
    assert columns.kind.tolist() == [kinds[at] for _, at in expected]
