"""Sparkplug payloads as bytes: written, read, and hostile."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.layouts.sparkplug.wire import DataType, new_payload, numbered, read_payload, set_property, set_value

VALUES = st.one_of(
    st.tuples(st.just(DataType.INT64), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just(DataType.UINT64), st.integers(0, 2**64 - 1)),
    st.tuples(st.just(DataType.FLOAT), st.floats(width=32, allow_nan=False)),
    st.tuples(st.just(DataType.DOUBLE), st.floats(allow_nan=False)),
    st.tuples(st.just(DataType.BOOLEAN), st.booleans()),
    st.tuples(st.just(DataType.STRING), st.text(st.characters(codec="utf-8"))),
    st.tuples(st.sampled_from(DataType), st.none()),
)


@given(st.lists(VALUES, max_size=5), st.integers(0, 255))
def test_what_is_written_reads_back(values, seq):
    """Every type with every value, null included, and the sequence number that is added last."""
    payload = new_payload(timestamp=5)
    for alias, (kind, value) in enumerate(values):
        set_value(payload.metrics.add(alias=alias, datatype=kind), kind, value)
    read = read_payload(numbered(payload.SerializeToString(), seq))
    assert (read["timestamp"], read["seq"]) == (5, seq)
    assert [(m["alias"], m["datatype"], m["value"]) for m in read["metrics"]] == [
        (alias, kind, value) for alias, (kind, value) in enumerate(values)
    ]


def test_the_bytes_are_those_of_the_field_tables():
    """Sparkplug 3.0.0, 6.4, by hand: timestamp 1, metrics 2, seq 3; in a metric name 1, alias 2, datatype 4, boolean 14."""
    payload = new_payload(timestamp=1)
    payload.metrics.add(name="a", alias=7, datatype=DataType.BOOLEAN, boolean_value=True)
    metric = b"\x0a\x01a" + b"\x10\x07" + b"\x20\x0b" + b"\x70\x01"
    assert payload.SerializeToString() == b"\x08\x01" + b"\x12" + bytes([len(metric)]) + metric
    assert numbered(b"\x08\x01", 200) == b"\x08\x01" + b"\x18\xc8\x01"


def test_properties_are_read_by_name():
    payload = new_payload()
    metric = payload.metrics.add(alias=1)
    set_property(metric, "Quality", DataType.INT32, 192)
    set_property(metric, "mean", DataType.DOUBLE, None)
    assert read_payload(payload.SerializeToString())["metrics"][0]["properties"] == {"Quality": 192, "mean": None}


@pytest.mark.parametrize("payload", [b"\xff", b"\x12\xff", b"\x0a", b"\x12\x03\x0a\x01\xff", b"{}", b"\x12\x02" * 9])
def test_what_is_no_payload_is_refused(payload):
    with pytest.raises(ValueError, match="not a Sparkplug payload"):
        read_payload(payload)


@given(st.binary(max_size=80))
def test_no_bytes_end_in_another_error(payload):
    with contextlib.suppress(ValueError):
        read_payload(payload)
