"""Payload formats: the same document, whatever it is written in."""

import contextlib
import tracemalloc
from collections.abc import Callable

import cbor2
import orjson
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.encoding.formats import FORMATS, read_document

document = st.dictionaries(
    st.text(max_size=8),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
        max_leaves=12,
    ),
    max_size=5,
)  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
@given(body=document)
def test_every_format_reads_back_to_the_same_document(name, body):
    """Exact integers to 64 bits, floats to the last digit, any text."""
    assert read_document(FORMATS[name].write(orjson.dumps(body))) == body


def test_formats_are_what_other_libraries_call_by_that_name():
    text = b'{"a":1.5,"b":[true,null]}'
    assert FORMATS["json"].write(text) == text
    assert zstandard.decompress(FORMATS["json+zstd"].write(text)) == text
    assert cbor2.loads(FORMATS["cbor"].write(text)) == {"a": 1.5, "b": [True, None]}
    assert {form.content_type for form in FORMATS.values()} == {
        "application/json",
        "application/json+zstd",
        "application/cbor",
    }


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"\xbf", b"\xa1\x61", b"\xff" * 9, b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfdxxxxxxx", b"\xbf" * 100_000,
     zstandard.ZstdCompressor().compress(b"\0" * 2**27), zstandard.ZstdCompressor().compress(b"{"), b"\xa1" * 5000],
)  # fmt: skip
def test_what_is_no_document_is_refused(payload):
    """Cut off, hostile, or claiming to be enormous: always ValueError, never memory for what it claims."""
    with pytest.raises(ValueError, match="not "):
        read_document(payload)


@given(st.binary(max_size=60))
@example(b"0")  # JSON, and no document
def test_no_bytes_end_in_another_error(payload):
    for start in (b"", b"\x28\xb5\x2f\xfd", b"\xbf"):
        with contextlib.suppress(ValueError):
            read_document(start + payload)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (zstandard.compress(bytes(1 << 27)), "claims"),
        (b"[" + b"[]," * 2_000_000 + b"[]]", "of memory"),
        (b'{"a":' + b"[" * 300 + b"]" * 300 + b"}", "100 levels"),
        (b"\xa1\x61a" + b"\x81" * 5_000 + b"\x00", "depth"),
        (b"\xa1\x61a\x9a\x00\x1e\x84\x80" + b"\x80" * 2_000_000, "containers"),
        (b"\xa1\x61a\xc2\x59\xff\xff" + b"\xff" * 65_535, "tag"),
        (cbor2.dumps({"a": cbor2.CBORTag(35, "(a+)+$")}), "tag"),
        (cbor2.dumps({"a": cbor2.CBORTag(100_000, 1)}), "tag"),
        (cbor2.dumps({"a": b"bytes"}), "JSON could carry"),
        (cbor2.dumps({1: "a number as key"}), "JSON could carry"),
        (cbor2.dumps({"a": -(2**64)}), "JSON could carry"),
    ],
)
def test_a_payload_that_would_fill_memory_or_break_whoever_prints_it_is_refused(payload: bytes, reason: str) -> None:
    """Anybody may publish where a subscriber listens."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=reason):
            read_document(payload)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dumps", [orjson.dumps, cbor2.dumps])
def test_a_window_of_five_thousand_tags_is_read(dumps: Callable[[object], bytes]) -> None:
    row = {"n": 5, "min": 1.1, "max": 1.2, "mean": 1.15, "std": 0.1, "first": 1.5, "last": 2.5, "q": "good"}
    body = {"tags": {f"t{i}": row | {"min": i * 1.1} for i in range(5_000)}}
    assert read_document(dumps(body)) == body
