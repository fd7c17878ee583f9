"""Computed tags: columns against the slow version, and what it is for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.blocks import ObjectBlock, SampleBlock
from gateway.core.formula.parse import parse_formula
from gateway.core.formula.tag import FormulaTag
from gateway.core.quality import Quality
from gateway.stages.formulas import Formulas
from tests.support.blocks import QUALITIES, T0, TICK, table
from tests.support.formula_oracle import OneFormula, Sampled, SlowFormulas

GOOD = int(Quality.GOOD)
OPERANDS = 4
TEXTS = ("a * 10 ** b", "a * 10 ** b", "a / b", "a + b + c")
USES = ((0, 1), (2, 1), (0, 3), (0, 1, 2))
COMPUTE = (
    lambda a, b: a / 10**-b if b < 0 else a * 10**b,
    lambda a, b: a / 10**-b if b < 0 else a * 10**b,
    lambda a, b: a / b if b else None,
    lambda a, b, c: a + b + c,
)


def formulas_of(*, is_polled: bool) -> tuple[Formulas, SlowFormulas]:
    fast, slow = [], []
    for number, (text, uses, compute) in enumerate(zip(TEXTS, USES, COMPUTE, strict=True)):
        fast.append(FormulaTag(OPERANDS + number, parse_formula(text).tree, uses, is_polled))
        slow.append(OneFormula(OPERANDS + number, uses, compute, is_polled))
    return Formulas(table(OPERANDS + len(TEXTS)), fast), SlowFormulas(slow)


def block(rows: list[Sampled], cycle: int = -1, *, repeated: bool = False) -> SampleBlock:
    tag, time, value, quality = zip(*rows, strict=True)
    return SampleBlock(
        np.array(tag, np.uint32),
        np.array(time, np.int64),
        np.array(value, np.float64),
        np.array(quality, np.uint8),
        repeated=repeated,
        cycle=cycle,
    )


def rows_of(blocks: object) -> list[Sampled]:
    return [
        row
        for one in blocks  # type: ignore[attr-defined]
        for row in zip(one.tag.tolist(), one.time.tolist(), one.value.tolist(), one.quality.tolist(), strict=True)
    ]


def _same(found: list[Sampled], expected: list[Sampled]) -> bool:
    return len(found) == len(expected) and all(
        a[:2] == b[:2] and a[3] == b[3] and a[2] == pytest.approx(b[2], nan_ok=True)
        for a, b in zip(sorted(found, key=str), sorted(expected, key=str), strict=True)
    )


def _rows(unique: bool) -> st.SearchStrategy[list[Sampled]]:
    def made(row: tuple[int, int, int, int]) -> Sampled:
        tag, tick, value, quality = row
        return tag, T0 + tick * TICK, float("nan") if quality < 0x40 else float(value), quality

    row = st.tuples(st.integers(0, OPERANDS), st.integers(0, 6), st.integers(-3, 9), QUALITIES).map(made)
    return st.lists(row, min_size=1, max_size=10, unique_by=(lambda row: row[0]) if unique else None)


@given(st.lists(st.tuples(_rows(unique=True), st.integers(0, 3) | st.just(-1)) | st.integers(0, OPERANDS - 1), max_size=12))
def test_polled_operands_as_the_slow_version_has_it(steps: list[tuple[list[Sampled], int] | int]) -> None:
    fast, slow = formulas_of(is_polled=True)
    for step in steps:
        if isinstance(step, int):
            fast.forget(np.array([step], np.uint32))
            slow.forget(step)
            continue
        rows, cycle = step
        assert _same(rows_of(fast.push(block(rows, cycle))), slow.push(rows, cycle))


@given(st.lists(_rows(unique=False) | st.integers(0, OPERANDS - 1), max_size=12))
def test_subscribed_operands_as_the_slow_version_has_it(steps: list[list[Sampled] | int]) -> None:
    fast, slow = formulas_of(is_polled=False)
    for step in steps:
        if isinstance(step, int):
            fast.forget(np.array([step], np.uint32))
            slow.forget(step)
        else:
            assert _same(rows_of(fast.push(block(step))), slow.push(step, -1))


def test_values_of_different_polls_are_never_put_together() -> None:
    """The exponent changes from 0 to -1 with the number: 245 * 10^-1 or 2450 * 10^0 would be a false alarm."""
    fast, _ = formulas_of(is_polled=True)
    assert rows_of(fast.push(block([(0, T0, 245.0, GOOD)], 1))) == []
    assert rows_of(fast.push(block([(1, T0 + 5, 0.0, GOOD)], 1))) == [(4, T0 + 5, 245.0, GOOD)]
    assert rows_of(fast.push(block([(0, T0 + 10, 2450.0, GOOD)], 2))) == []
    assert rows_of(fast.push(block([(1, T0 + 15, -1.0, GOOD)], 2))) == [(4, T0 + 15, 245.0, GOOD)]


def test_a_poll_that_brings_one_operand_only_gives_no_sample() -> None:
    fast, _ = formulas_of(is_polled=True)
    list(fast.push(block([(0, T0, 5.0, GOOD), (1, T0, 0.0, GOOD)], 1)))
    assert rows_of(fast.push(block([(0, T0 + 10, 50.0, GOOD)], 2))) == []
    assert rows_of(fast.push(block([(1, T0 + 20, -1.0, GOOD)], 3))) == []
    assert rows_of(fast.push(block([(0, T0 + 21, 60.0, GOOD)], 3))) == [(4, T0 + 21, 6.0, GOOD)]


def test_a_bad_operand_makes_the_formula_bad_for_its_reason_at_each_poll() -> None:
    fast, _ = formulas_of(is_polled=True)
    assert rows_of(fast.push(block([(1, T0, float("nan"), Quality.BAD_ADDRESS)], 1))) == []
    for cycle in (1, 2, 3):
        (row,) = rows_of(fast.push(block([(0, T0 + cycle, 5.0, GOOD)], cycle)))
        assert row[0] == 4
        assert row[3] == Quality.BAD_ADDRESS


def test_what_was_confirmed_after_a_lost_connection_counts_in_no_window() -> None:
    fast, _ = formulas_of(is_polled=False)
    rows = [(0, T0, 5.0, GOOD), (1, T0, 1.0, GOOD)]
    assert [one.repeated for one in fast.push(block(rows))] == [False]
    fast.forget(np.array([0, 1], np.uint32))
    assert list(fast.push(block(rows[:1], repeated=True))) == []
    (again,) = fast.push(block(rows[1:], repeated=True))
    assert again.repeated
    assert again.value.tolist() == [50.0]
    (changed,) = fast.push(block([(0, T0 + 9, 6.0, GOOD)]))
    assert not changed.repeated


def test_an_operand_that_becomes_a_text_is_not_numeric_and_a_large_integer_is_rounded() -> None:
    fast, _ = formulas_of(is_polled=False)
    list(fast.push(block([(0, T0, 5.0, GOOD), (1, T0, 1.0, GOOD)])))
    one = np.array([0], np.uint32), np.array([T0 + 1], np.int64)
    good = np.array([GOOD], np.uint8)
    assert rows_of(fast.push_objects(ObjectBlock(*one, [2**60], good))) == []
    (row,) = rows_of(fast.push_objects(ObjectBlock(*one, ["off"], good)))
    assert row[3] == Quality.BAD_NOT_NUMERIC
    (row,) = rows_of(fast.push(block([(0, T0 + 2, float(2**60), Quality.UNCERTAIN_ROUNDED)])))
    assert row[3] == Quality.UNCERTAIN_ROUNDED


def test_the_past_is_not_computed() -> None:
    fast, _ = formulas_of(is_polled=False)
    tag, time, value, quality = np.array([0, 1], np.uint32), np.full(2, T0), np.ones(2), np.full(2, GOOD, np.uint8)
    assert list(fast.push(SampleBlock(tag, time, value, quality, history=True))) == []


def test_several_devices_in_one_block_keep_their_own_formulas() -> None:
    tags = table(6, devices=2)
    tree = parse_formula("a - b").tree
    fast = Formulas(tags, [FormulaTag(2, tree, (0, 1), False), FormulaTag(5, tree, (3, 4), False)])
    rows = [(tag, T0, float(10 * tag), GOOD) for tag in (0, 1, 3, 4)]
    assert rows_of(fast.push(block(rows))) == [(2, T0, -10.0, GOOD), (5, T0, -10.0, GOOD)]
