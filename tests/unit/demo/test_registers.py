"""Registers of the simulated device read back through the gateway's own decoder."""

import numpy as np
import pytest

from gateway.demo.registers import RegisterImage, to_words
from gateway.sources.modbus.decode import Decoder
from gateway.sources.modbus.plan import Request, Span
from gateway.sources.modbus.tag import ModbusTag
from gateway.sources.modbus.types import DTYPES


def tag(**keys: object) -> ModbusTag:
    return ModbusTag.model_validate({"name": "t", "address": "holding:0"} | keys)


def decoded(one: ModbusTag, words: list[int], order: str = "ABCD") -> float:
    request = Request("holding", 0, len(words), (Span(0, len(words), 0),))
    decoded = Decoder(request, [one], order)(np.array(words, ">u2").tobytes())
    return float(decoded.value[0])


@pytest.mark.parametrize("order", ["ABCD", "BADC", "CDAB", "DCBA"])
@pytest.mark.parametrize("kind", [kind for kind in DTYPES if kind != "bool"])
def test_every_type_and_byte_order_reads_back(kind, order):
    assert decoded(tag(type=kind), to_words(tag(type=kind), order, 45.0), order) == 45


def test_scale_and_offset_are_undone():
    one = tag(type="int16", scale=0.1, offset=-40)
    assert decoded(one, to_words(one, "ABCD", 21.5)) == 21.5


def test_a_tag_has_its_own_byte_order():
    one = tag(type="float32", byte_order="CDAB")
    assert decoded(one, to_words(one, "ABCD", 1.5)) == 1.5


@pytest.mark.parametrize(
    ("kind", "value", "edge"), [("int16", -1e9, -32768), ("uint16", -5, 0), ("uint32", 1e12, 2**32 - 1)]
)
def test_values_beyond_the_type_end_at_its_edge(kind, value, edge):
    assert decoded(tag(type=kind), to_words(tag(type=kind), "ABCD", value)) == edge


def test_image_puts_each_tag_where_it_stands():
    tags = [
        tag(name="a", address="holding:3", type="uint32"),
        tag(name="b", address="coil:1"),
        tag(name="c", address="input:0"),
    ]
    image = RegisterImage(tags, "ABCD")
    image.update({"a": 65538.0, "b": True, "c": 7})
    assert image.tables == {"coil": [0, 1], "discrete": [0], "holding": [0, 0, 0, 1, 2], "input": [7]}


def test_parts_of_a_register_leave_the_rest_alone():
    tags = [tag(name="low", type="int8"), tag(name="high", type="uint8", byte="high", mask="0xF0")]
    image = RegisterImage([*tags, tag(name="bit", bit=8)], "ABCD")
    image.update({"low": -2.0, "high": 10.0, "bit": 1.0})
    assert image.tables["holding"] == [0xA1FE]


def test_text_shows_the_number():
    assert to_words(tag(type="string", length=4, byte_order="BADC"), "ABCD", 17.5) == [0x3731, 0x352E]
