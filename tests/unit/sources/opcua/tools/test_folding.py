"""Values as a table shows them."""

import pytest

from gateway.sources.opcua.tools.folding import folded


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1, 2, 3], "[1, 2, 3]"),
        (list(range(1000)), "[0, 1, 2, … 1000 elements]"),
        ([[1, 2], [3]], "[[1, 2], [3]]"),
        ({"a": [0] * 9, "b": "x"}, "{a: [0, 0, 0, … 9 elements], b: 'x'}"),
        ("x" * 500, "x" * 500),
        (None, "None"),
    ],
)
def test_arrays_are_folded_and_texts_are_not(value, text):
    assert folded(value) == text


def test_a_structure_of_many_fields_is_cut():
    shown = folded({f"field{i}": [f"text{i}"] * 6 for i in range(100)})
    assert len(shown) == 200
    assert shown.endswith("…")
