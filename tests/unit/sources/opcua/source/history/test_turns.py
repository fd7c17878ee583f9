"""Some turns in a row, then one at a time."""

import pytest

from gateway.sources.opcua.source.history.turns import Turns


def test_some_in_a_row_then_one_each_minute():
    turns = Turns(3, 60.0, 1000.0)
    for _ in range(3):
        assert turns.wait_s(1000.0) == 0
        turns.take(1000.0)
    assert turns.wait_s(1000.0) == 60
    assert turns.wait_s(1045.0) == pytest.approx(15)
    turns.take(1060.0)
    assert turns.wait_s(1060.0) == pytest.approx(60)


def test_no_more_gather_than_there_were_at_first():
    turns = Turns(2, 60.0, 0.0)
    for _ in range(2):
        assert turns.wait_s(1e9) == 0
        turns.take(1e9)
    assert turns.wait_s(1e9) == 60
