"""Index ranges, elements and fields."""

import pytest

from gateway.sources.opcua.config.value_selection import (
    NO_ELEMENT,
    NO_FIELD,
    NO_RANGE,
    NO_VALUE,
    cut,
    element_text,
    field_text,
    index_range,
    ranged,
    select,
    steps_of,
)

MACHINE = {"name": "press", "temperature": {"value": 23.45}, "axes": [{"speed": 1}, {"speed": 2}], "weight": None}


@pytest.mark.parametrize("text", ["2", "1:3", "0:1,4", " 7 "])
def test_index_ranges_of_the_standard_are_taken(text):
    assert index_range(text) == text.strip()


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("", "not an index range"),
        ("3:1", "does not rise"),
        ("1:1", "does not rise"),
        ("-1", "not an index range"),
        ("1:2:3", "not an index range"),
        ("٣", "not an index range"),
        (63, "in quotes"),
        (True, "in quotes"),
        (1.5, "in quotes"),
    ],
)
def test_what_is_wrong_with_an_index_range_is_said(value, word):
    with pytest.raises(ValueError, match=word):
        index_range(value)


def test_a_small_number_needs_no_quotes():
    assert (index_range(2), element_text(0)) == ("2", "0")


@pytest.mark.parametrize("text", ["", "1:2", "-1", "x"])
def test_what_is_wrong_with_an_element_is_said(text):
    with pytest.raises(ValueError, match="not the place of an element"):
        element_text(text)


@pytest.mark.parametrize("text", ["", ".a", "a.", "a..b", "a[", "a[x]", "[1]", "a[1]b"])
def test_what_is_wrong_with_a_field_is_said(text):
    with pytest.raises(ValueError, match="not a field"):
        field_text(text)


@pytest.mark.parametrize(
    ("element", "field", "value"),
    [
        ("", "name", "press"),
        ("", "temperature.value", 23.45),
        ("", "axes[1].speed", 2),
        ("", "axes", [{"speed": 1}, {"speed": 2}]),
    ],
)
def test_fields_are_found(element, field, value):
    assert select(MACHINE, steps_of(element, field_text(field))) == (value, 0)


def test_elements_come_before_fields():
    assert select([MACHINE, {"name": "saw"}], steps_of("1", "name")) == ("saw", 0)
    assert select([[1, 2], [3, 4]], steps_of("1,0", "")) == (3, 0)


@pytest.mark.parametrize(
    ("value", "element", "field", "fault"),
    [
        (MACHINE, "", "colour", NO_FIELD),
        (MACHINE, "", "name.first", NO_FIELD),
        (MACHINE, "", "axes[2]", NO_ELEMENT),
        (MACHINE, "0", "", NO_ELEMENT),
        (MACHINE, "", "weight", NO_VALUE),
        (MACHINE, "", "weight.net", NO_VALUE),
        ("text", "3", "", NO_ELEMENT),
        (None, "3", "", NO_VALUE),
        (5, "", "name", NO_FIELD),
    ],
)
def test_what_is_not_there_has_a_reason(value, element, field, fault):
    assert select(value, steps_of(element, field)) == (None, fault)


@pytest.mark.parametrize(
    ("value", "index", "expected"),
    [
        ([7.5], "2", (7.5, 0)),
        ([[3]], "1,2", (3, 0)),
        ([], "2", ([], 0)),
        ("a", "2", ("a", 0)),
        ([2, 3], "1:2", ([2, 3], 0)),
        ([2], "1:2", ([2], 0)),
        ([[1, 2], [3, 4]], "0:1,0:1", ([[1, 2], [3, 4]], 0)),
    ],
)
def test_answers_to_index_ranges(value, index, expected):
    assert ranged(value, index) == expected


@pytest.mark.parametrize(("value", "index"), [([1, 2], "1"), ([1, 2, 3], "1:2"), ([[1, 2]], "0,0"), ("abc", "0:1")])
def test_a_server_that_ignores_index_ranges_is_not_believed(value, index):
    assert ranged(value, index) == (None, NO_RANGE)


def test_a_part_is_cut_out_of_a_whole_array():
    grid = [[1, 2, 3], [4, 5, 6]]
    assert cut([1, 2, 3], "1:2") == ([2, 3], 0)
    assert cut([1, 2, 3], "1:9") == ([2, 3], 0)
    assert cut([1, 2, 3], "2") == (3, 0)
    assert cut(grid, "1,0:1") == ([[4, 5]], 0)
    assert cut(grid, "1,2") == (6, 0)
    assert cut([1, 2, 3], "3") == (None, NO_ELEMENT)
    assert cut(grid, "0:1,7") == (None, NO_ELEMENT)
    for nothing in ("text", 5, None, [1, [2]]):
        assert cut(nothing, "0:1,0")[1] in (NO_RANGE, NO_ELEMENT)
