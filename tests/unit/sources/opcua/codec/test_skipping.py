"""Where a value ends that is not decoded, against asyncua's encoder."""

import struct
from datetime import UTC, datetime
from uuid import UUID

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary, variant_to_binary
from hypothesis import given
from hypothesis import strategies as st

from gateway.sources.opcua.codec.bounds import MOST_ANSWER, Budget
from gateway.sources.opcua.codec.errors import WireError
from gateway.sources.opcua.codec.skipping import MOST_SKIPPED, Skipper

V, T = ua.Variant, ua.VariantType
TIME = datetime(2026, 8, 1, tzinfo=UTC)
VALUES = [
    V(None),
    V(True, T.Boolean),
    V(2.5, T.Double),
    V("text", T.String),
    V(b"bytes", T.ByteString),
    V(TIME, T.DateTime),
    V(UUID(int=5), T.Guid),
    V(ua.NodeId(1), T.NodeId),
    V(ua.NodeId(70_000, 3), T.NodeId),
    V(ua.NodeId("name", 2), T.NodeId),
    V(ua.NodeId(UUID(int=7), 2), T.NodeId),
    V(ua.ExpandedNodeId("x", 2, ua.NodeIdType.String, "urn:u", 3), T.ExpandedNodeId),
    V(ua.QualifiedName("name", 3), T.QualifiedName),
    V(ua.LocalizedText("text", "en"), T.LocalizedText),
    V(ua.StatusCode(0x80340000), T.StatusCode),
    V(ua.Range(1.0, 2.0), T.ExtensionObject),
    V(None, T.ExtensionObject),
    V([ua.Range(1.0, 2.0), ua.EUInformation()], T.ExtensionObject),
    V(ua.DataValue(V(1, T.Int32), SourceTimestamp=TIME, ServerTimestamp=TIME, SourcePicoseconds=1), T.DataValue),
    V([V("a", T.String), V([1, 2], T.Int16)], T.Variant),
    V(ua.DiagnosticInfo(SymbolicId=1, AdditionalInfo="x", InnerStatusCode=ua.StatusCode(5)), T.DiagnosticInfo),
    V([1.0, 2.0], T.Float),
    V([[1, 2, 3], [4, 5, 6]], T.Int64),
    V(["a", "", None], T.String),
    V([], T.String),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{value.VariantType.name}-{value.is_array}")
def test_a_value_ends_where_asyncua_says(value: ua.Variant) -> None:
    raw = variant_to_binary(value)
    assert Skipper(b"\0" + raw + b"\0\0", Budget(0)).variant(1) == 1 + len(raw)


def test_the_head_of_a_response_ends_before_its_results() -> None:
    plain = struct_to_binary(ua.ResponseHeader(StringTable=["a", "b"]))
    inner = bytes([0x41]) + struct.pack("<i", 7) + bytes([0x01]) + struct.pack("<i", 3)  # asyncua encodes none as it should
    raw = plain[:16] + inner + plain[17:]
    assert Skipper(raw + b"rest", Budget(0)).header(0) == len(raw)


def test_four_million_booleans_and_2_to_the_31_nulls_are_passed_over_at_once() -> None:
    many = bytes([0x81]) + struct.pack("<i", 4_000_000) + bytes(4_000_000)
    assert Skipper(many, Budget(0)).variant(0) == len(many)
    assert Skipper(bytes([0x80]) + struct.pack("<i", 2**31 - 1), Budget(0)).variant(0) == 5


def test_there_is_an_end_to_what_is_passed_over_one_by_one() -> None:
    count = MOST_SKIPPED + 1
    with pytest.raises(WireError, match="more elements than can be passed over"):
        Skipper(bytes([0x98]) + struct.pack("<i", count) + bytes(count), Budget(MOST_ANSWER)).variant(0)


def test_a_cancelled_skipper_ends() -> None:
    budget = Budget(MOST_ANSWER)
    budget.cancel()
    with pytest.raises(WireError):
        Skipper(bytes([0x98]) + struct.pack("<i", 3) + bytes(3), budget).variant(0)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x98" + struct.pack("<i", 1) * 1 + b"\x98\x01\0\0\0" * 40 + b"\0",
        b"\x19" + b"\x40" * 40 + b"\0",
        bytes([0xC6]) + struct.pack("<iii", 1, 5, 17),
        b"\x11\x3f",
    ],
    ids=["variants in variants", "diagnostics in diagnostics", "17 dimensions", "a NodeId of no kind"],
)
def test_what_is_nested_or_wrong_is_refused(raw: bytes) -> None:
    with pytest.raises(WireError):
        Skipper(raw, Budget(0)).variant(0)


@given(raw=st.binary(max_size=60))
def test_any_bytes_have_an_end_within_them_or_none(raw: bytes) -> None:
    try:
        assert Skipper(raw, Budget(0)).variant(0) <= len(raw)
    except WireError:
        return
