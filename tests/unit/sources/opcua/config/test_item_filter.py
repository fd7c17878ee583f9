"""Deadbands and triggers."""

import pytest

from gateway.sources.opcua.config.item_filter import Deadband, Filter, parse_deadband


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, (0, False)), (0.5, (0.5, False)), ("0.5", (0.5, False)), (" 2 % ", (2, True)), ("1e-3", (0.001, False))],
)
def test_a_deadband_is_a_number_or_a_percentage(value, expected):
    assert parse_deadband(value) == expected


@pytest.mark.parametrize("value", ["", "x", -1, "-1%", "101%", True, None, "nan", "1e999", float("inf"), "0,5"])
def test_what_is_wrong_with_a_deadband_is_said(value):
    with pytest.raises(ValueError, match="expected"):
        parse_deadband(value)


def test_only_what_differs_from_the_standard_is_asked_for():
    assert Filter().is_plain
    assert not Filter("timestamp").is_plain
    assert [f.is_exact for f in (Filter(), Filter("timestamp"), Filter("status"), Filter("value", Deadband(1)))] == [
        True, True, False, False
    ]  # fmt: skip
