"""Cells that a spreadsheet cannot take for formulas, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.csv_cells import hides_formula, protected, unprotected


@given(st.text(alphabet="=+-@\t\r'a1.;, "))
def test_a_cell_is_read_as_it_was(cell: str) -> None:
    assert unprotected(protected(cell)) == cell


@pytest.mark.parametrize("cell", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1", "\r=1", "'=1", "-", "+-1"])
def test_nothing_begins_a_formula(cell: str) -> None:
    assert protected(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "Motor", "ns=2;s=Motor", "-5", "+1.5e-3", "-5 to 5", "'quoted'", "°C", "a=b"])
def test_what_is_no_formula_stays_as_it_is(cell: str) -> None:
    assert protected(cell) == cell == unprotected(cell)


@pytest.mark.parametrize(
    ("cell", "hides"),
    [("ns=2;s=x;=HYPERLINK(0)", True), ("a,\t-1", True), ("a;'@x", True), ("ns=2;s=Motor", False), ("a-b;c=d", False)],
)
def test_a_formula_behind_another_separator_is_noticed(cell: str, hides: bool) -> None:
    assert hides_formula(cell) is hides
