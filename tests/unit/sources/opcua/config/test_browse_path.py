"""Browse paths as people write them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sources.opcua.config.browse_path import PathStep, browse_path_text, parse_browse_path


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("/Objects/2:Line/2:Speed", [(0, "", "Objects"), (2, "", "Line"), (2, "", "Speed")]),
        ("/Objects/{http://acme.com/line}Speed", [(0, "", "Objects"), (0, "http://acme.com/line", "Speed")]),
        ("/2:Motor.Speed", [(2, "", "Motor.Speed")]),
        ("/2:A&/B/2:&&C", [(2, "", "A/B"), (2, "", "&C")]),
        ("/&2:A", [(0, "", "2:A")]),
        ("/2:10:30", [(2, "", "10:30")]),
    ],
)
def test_paths_are_taken_apart(text, steps):
    assert parse_browse_path(text) == tuple(PathStep(*step) for step in steps)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("/", "from '/' on"),
        ("//A", "from '//A' on"),
        ("/A/", "from '/' on"),
        ("/2:", "wrong"),
        ("/A&", "wrong"),
        ("/70000:A", "0 to 65535"),
        ("/A" * 65, "65 steps"),
        ("", "0 steps"),
    ],
)
def test_what_is_wrong_is_said(text, word):
    with pytest.raises(ValueError, match=word):
        parse_browse_path(text)


def escaped(name: str) -> str:
    """A name as docs/opcua.md says that it stands in a browse path."""
    name = re.sub(r"[&/]", r"&\g<0>", name)
    return f"&{name}" if re.match(r"\d+:|\{", name) else name


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_any_name_survives_when_it_is_escaped(names):
    steps = parse_browse_path("".join(f"/{escaped(name)}" for name in names))
    assert steps == tuple(PathStep(0, "", name) for name in names)
    steps = parse_browse_path("".join(f"/3:{escaped(name)}" for name in names))
    assert [(step.namespace, step.name) for step in steps] == [(3, name) for name in names]


@pytest.mark.parametrize(
    "steps",
    [
        [(0, "", "Objects"), (2, "", "a/b&c")],
        [(0, "", "2:x")],
        [(0, "urn:x", "2:y")],
        [(3, "", "{x}"), (0, "", "{y}")],
    ],
)
def test_a_path_is_written_as_it_is_read(steps):
    wanted = [PathStep(*step) for step in steps]
    assert list(parse_browse_path(browse_path_text(wanted))) == wanted


def test_names_that_no_path_can_say_have_none():
    for name in ("", "ends with a space "):
        assert browse_path_text([PathStep(0, "", "Objects"), PathStep(2, "", name)]) == ""
