"""Each rule of the dictionary's schema (OPC UA Part 5, C.2 to C.4), with bytes written by hand from its text."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.sources.opcua.codec.errors import TooLarge
from gateway.sources.opcua.codec.legacy_schema import BadDictionary
from tests.support.examples import examples
from tests.unit.sources.opcua.codec.test_legacy_schema import dictionary, field, fields, raw, read, types

BIG = 'DefaultByteOrder="BigEndian"'
LITTLE = 'DefaultByteOrder="LittleEndian"'


def told(body: str, wire: str) -> object:
    """What a dictionary makes of hexadecimal bytes."""
    return read(types(dictionary(body)), bytes.fromhex(wire))


def test_values_go_on_up_to_their_terminator():
    """The example of C.4: 32767 in LittleEndian ends the list; and a field may follow."""
    body = fields(field("Value", "opc:Int16", 'Terminator="FF7F"'), field("n", "opc:Byte"))
    assert told(body, "0100 FEFF FF7F 09") == {"Value": [1, -2], "n": 9}
    assert told(body, "FF7F 09") == {"Value": [], "n": 9}
    for cut in ("", "01", "0100 FF7F", "0100 0200 0300"):
        assert told(body, cut) == raw(bytes.fromhex(cut)), "without its end it is not as described"


def test_characters_in_a_row_are_a_text():
    body = fields(
        field("zero", "opc:Char", 'Terminator="00"'),
        field("tab", "opc:WideChar", 'Terminator="0900"'),
        field("fixed", "opc:Char", 'Length="6"'),
        field("one", "opc:Char"),
        field("size", "opc:Byte"),
        field("counted", "opc:WideChar", 'LengthField="size"'),
    )
    wire = "61C3A400 D8000900 616200000000 78 02 3DD889DE".replace(" ", "")
    assert told(body, wire) == {"zero": "aä", "tab": "Ø", "fixed": "ab", "one": "x", "counted": "\U0001f689"}
    assert told(fields(field("t", "opc:Char", 'Length="2"')), "FF41") == {"t": [255, 65]}, "Latin-1 is not guessed"
    assert told(fields(field("t", "opc:WideChar", 'Length="1"')), "3DD8") == {"t": [0xD83D]}


@pytest.mark.parametrize("name", ["WideString", "WideCharArray"])
def test_a_wide_text_is_preceded_by_the_number_of_its_code_units(name):
    body = fields(field("t", f"opc:{name}"), field("n", "opc:Byte"))
    assert told(body, "02000000 4100 AC20 07") == {"t": "A€", "n": 7}
    assert told(body, "FFFFFFFF 07") == {"t": None, "n": 7}
    assert told(body, "00000000 07") == {"t": "", "n": 7}
    for spoilt in ("01000000 3DD8 07", "FFFFFF7F 4100", "02000000 4100 07"):
        assert told(body, spoilt) == raw(bytes.fromhex(spoilt))
    assert told(fields(field("t", f"opc:{name}"), more=BIG), "00000002 0041 20AC") == {"t": "A€"}


def test_the_highest_byte_comes_first_where_the_dictionary_says_so():
    body = fields(
        field("flag", "opc:Boolean"),
        field("i8", "opc:SByte"),
        field("i16", "opc:Int16"),
        field("u16", "opc:UInt16"),
        field("i32", "opc:Int32"),
        field("u32", "opc:UInt32"),
        field("i64", "opc:Int64"),
        field("u64", "opc:UInt64"),
        field("f", "opc:Float"),
        field("d", "opc:Double"),
        field("s", "opc:String"),
        field("at", "opc:DateTime"),
        field("id", "opc:Guid"),
        field("raw", "opc:ByteString"),
        field("code", "ua:StatusCode"),
        field("mode", "tns:Mode"),
        field("wide", "opc:WideChar", 'Terminator="0009"'),
        more=BIG,
    )
    modes = '<opc:EnumeratedType Name="Mode" LengthInBits="32"/>'
    wire = (
        "01 FE FFFE 8000 FFFFFFFE 80000000 FFFFFFFFFFFFFFFE 8000000000000000 3FC00000 BFF8000000000000 00000002 6162"
        "00000000 00989680 72962B91FA754AE68D28B404DC7DAF63 00000001 FF 80340000 00000005 0041 0009"
    )
    assert told(body + modes, wire) == {
        "flag": True,
        "i8": -2,
        "i16": -2,
        "u16": 0x8000,
        "i32": -2,
        "u32": 2**31,
        "i64": -2,
        "u64": 2**63,
        "f": 1.5,
        "d": -1.5,
        "s": "ab",
        "at": "1601-01-01T00:00:01+00:00",
        "id": "72962b91-fa75-4ae6-8d28-b404dc7daf63",
        "raw": "/w==",
        "code": 0x80340000,
        "mode": 5,
        "wide": "A",
    }


def test_the_order_of_bytes_is_that_of_the_nearest_that_says_one():
    """C.2.3: an inner structure overrides what is around it, and without a word of its own has the same."""
    body = (
        fields(field("n", "opc:Int16"), field("same", "tns:Same"), field("own", "tns:Own", 'Length="2"'), more=BIG)
        + fields(field("n", "opc:Int16"), name="Same")
        + fields(field("n", "opc:Int16"), name="Own", more=LITTLE)
    )
    assert told(body, "0001 0002 0300 0400") == {"n": 1, "same": {"n": 2}, "own": [{"n": 3}, {"n": 4}]}
    whole = dictionary(fields(field("n", "opc:Int16"))).replace(b'DefaultByteOrder="LittleEndian"', BIG.encode())
    assert read(types(whole), b"\0\1") == {"n": 1}
    assert read(types(whole.replace(b'Name="P"', b'Name="P" DefaultByteOrder="LittleEndian"')), b"\1\0") == {"n": 1}


def test_what_has_no_highest_byte_first_costs_the_structure():
    with capture_logs() as logs:
        for kind in ("ua:Variant", "ua:NodeId", "ua:Range"):
            assert told(fields(field("n", kind), more=BIG), "00" * 16) == raw(bytes(16))
    assert any("P.n: " in one["event"] for one in logs)


def test_lengths_may_be_in_bytes():
    body = fields(
        field("size", "opc:UInt16"),
        field("some", "tns:Q", 'LengthField="size" IsLengthInBytes="true"'),
        field("four", "opc:Int16", 'Length="4" IsLengthInBytes="true"'),
        field("bits", "opc:Bit", 'Length="2" IsLengthInBytes="true"'),
    ) + fields(field("t", "opc:String"), name="Q")
    q = {"t": "a"}
    assert told(body, "0A00 0100000061 0100000061 0100 0200 0102") == {"some": [q, q], "four": [1, 2], "bits": 0x0201}
    assert told(body, "0000 0100 0200 0102") == {"some": [], "four": [1, 2], "bits": 0x0201}
    wrong = "0900 0100000061 0100000061 0100 0200 0102"
    assert told(body, wrong) == raw(bytes.fromhex(wrong)), "the second value ends behind the ninth byte"


def test_a_length_that_is_not_there_is_one_and_a_negative_one_none():
    """C.2.6, and the union of C.4, whose members are single values unless an array's length is there."""
    body = fields(
        field("ArrayLengthSpecified", "opc:Bit", 'Length="1"'),
        field("VariantType", "opc:Bit", 'Length="7"'),
        field("ArrayLength", "opc:Int32", 'SwitchField="ArrayLengthSpecified"'),
        field("Int32", "opc:Int32", 'LengthField="ArrayLength" SwitchField="VariantType" SwitchValue="1"'),
        field("String", "opc:String", 'LengthField="ArrayLength" SwitchField="VariantType" SwitchValue="2"'),
    )
    assert told(body, "02 07000000") == {"Int32": [7], "String": None}
    assert told(body, "05 02000000 0100000061 0100000062") == {"Int32": None, "String": ["a", "b"]}
    assert told(body, "03 FFFFFFFF") == {"Int32": None, "String": None}
    assert told(body, "0E") == {"Int32": None, "String": None}, "a type without a field of its own"


def test_a_length_may_be_in_bits():
    body = fields(
        field("n", "opc:Bit", 'Length="4"'), field("m", "opc:Bit", 'Length="4"'), field("x", "opc:Byte", 'LengthField="n"')
    )
    assert told(body, "52 0A0B") == {"m": 5, "x": [10, 11]}


def test_a_switch_without_a_value_is_on_for_all_but_zero_whatever_its_operand():
    body = fields(field("n", "opc:Byte"), field("x", "opc:Byte", 'SwitchField="n" SwitchOperand="Equals"'))
    assert [told(body, wire) for wire in ("00", "05 09")] == [{"n": 0, "x": None}, {"n": 5, "x": 9}]
    zero = fields(field("n", "opc:Byte"), field("x", "opc:Byte", 'SwitchField="n" SwitchValue="0"'))
    assert [told(zero, wire) for wire in ("00 09", "05")] == [{"n": 0, "x": 9}, {"n": 5, "x": None}]


def test_the_lowest_bits_come_first():
    """The quality of C.4."""
    body = fields(
        field("LimitBits", "opc:Bit", 'Length="2"'), field("QualityBits", "opc:Bit", 'Length="6"'), field("v", "opc:Byte")
    )
    assert told(body, "C1 07") == {"LimitBits": 1, "QualityBits": 0b110000, "v": 7}


def test_enumerations_have_any_number_of_bits_and_opaque_types_are_bytes():
    """The NodeId of UA's own dictionary begins with six bits of an enumeration."""
    body = (
        fields(
            field("kind", "tns:Six"),
            field("a", "opc:Bit"),
            field("b", "opc:Bit"),
            field("byte", "tns:Eight"),
            field("set", "tns:Set"),
            field("long", "tns:Int128"),
        )
        + '<opc:EnumeratedType Name="Six" LengthInBits="6"/><opc:EnumeratedType Name="Eight" LengthInBits="8"/>'
        + '<opc:EnumeratedType Name="Set" LengthInBits="32" IsOptionSet="true"/>'
        + '<opc:OpaqueType Name="Int128" LengthInBits="128" ByteOrderSignificant="true"/>'
    )
    known = types(dictionary(body))
    wire = bytes.fromhex("83 FF 000000F0") + bytes(15) + b"\1"
    assert read(known, wire) == {
        "kind": 3,
        "a": False,
        "b": True,
        "byte": 255,
        "set": 0xF0000000,
        "long": "AAAAAAAAAAAAAAAAAAAAAQ==",
    }
    nameless = types(dictionary(fields(field("x", "tns:Some")) + '<opc:OpaqueType Name="Some"/>'))
    assert read(nameless, b"\1") == raw(b"\1"), "nobody says how long it is"


def test_a_derived_structure_has_the_fields_of_its_base_once():
    base = fields(field("a", "opc:Byte"), name="Base")
    repeats = fields(field("a", "opc:Byte", 'SourceType="tns:Base"'), field("b", "opc:Byte"), more='BaseType="tns:Base"')
    adds = fields(field("b", "opc:Byte"), more='BaseType="tns:Base"')
    for body in (base + repeats, base + adds, adds + base):
        assert told(body, "01 02") == {"a": 1, "b": 2}
    further = fields(field("c", "opc:Byte"), more='BaseType="tns:Middle"')
    middle = fields(field("b", "opc:Byte"), name="Middle", more='BaseType="tns:Base"')
    assert told(further + middle + base, "01 02 03") == {"a": 1, "b": 2, "c": 3}
    assert told(fields(field("b", "opc:Byte"), more='BaseType="tns:P"'), "02") == {"b": 2}
    assert told(fields(field("b", "opc:Byte"), more='BaseType="ua:ExtensionObject"'), "02") == {"b": 2}


def test_types_of_the_schema_may_stand_without_their_prefix():
    assert told(fields('Name="on" TypeName="Bit"', 'Name="rest" TypeName="Bit" Length="7"'), "03") == {"on": True, "rest": 1}


KINDS = [
    "opc:Char",
    "opc:WideChar",
    "opc:WideString",
    "opc:Bit",
    "opc:Int16",
    "opc:String",
    "tns:Q",
    "ua:Variant",
    "tns:E",
    "tns:O",
]
MORE = [
    "",
    'Terminator="00"',
    'Terminator="0000"',
    'Length="3"',
    'Length="3" IsLengthInBytes="true"',
    'LengthField="f0"',
    'LengthField="f0" IsLengthInBytes="true"',
    'SwitchField="f0"',
    'SwitchField="f0" SwitchOperand="GreaterThan" SwitchValue="1"',
]
FIELDS = st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(MORE)), max_size=6)


@examples(4)
@given(FIELDS, FIELDS, st.sampled_from(["", BIG, 'BaseType="tns:Q"']), st.binary(max_size=60))
def test_any_dictionary_and_any_bytes_end_in_a_value_or_the_bytes(outer, inner, more, body):
    def some(given_fields):
        return [field("f0", "opc:Byte"), *(field(f"f{n}", *one) for n, one in enumerate(given_fields, 1))]

    content = (
        fields(*some(outer), more=more)
        + fields(*some(inner), name="Q")
        + '<opc:EnumeratedType Name="E" LengthInBits="6"/><opc:OpaqueType Name="O" LengthInBits="24"/>'
    )
    with contextlib.suppress(BadDictionary):
        known = types(dictionary(content))
        try:
            value = read(known, body)
        except TooLarge:  # a count that no bytes can be behind: the whole value is refused, before anything is made of it
            return
        assert value == raw(body) or isinstance(value, dict)
