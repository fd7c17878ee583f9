"""Type dictionaries: from XML to definitions, from bytes to values by them."""

import contextlib
import struct

import pytest
from asyncua import ua
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.sources.opcua.client.responses import plain
from gateway.sources.opcua.codec.legacy_schema import MOST_BYTES, BadDictionary, parse_dictionary
from gateway.sources.opcua.codec.legacy_structures import LegacyStructure, TypeName
from gateway.sources.opcua.codec.types.structures import Types

URN = "urn:plc"
HEAD = (
    '<opc:TypeDictionary xmlns:opc="http://opcfoundation.org/BinarySchema/" xmlns:ua="http://opcfoundation.org/UA/" '
    f'xmlns:tns="{URN}" DefaultByteOrder="LittleEndian" TargetNamespace="{URN}">'
)
ENCODING = ua.NodeId(101, 2)


def dictionary(body: str) -> bytes:
    return (HEAD + body + "</opc:TypeDictionary>").encode()


def fields(*given_fields: str, name: str = "P", more: str = "") -> str:
    lines = "".join(f"<opc:Field {one}/>" for one in given_fields)
    return f'<opc:StructuredType Name="{name}" {more}>{lines}</opc:StructuredType>'


def field(name: str, kind: str, more: str = "") -> str:
    return f'Name="{name}" TypeName="{kind}" {more}'


def types(content: bytes) -> Types:
    told = parse_dictionary(content)
    named = {TypeName(told.namespace, name): one for name, one in told.types.items()}
    return Types({ENCODING: told.types.get("P")}, {ENCODING: ENCODING}, named=named)


def read(known: Types, body: bytes) -> object:
    data = bytes([22]) + struct.pack("<BBHBi", 1, 2, 101, 1, len(body)) + body
    value, end = known.variant(data, 0, plain)
    assert end == len(data)
    return value


def raw(body: bytes) -> dict[str, object]:
    return {"type": "ns=2;i=101", "body": plain(body)}


def text(value: str) -> bytes:
    return struct.pack("<i", len(value)) + value.encode()


def test_plain_fields_nested_structures_enumerations_and_standard_types():
    known = types(
        dictionary(
            fields(
                field("x", "opc:Float"),
                field("mode", "tns:Mode"),
                field("name", "opc:CharArray"),
                field("label", "ua:LocalizedText"),
                field("range", "ua:Range"),
                field("state", "ua:ServerState"),
                field("at", "opc:DateTime"),
                field("inner", "tns:Q"),
            )
            + fields(field("n", "opc:Int64"), name="Q")
            + '<opc:EnumeratedType Name="Mode" LengthInBits="32"><opc:EnumeratedValue Name="on"/></opc:EnumeratedType>'
        )
    )
    body = struct.pack("<fi", 23.45, 1) + text("press") + b"\x02" + text("runs") + struct.pack("<ddiqq", -1, 5, 2, 1, 2**60)
    assert read(known, body) == {
        "x": 23.45,
        "mode": 1,
        "name": "press",
        "label": "runs",
        "range": {"Low": -1.0, "High": 5.0},
        "state": 2,
        "at": "1601-01-01T00:00:00.0000001+00:00",
        "inner": {"n": 2**60},
    }


def test_arrays_have_their_length_in_a_field_before_them():
    known = types(
        dictionary(
            fields(
                field("NoOfxs", "opc:Int32"),
                field("xs", "opc:Int16", 'LengthField="NoOfxs"'),
                field("size", "opc:Byte"),
                field("unit", "opc:Byte"),
                field("qs", "tns:Q", 'LengthField="size"'),
                field("fixed", "opc:UInt16", 'Length="2"'),
            )
            + fields(field("on", "opc:Boolean"), name="Q")
        )
    )
    assert read(known, struct.pack("<ihhBB?HH", 2, 7, -8, 1, 9, True, 3, 4)) == {
        "xs": [7, -8],
        "unit": 9,
        "qs": [{"on": True}],
        "fixed": [3, 4],
    }
    assert read(known, struct.pack("<iBBHH", -1, 0, 9, 3, 4)) == {"xs": None, "unit": 9, "qs": [], "fixed": [3, 4]}
    too_many = struct.pack("<ihh", 1000, 7, -8)
    assert read(known, too_many) == raw(too_many)


def test_bits_say_which_fields_are_there():
    known = types(
        dictionary(
            fields(
                field("aSpecified", "opc:Bit"),
                field("bSpecified", "opc:Bit"),
                field("Reserved1", "opc:Bit", 'Length="30"'),
                field("always", "opc:Int32"),
                field("a", "opc:Int32", 'SwitchField="aSpecified"'),
                field("b", "opc:String", 'SwitchField="bSpecified"'),
            )
        )
    )
    assert read(known, struct.pack("<Iii", 1, 5, 6)) == {"always": 5, "a": 6, "b": None}
    assert read(known, struct.pack("<Ii", 2, 5) + text("x")) == {"always": 5, "a": None, "b": "x"}


def test_bits_of_their_own_are_values():
    known = types(
        dictionary(fields(field("ready", "opc:Bit"), field("step", "opc:Bit", 'Length="5"'), field("n", "opc:Byte")))
    )
    assert read(known, bytes([0b0010_1011, 7])) == {"ready": True, "step": 0b10101, "n": 7}


def test_a_union_has_the_member_that_its_switch_names():
    known = types(
        dictionary(
            fields(
                field("SwitchField", "opc:UInt32"),
                field("n", "opc:Int32", 'SwitchField="SwitchField" SwitchValue="1"'),
                field("t", "opc:String", 'SwitchField="SwitchField" SwitchValue="2"'),
            )
        )
    )
    assert read(known, struct.pack("<Ii", 1, 5)) == {"n": 5, "t": None}
    assert read(known, struct.pack("<I", 2) + text("x")) == {"n": None, "t": "x"}
    assert read(known, struct.pack("<I", 0)) == {"n": None, "t": None}
    assert read(known, struct.pack("<Ii", 3, 5)) == raw(struct.pack("<Ii", 3, 5))


def test_a_switch_may_compare():
    switch = 'SwitchField="size" SwitchOperand="{}" SwitchValue="2"'
    known = types(
        dictionary(
            fields(
                field("size", "opc:Byte"),
                field("more", "opc:Byte", switch.format("GreaterThan")),
                field("less", "opc:Byte", switch.format("LessThanOrEqual")),
            )
        )
    )
    assert read(known, bytes([3, 9])) == {"size": 3, "more": 9, "less": None}
    assert read(known, bytes([2, 9])) == {"size": 2, "more": None, "less": 9}


@pytest.mark.parametrize(
    "beyond",
    [
        field("x", "opc:Byte", 'Terminator="0"'),
        field("x", "opc:Byte", 'Terminator=""'),
        field("x", "opc:Bit", 'Terminator="01"'),
        field("x", "opc:Bit", 'LengthField="n"'),
        field("x", "opc:Byte", 'LengthField="later"'),
        field("x", "opc:Byte", 'SwitchField="later"'),
        field("x", "opc:Byte", 'SwitchField="n" SwitchOperand="Like" SwitchValue="1"'),
        field("x", "opc:Byte", 'LengthField="s"'),
        field("x", "opc:Bit", 'Length="65"'),
        field("x", "opc:Bit", 'Length="9" IsLengthInBytes="true"'),
        field("x", "opc:Byte", 'Length="many"'),
        field("x", "opc:Byte", f'Length="{"9" * 5000}"'),
    ],
)
def test_what_cannot_be_read_costs_the_structure_alone_and_its_field_is_named(beyond):
    told = parse_dictionary(
        dictionary(
            fields(field("n", "opc:Int32"), field("s", "opc:String"), beyond) + fields(field("n", "opc:Int32"), name="Q")
        )
    )
    assert list(told.types) == ["Q"]
    assert told.refused["P"].startswith("x: ")


def test_a_type_that_nobody_describes_costs_what_holds_it():
    known = types(dictionary(fields(field("inner", "tns:Nowhere"))))
    assert read(known, b"\x01") == raw(b"\x01")
    known = types(dictionary(fields(field("inner", "tns:P"))))
    assert read(known, b"\x01") == raw(b"\x01")


def test_structures_without_content_cost_no_time():
    """Each level would multiply the number of values by the body's length."""
    levels = "".join(fields(field("some", f"tns:L{n + 1}", 'Length="200"'), name=f"L{n}") for n in range(5))
    known = types(dictionary(fields(field("all", "tns:L0", 'Length="200"')) + levels + fields(name="L5")))
    body = bytes(1000)
    assert read(known, body) == raw(body)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0",
        b"<a/>",
        b"no xml",
        dictionary("<opc:StructuredType>"),
        b'<?xml version="1.0" encoding="nonsense"?>' + dictionary(""),
        b"<!DOCTYPE x [<!ENTITY e 'x'>]>" + dictionary(fields(field("&e;", "opc:Byte"))),
        b'<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd">' + dictionary(""),
        dictionary("<a>" * 20 + "</a>" * 20),
        dictionary(fields(field("&lol;", "opc:Byte"))),
        b" " * (MOST_BYTES + 1),
    ],
)
def test_a_broken_dictionary_is_refused(content):
    with pytest.raises(BadDictionary):
        parse_dictionary(content)


def test_the_zeros_that_plcs_put_behind_their_dictionary_do_no_harm():
    content = dictionary(fields(field("n", "opc:Byte"))) + b"\0\0\0"
    assert isinstance(parse_dictionary(content).types["P"], LegacyStructure)


GOOD = dictionary(
    fields(
        field("f", "opc:Bit"),
        field("r", "opc:Bit", 'Length="31"'),
        field("NoOfxs", "opc:Int32"),
        field("xs", "tns:Q", 'LengthField="NoOfxs"'),
        field("o", "ua:Variant", 'SwitchField="f"'),
        field("s", "opc:String"),
    )
    + fields(field("p", "tns:P"), field("d", "ua:DataValue"), name="Q")
)
PIECES = [
    b"opc:Field",
    b'Length="3"',
    b"opc:Int32",
    b"tns:P",
    b"<",
    b'"',
    b"/>",
    b"LengthField",
    b"SwitchField",
    b"opc:Bit",
    b"",
]


@settings(max_examples=300, deadline=None)
@given(st.data(), st.binary(max_size=80))
def test_altered_dictionaries_and_random_bytes_end_in_a_value_or_an_error(data, body):
    content = GOOD
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(content)))
        length = data.draw(st.integers(0, 12))
        content = content[:at] + data.draw(st.sampled_from(PIECES) | st.binary(max_size=4)) + content[at + length :]
    with contextlib.suppress(BadDictionary):
        known = types(content)
        value = read(known, body)
        assert value == raw(body) or isinstance(value, dict)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5), st.booleans(), st.text(max_size=5))
def test_what_was_written_by_a_dictionary_is_read_by_it(numbers, there, word):
    known = types(
        dictionary(
            fields(
                field("there", "opc:Bit"),
                field("Reserved", "opc:Bit", 'Length="31"'),
                field("NoOfns", "opc:Int32"),
                field("ns", "opc:Int32", 'LengthField="NoOfns"'),
                field("word", "opc:String", 'SwitchField="there"'),
            )
        )
    )
    encoded = word.encode()
    body = struct.pack(f"<Ii{len(numbers)}i", there, len(numbers), *numbers)
    body += struct.pack("<i", len(encoded)) + encoded if there else b""
    assert read(known, body) == {"ns": numbers, "word": word if there else None}


def test_errors_name_the_field_that_is_not_as_described():
    known = types(
        dictionary(
            fields(field("n", "opc:Byte"), field("inner", "tns:Q"))
            + fields(field("x", "opc:Byte"), field("y", "opc:Int32"), name="Q")
        )
    )
    with capture_logs() as logs:
        for _ in range(2):
            assert read(known, b"\1\2\3") == raw(b"\1\2\3")
    assert ["P.inner: Q.y: Not enough data" in one["event"] for one in logs] == [True], "once for each type"
