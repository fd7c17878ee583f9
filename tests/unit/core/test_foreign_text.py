"""Texts from outside on one line, with nothing that a terminal obeys."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import NotConnected, Permanent, Retryable
from gateway.core.foreign_text import LONGEST_TEXT, clean, clean_lines, is_clean
from gateway.core.messages import DeviceState

ANY = st.text(st.characters(codec=None, exclude_categories=()))  # lone surrogates, too
HARMFUL = [chr(n) for n in range(sys.maxunicode + 1) if unicodedata.category(chr(n)) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


def test_every_character_that_ends_a_line_is_obeyed_or_hides_is_escaped() -> None:
    assert len(HARMFUL) > 2000, "control, format, surrogate and separator characters"
    for c in HARMFUL:
        shown = clean(f"a{c}b")
        assert shown.isprintable(), hex(ord(c))
        assert shown == f"a{ascii(c)[1:-1]}b", "the raw form stays readable"


@given(ANY, st.integers(1, 100))
def test_the_result_is_one_line_no_longer_than_allowed_and_can_be_encoded(text: str, longest: int) -> None:
    shown = clean(text, longest)
    assert len(shown) <= longest
    assert len(shown.splitlines()) <= 1
    shown.encode()
    assert is_clean(shown)
    assert clean(shown, longest) == shown, "cleaning twice changes nothing"


@given(ANY)
def test_lines_are_kept_and_what_is_in_them_is_cleaned(text: str) -> None:
    shown = clean_lines(text)
    assert shown.count("\n") == text.count("\n")
    assert all(is_clean(line) for line in shown.split("\n"))


@pytest.mark.parametrize("text", ["20\u00a0°C", "m³·h⁻¹", "Überdruck [bar]", "温度", "[red]x[/red]", "5\u202f%"])
def test_what_people_write_is_left_as_it_is(text: str) -> None:
    assert clean(text) == clean_lines(text) == text
    assert is_clean(text)


@pytest.mark.parametrize("kind", [NotConnected, Retryable, Permanent])
def test_reasons_of_peers_are_cleaned_where_they_become_errors(kind: type[Exception]) -> None:
    assert str(kind("policy\u2028<3>forged\x1b[2J")) == "policy\\u2028<3>forged\\x1b[2J"
    assert len(str(kind("x" * 100_000))) == LONGEST_TEXT


def test_a_device_s_reason_is_cleaned() -> None:
    assert DeviceState(0, "down", "a\nSTATUS=forged\udc80").reason == "a\\nSTATUS=forged\\udc80"
