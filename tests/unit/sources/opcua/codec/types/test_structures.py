"""Structures, unions and enumerations, by definitions, from bytes."""

import contextlib
import struct
from decimal import Decimal

import pytest
from asyncua import ua
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.sources.opcua.client.responses import plain
from gateway.sources.opcua.codec.errors import TooLarge, WireError
from gateway.sources.opcua.codec.numbers import decimal_text, reshaped, shortest
from gateway.sources.opcua.codec.types.data_types import (
    Enumeration,
    Field,
    OptionSet,
    Structure,
    Undescribed,
    definition_of,
    standard_type,
)
from gateway.sources.opcua.codec.types.structures import MOST_DOUBTS, Types
from tests.support.examples import examples

POINT, POINT_BINARY, MODE = ua.NodeId(1, 2), ua.NodeId(101, 2), ua.NodeId(3, 2)
INT32, FLOAT, STRING = ua.NodeId(6), ua.NodeId(10), ua.NodeId(12)


def types(structure: Structure, **more: object) -> Types:
    known = {INT32: 6, FLOAT: 10, STRING: 12, POINT: structure, MODE: Enumeration({1: "on"}), **more}
    return Types(known, {POINT_BINARY: POINT})


def wrapped(body: bytes, encoding: int = 101, head: int = 22) -> bytes:
    return bytes([head]) + struct.pack("<BBHBi", 1, 2, encoding, 1, len(body)) + body


def read(known: Types, data: bytes) -> object:
    value, end = known.variant(data, 0, plain)
    assert end == len(data)
    return value


def text(value: str) -> bytes:
    return struct.pack("<i", len(value)) + value.encode()


def test_fields_come_in_their_order():
    known = types(Structure("P", "plain", (Field("x", FLOAT), Field("mode", MODE), Field("all", INT32, rank=1))))
    assert read(known, wrapped(struct.pack("<fiiii", 23.45, 1, 2, 7, 8))) == {"x": 23.45, "mode": 1, "all": [7, 8]}


def test_optional_fields_are_none_where_they_are_not():
    known = types(
        Structure("P", "optional", (Field("a", INT32), Field("b", INT32, optional=True), Field("c", STRING, optional=True)))
    )
    assert read(known, wrapped(struct.pack("<Ii", 2, 5) + text("x"))) == {"a": 5, "b": None, "c": "x"}
    assert read(known, wrapped(struct.pack("<Iii", 1, 5, 6))) == {"a": 5, "b": 6, "c": None}


def test_a_union_has_one_member_or_none():
    known = types(Structure("U", "union", (Field("n", INT32), Field("t", STRING))))
    assert read(known, wrapped(struct.pack("<I", 2) + text("x"))) == {"n": None, "t": "x"}
    assert read(known, wrapped(struct.pack("<I", 0))) == {"n": None, "t": None}


def test_dimensions_of_a_field_are_nested():
    known = types(Structure("P", "plain", (Field("grid", INT32, rank=2),)))
    assert read(known, wrapped(struct.pack("<3i6i", 2, 2, 3, *range(6)))) == {"grid": [[0, 1, 2], [3, 4, 5]]}


def test_arrays_of_structures():
    known = types(Structure("P", "plain", (Field("x", INT32),)))
    one = struct.pack("<BBHBii", 1, 2, 101, 1, 4, 7)
    assert read(known, bytes([22 | 0x80]) + struct.pack("<i", 2) + one + one) == [{"x": 7}, {"x": 7}]


def test_an_unknown_type_is_met_once_and_passed_on_as_bytes():
    known = types(Structure("P", "plain", ()))
    assert read(known, wrapped(b"\x01\x02", 999)) == {"type": "ns=2;i=999", "body": "AQI="}
    assert known.missing == {ua.NodeId(999, 2)}
    known.encodings[ua.NodeId(999, 2)] = None
    known.missing.clear()
    read(known, wrapped(b"\x01\x02", 999))
    assert not known.missing


@pytest.mark.parametrize("body", [b"", b"\x01", struct.pack("<iii", 1, 2, 3), struct.pack("<i", 2**31 - 1)])
def test_a_body_that_is_not_as_defined_costs_only_itself(body):
    known = types(Structure("P", "plain", (Field("x", INT32, rank=1),)))
    one = struct.pack("<BBHBi", 1, 2, 101, 1, len(body)) + body
    good = struct.pack("<BBHBiii", 1, 2, 101, 1, 8, 1, 7)
    first, second = read(known, bytes([22 | 0x80]) + struct.pack("<i", 2) + one + good)
    assert first["type"] == "ns=2;i=101"
    assert second == {"x": [7]}


def test_the_same_id_may_be_another_type_in_another_session():
    body = wrapped(struct.pack("<f", 1.5))
    first, second = (types(Structure("P", "plain", (Field(name, kind),))) for name, kind in (("x", FLOAT), ("n", INT32)))
    assert (read(first, body), read(second, body)) == ({"x": 1.5}, {"n": 0x3FC00000})


def test_a_structure_within_itself_ends():
    known = types(Structure("P", "plain", (Field("inner", POINT),)))
    assert read(known, wrapped(b""))["type"] == "ns=2;i=101"


@examples(3)
@given(st.binary(max_size=60), st.sampled_from([22, 22 | 0x80, 22 | 0xC0]))
def test_random_bytes_are_a_value_or_an_error(data, head):
    fields = (Field("a", INT32, rank=2), Field("b", STRING, optional=True), Field("c", ua.NodeId(24)), Field("d", POINT, 1))
    known = types(Structure("P", "optional", fields))
    known.known[ua.NodeId(24)] = 24
    for raw in (bytes([head]) + data, wrapped(data)):
        with contextlib.suppress(WireError, ua.UaError, ValueError, IndexError, struct.error):
            known.variant(raw, 0, plain)


def test_definitions_are_taken_from_the_attribute():
    told = ua.StructureDefinition(StructureType=ua.StructureType.Union)
    told.Fields = [
        ua.StructureField(Name="n", DataType=INT32, ValueRank=-1),
        ua.StructureField(Name="m", DataType=FLOAT, ValueRank=2),
    ]
    assert definition_of("U", told) == Structure("U", "union", (Field("n", INT32), Field("m", FLOAT, 2)))
    enum = ua.EnumDefinition(Fields=[ua.EnumField(Value=7, Name="Faulty", DisplayName=ua.LocalizedText("gestört"))])
    assert definition_of("E", enum) == Enumeration({7: "gestört"})
    assert definition_of("X", None) is None


def test_types_of_the_standard_need_no_server():
    assert [standard_type(ua.NodeId(n)) for n in (6, 26, 290, 22)] == [6, 24, 11, 22]
    assert standard_type(ua.NodeId(884)) is ua.Range
    assert standard_type(ua.NodeId(852)).labels[0] == "Running"
    assert standard_type(ua.NodeId(6, 2)) is None


def test_lists_that_do_not_fit_their_dimensions_are_refused():
    assert reshaped([1, 2, 3, 4], [2, 2]) == [[1, 2], [3, 4]]
    assert reshaped([], [0, 3]) == []
    for values, dimensions in (([1, 2], [2, 2]), ([1], [-1, -1]), ([1, 2], [])):
        with pytest.raises(WireError):
            reshaped(values, dimensions)


def test_a_long_array_of_nulls_ends_at_once():
    """Elements of no bytes: the length alone would keep the gateway busy for minutes, and its memory full."""
    with pytest.raises(TooLarge):
        read(Types(), bytes([0x80]) + struct.pack("<i", 2**31 - 1))


def test_floats_have_the_digits_they_need():
    assert [shortest(value) for value in (23.450000762939453, 0.10000000149011612, float("inf"))] == [
        23.45,
        0.1,
        float("inf"),
    ]


def point(x: int) -> bytes:
    return struct.pack("<BBHBii", 1, 2, 101, 1, 4, x)


def test_structures_in_variants_and_data_values_are_decoded_wherever_they_stand():
    known = types(Structure("P", "plain", (Field("x", INT32),)))
    many = bytes([22 | 0xC0]) + struct.pack("<i", 2) + point(1) + point(2) + struct.pack("<iii", 2, 2, 1)
    value = bytes([23, 0x3F, 22]) + point(3) + bytes(4 + 8 + 2 + 8 + 2)
    list_of_variants = bytes([24 | 0x80]) + struct.pack("<i", 3) + bytes([22]) + point(4) + many + value
    assert read(known, list_of_variants) == [{"x": 4}, [[{"x": 1}], [{"x": 2}]], {"x": 3}]
    assert read(known, bytes([23, 0])) is None
    assert read(known, bytes([24 | 0x80]) + struct.pack("<i", -1)) is None


def test_a_variant_field_of_a_structure_may_hold_another_structure():
    known = types(Structure("P", "plain", (Field("x", INT32),)))
    known.known |= {ua.NodeId(24): 24, ua.NodeId(7, 2): Structure("H", "plain", (Field("any", ua.NodeId(24)),))}
    known.encodings[ua.NodeId(107, 2)] = ua.NodeId(7, 2)
    assert read(known, wrapped(bytes([22]) + point(5), 107)) == {"any": {"x": 5}}
    assert read(known, wrapped(bytes([13]) + struct.pack("<q", 1), 107)) == {"any": "1601-01-01T00:00:00.0000001+00:00"}


def test_variants_within_variants_end():
    with pytest.raises(WireError, match="nested too deeply"):
        read(types(Structure("P", "plain", ())), (bytes([24 | 0x80]) + struct.pack("<i", 1)) * 40)


@pytest.mark.parametrize("count", [500])
def test_empty_structures_cost_no_more_than_bytes(count: int):
    known = types(Structure("P", "plain", (Field("inner", ua.NodeId(8, 2), rank=1),)))
    known.known |= {
        ua.NodeId(8, 2): Structure("L", "plain", (Field("all", ua.NodeId(9, 2), rank=1),)),
        ua.NodeId(9, 2): Structure("E", "plain", ()),
    }
    body = struct.pack("<i", count) + struct.pack("<i", 30_000) * count
    assert read(known, wrapped(body))["type"] == "ns=2;i=101"


@pytest.mark.parametrize(
    ("scale", "number", "told"),
    [(2, -12345, "-123.45"), (0, 7, "7"), (-3, 5, "5E+3"), (1, 10**30 + 1, f"1{'0' * 29}.1"), (2, 0, "0.00")],
)
def test_decimals_are_exact(scale, number, told):
    size = number.bit_length() // 8 + 1
    assert decimal_text(struct.pack("<h", scale) + number.to_bytes(size, "little", signed=True)) == told
    body = struct.pack("<hq", scale, 3)
    decimal = bytes([22]) + struct.pack("<BBBi", 0, 50, 1, len(body)) + body
    assert Decimal(str(read(Types(), decimal))) == Decimal(3).scaleb(-scale)


@pytest.mark.parametrize("body", [b"", b"\0\0", bytes(1000)])
def test_decimals_without_a_number_or_of_a_thousand_bytes_are_told_as_bytes(body):
    decimal = bytes([22]) + struct.pack("<BBBi", 0, 50, 1, len(body)) + body
    assert read(Types(), decimal) == {"type": "i=50", "body": plain(body)}


def test_sets_of_bits_are_as_wide_as_what_they_are_derived_from():
    byte, wide = ua.NodeId(21, 2), ua.NodeId(22, 2)
    known = types(
        Structure("P", "plain", (Field("a", byte), Field("b", wide), Field("c", ua.NodeId(15031)), Field("n", INT32)))
    )
    known.known |= {byte: OptionSet({0: "on"}, 3), wide: OptionSet({}, 9), ua.NodeId(15031): standard_type(ua.NodeId(15031))}
    assert read(known, wrapped(struct.pack("<BQBi", 5, 2**63, 3, -1))) == {"a": 5, "b": 2**63, "c": 3, "n": -1}


def test_a_type_without_a_description_may_stand_where_subtypes_are_allowed():
    """What stands there says itself what it is."""
    nobody = ua.NodeId(30, 2)
    known = types(Structure("P", "plain", (Field("x", INT32),)))
    known.known |= {nobody: Undescribed(), ua.NodeId(7, 2): Structure("H", "plain", (Field("any", nobody, wrapped=True),))}
    known.encodings[ua.NodeId(107, 2)] = ua.NodeId(7, 2)
    assert read(known, wrapped(point(5), 107)) == {"any": {"x": 5}}


def test_the_field_that_is_not_as_defined_is_named():
    known = types(Structure("P", "plain", (Field("x", INT32), Field("name", STRING))))
    with capture_logs() as logs:
        for _ in range(2):
            read(known, wrapped(struct.pack("<ii", 1, 1000)))
    assert [one["event"].partition("as here: ")[2][:9] for one in logs] == ["P.name: N"], "once for each type"


def test_types_are_doubted_once_in_an_answer_and_seldom_in_a_session():
    """A value that is not as its type says has the types asked again: first that, then the complaint."""
    known = types(Structure("P", "plain", (Field("x", INT32),)))
    doubted = 0
    with capture_logs() as logs:
        for _ in range(30):
            known.may_doubt = True
            read(known, wrapped(b"\0"))
            doubted += known.is_doubtful
            assert known.may_doubt != known.is_doubtful
            known.is_doubtful = False
            read(known, wrapped(b"\0"))
    assert doubted == MOST_DOUBTS
    assert len(logs) == 1
    known.forget()
    assert (known.known, known.encodings, known.named, known.is_doubtful) == ({}, {}, {}, False)
