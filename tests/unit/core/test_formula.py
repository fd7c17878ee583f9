"""Formulas: text to tree to columns; nothing of the text is run."""

import math
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.formula.parse import MOST_CHARACTERS, parse_formula
from gateway.core.formula.tree import NAMED, evaluate

NUMBERS = st.integers(-1000, 1000).map(lambda number: number / 8)
ATOMS = st.sampled_from(["a", "b", "c", "2", "0.5", "10"])


def _combined(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    two = st.tuples(parts, st.sampled_from(["+", "-", "*", "/", "//", "%", "<", "<=", "==", "!="]), parts)
    return st.one_of(
        two.map(lambda x: f"({x[0]} {x[1]} {x[2]})"),
        parts.map(lambda x: f"(-{x})"),
        parts.map(lambda x: f"abs({x})"),
        st.tuples(parts, parts, parts).map(lambda x: f"({x[0]} if {x[1]} > 0 else {x[2]})"),
        st.tuples(parts, parts).map(lambda x: f"max({x[0]}, {x[1]})"),
    )


def value(text: str, **tags: float) -> float:
    formula = parse_formula(text)
    return float(evaluate(formula.tree, [np.array([tags[name]]) for name in formula.operands])[0])


@given(st.recursive(ATOMS, _combined, max_leaves=12), NUMBERS, NUMBERS, NUMBERS)
def test_a_formula_is_what_python_makes_of_it(text: str, a: float, b: float, c: float) -> None:
    tags = {"a": a, "b": b, "c": c}
    source = f"{text} + 0 * a"
    try:
        expected = float(eval(source, {"abs": abs, "max": max}, tags))
    except ZeroDivisionError:
        return  # Python raises where columns have NaN or infinity, which may vanish again: 1 < inf
    found = value(source, **tags)
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "tags", "expected"),
    [
        ("raw * 10 ** sf", {"raw": 2456, "sf": -1}, 245.6),  # exactly, not 245.60000000000002
        ("10 ** sf * raw", {"raw": 3, "sf": 2}, 300),
        ("signed(hi * 65536 + lo, 32)", {"hi": 0xFFFF, "lo": 0xFFFB}, -5),
        ("sign_magnitude(raw, 8)", {"raw": 0x85}, -5),
        ("signed(a << 16 | b, 48)", {"a": 2**31, "b": 1}, -(2**47) + 1),
        ("whole + fraction / 10000", {"whole": 230, "fraction": 1234}, 230.1234),
        ("high * 10000 + low", {"high": 12, "low": 3456}, 123456),
        ("status >> 4 & 0x0F", {"status": 0xAB}, 0x0A),
        ("clamp(x, 0, 100)", {"x": 130}, 100),
        ("x if 0 <= x < 100 else 100", {"x": -1}, 100),
        ("[Line 1] / [Line 2]", {"Line 1": 1, "Line 2": 4}, 0.25),
        ("mean(a, b, c)", {"a": 1, "b": 2, "c": 6}, 3),
        ("round(x, 1)", {"x": 1.26}, 1.3),
        ("not a or b and 3", {"a": 1, "b": 2}, 1),
    ],
)
def test_what_real_devices_need(text: str, tags: dict[str, float], expected: float) -> None:
    assert value(text, **tags) == expected


@pytest.mark.parametrize(
    "text", ["a / 0", "sqrt(-1 * a)", "log(a - 1)", "a & 0.5", "(0 - a) | 1", "a << 60", "signed(a + 300, 8)"]
)
def test_a_result_that_does_not_exist_is_no_number(text: str) -> None:
    assert not math.isfinite(value(text, a=1.0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a +", "is not a formula"),
        ("import - export", r"expected \[import\] in brackets"),
        ("a ^ b", r"expected \*\* for a power"),
        ("__import__('os').system('x')", "has no place"),
        ("a.__class__", "has no place"),
        ("[x for x in a][0]", "is not a formula|has no place"),
        ("lambda: a", "has no place"),
        ("f'{a}'", "has no place"),
        ("a if b", "is not a formula"),
        ("rond(a)", r"'rond' is no function; expected round\?"),
        ("clamp(a)", "was given 1 values; expected 3"),
        ("1 + 2", "names no tag"),
        ("1e999 * a", "is not a number"),
        ("'a' * b", "is not a number"),
        ("1j * a", "is not a number"),
        ("a" + ".b" * 450, "has no place"),
        ("-" * 900 + "a", "nested"),
        ("(" * 400 + "a" + ")" * 400, "is not a formula"),
        ("a+" * 490 + "a", "nested"),
        ("a" * (MOST_CHARACTERS + 1), "at most 1000"),
        ("a\0", "is not a formula"),
    ],
)
def test_what_is_no_formula_is_refused_in_words(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_formula(text)


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from([*NAMED, "a", "(", ")", "[", "]", ",", "+", "**", "if", "else", "1e9", " "])).map("".join)
)
def test_no_text_ends_in_anything_but_a_tree_or_a_complaint(text: str) -> None:
    with suppress(ValueError):
        formula = parse_formula(text)
        columns = [np.array([1.0, -2.5, np.nan])] * len(formula.operands)
        assert evaluate(formula.tree, columns).shape == (3,)
