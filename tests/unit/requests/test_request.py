"""Questions for the past: what is understood, and what is said of the rest."""

import orjson
import pytest

from gateway.requests.request import BadRequest, correlation_of, read_document, read_request

NOW_NS = 1_764_560_000_000_000_000
MINUTE_NS = 60_000_000_000


def test_relative_absolute_and_numbers() -> None:
    found = read_request({"tags": "press/oil", "from": "-10min"}, NOW_NS)
    assert (found.patterns, found.begin_ns, found.end_ns) == (("press/oil",), NOW_NS - 10 * MINUTE_NS, NOW_NS)
    assert found.kind == "samples"
    fields = {"tags": ["a/*", "a/*"], "from": "2025-12-01T03:23:20", "to": NOW_NS // 10**6, "kind": "minutes"}
    found = read_request(fields, NOW_NS)
    assert found.patterns == ("a/*",)
    assert (found.begin_ns, found.end_ns) == (NOW_NS - 10 * MINUTE_NS, NOW_NS)
    east = read_request({"tags": "a/b", "from": "2025-11-30T14:00+01:00", "to": "2025-11-30T14:00"}, NOW_NS)
    assert east.end_ns - east.begin_ns == 60 * MINUTE_NS


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "from is missing"),
        ({"from": "-1h"}, "tags is missing"),
        ({"from": "-1h", "tags": []}, "tags cannot be used"),
        ({"from": "-1h", "tags": ["a"] * 101}, "101 entries"),
        ({"from": "-1h", "tags": [1]}, "cannot be used"),
        ({"from": "-1h", "tags": ["x" * 301]}, "cannot be used"),
        ({"from": "yesterday", "tags": "a"}, "'yesterday' is not understood"),
        ({"from": ["-1h"], "tags": "a"}, "is not understood"),
        ({"from": True, "tags": "a"}, "is not understood"),
        ({"from": 2**60, "tags": "a"}, "is not understood"),
        ({"from": "9" * 4000, "tags": "a"}, "is not understood"),
        ({"from": "2026-13-01", "tags": "a"}, "is not understood"),
        ({"from": "0001-01-01", "tags": "a"}, "is not understood"),
        ({"from": "now", "to": "-1h", "tags": "a"}, "the span is empty"),
        ({"from": "-500d", "tags": "a"}, "longer than 400 days"),
        ({"from": "-1h", "tags": "a", "kind": "hours"}, "'hours' is not known"),
        ({"from": "-1h", "tags": "a", "tag": "b"}, "unknown key 'tag'"),
        ({"from": "-1h", "tags": "a", "correlation": 7}, "correlation cannot be used"),
    ],
)
def test_what_is_wrong_is_said(fields: dict[str, object], text: str) -> None:
    with pytest.raises(BadRequest) as bad:
        read_request(fields, NOW_NS)
    assert text in str(bad.value)
    assert bad.value.expected


@pytest.mark.parametrize("document", [b"", b"\xff\xfe", b"[]", b"7", b"[" * 10_000, b"{}" + b" " * 70_000, b'{"a":'])
def test_what_is_no_question_is_refused(document: bytes) -> None:
    with pytest.raises(BadRequest):
        read_document(document)
    assert correlation_of(document) == ""


def test_the_correlation_of_a_bad_question_is_known() -> None:
    assert correlation_of(orjson.dumps({"correlation": "x-1", "nonsense": 1})) == "x-1"
    assert correlation_of(orjson.dumps({"correlation": "x" * 300})) == ""
