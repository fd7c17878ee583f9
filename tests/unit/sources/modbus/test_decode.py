"""Decoding against an oracle that does one tag at a time with `struct`."""

import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.quality import Quality
from gateway.sources.modbus.config import REGISTERS, ModbusTag
from gateway.sources.modbus.decode import Decoder
from gateway.sources.modbus.plan import Request, Span, cover

FORMATS = {
    "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q", "float32": "f", "float64": "d",
}  # fmt: skip
ORDERS = {  # position on the wire -> letter, spelled out for every width
    "ABCD": {2: "AB", 4: "ABCD", 8: "ABCDEFGH"},
    "BADC": {2: "BA", 4: "BADC", 8: "BADCFEHG"},
    "CDAB": {2: "AB", 4: "CDAB", 8: "GHEFCDAB"},
    "DCBA": {2: "BA", 4: "DCBA", 8: "HGFEDCBA"},
}


def oracle(tag: ModbusTag, wire: bytes) -> float:
    """The number in `wire` before scaling."""
    letters = ORDERS[tag.byte_order or "ABCD"][len(wire)]
    value = bytes(wire[letters.index(letter)] for letter in "ABCDEFGH"[: len(wire)])
    if tag.value_type == "bool":
        return float(value != b"\0\0")
    return float(struct.unpack(">" + FORMATS[tag.value_type], value)[0])


def make(**keys: object) -> ModbusTag:
    return ModbusTag.model_validate({"name": "t", "address": "holding:0"} | keys)


def decode(tags: list[ModbusTag], payload: bytes) -> tuple[Any, Any]:
    (request,) = cover(tags[0].table, [Span(tag.start, tag.width, row) for row, tag in enumerate(tags)], 2000, 2000)
    values, quality = Decoder(request, tags, "ABCD")(payload)
    place = np.argsort(request.rows)
    return values[place], quality[place]


tags = st.lists(
    st.tuples(st.sampled_from(sorted(REGISTERS)), st.sampled_from(sorted(ORDERS)), st.integers(0, 60)),
    min_size=1,
    max_size=20,
).map(lambda rows: [make(address=f"holding:{start}", type=kind, byte_order=order) for kind, order, start in rows])


@given(tags, st.randoms(use_true_random=False))
def test_any_bytes_decode_as_the_oracle_says(chosen: list[ModbusTag], random: Any) -> None:
    first = min(tag.start for tag in chosen)
    payload = random.randbytes(2 * (max(tag.start + tag.width for tag in chosen) - first))
    values, quality = decode(chosen, payload)
    for tag, value, code in zip(chosen, values, quality, strict=True):
        place = 2 * (tag.start - first)
        expected = oracle(tag, payload[place : place + 2 * tag.width])
        if not math.isfinite(expected):
            assert math.isnan(value)
            assert code == Quality.BAD_NOT_A_NUMBER
        else:
            assert value == expected
            rounded = "64" in tag.value_type and tag.value_type != "float64" and abs(expected) > 2**53
            assert code == (Quality.UNCERTAIN_ROUNDED if rounded else Quality.GOOD)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("kind", "number"), [("float32", 123.5), ("float64", -1e-7), ("int32", -70_000), ("uint64", 2**40)])
def test_the_orders_by_their_field_names(kind: str, number: float, order: str) -> None:
    value = struct.pack(">" + FORMATS[kind], number)
    wire = bytes(value["ABCDEFGH".index(letter)] for letter in ORDERS[order][len(value)])
    assert decode([make(type=kind, byte_order=order)], wire)[0] == [number]


@given(st.integers(1, 2000), st.randoms(use_true_random=False))
def test_bits_come_lowest_first(count: int, random: Any) -> None:
    payload = random.randbytes((count + 7) // 8)
    places = sorted({0, count - 1, *(random.randrange(count) for _ in range(10))})
    values, _ = decode([make(address=f"coil:{place + 5}") for place in places], payload)
    assert list(values) == [payload[place // 8] >> place % 8 & 1 for place in places]


@pytest.mark.parametrize(
    ("raw", "scale", "offset", "expected"),
    [
        (234, "0.1", "0", 23.4),
        (3, "0.1", "0", 0.3),
        (7, "-0.001", "0", -0.007),
        (5, "2.5", "-40", -27.5),
        (9, "1", "1", 10.0),
    ],
)
def test_decimal_scales_give_the_decimal_number(raw: int, scale: str, offset: str, expected: float) -> None:
    values, quality = decode([make(scale=scale, offset=offset)], struct.pack(">H", raw))
    assert list(values) == [expected]
    assert list(quality) == [Quality.GOOD]


def test_a_value_scaled_out_of_range_is_bad() -> None:
    values, quality = decode([make(type="float64", scale="1e300"), make(address="holding:4")], struct.pack(">dH", 1e300, 7))
    assert math.isnan(values[0])
    assert list(quality) == [Quality.BAD_NOT_A_NUMBER, Quality.GOOD]


@pytest.mark.parametrize(
    ("kind", "number", "code"),
    [
        ("int64", 2**53, Quality.GOOD),
        ("int64", -(2**53) - 1, Quality.UNCERTAIN_ROUNDED),
        ("uint64", 2**53 + 1, Quality.UNCERTAIN_ROUNDED),
        ("int64", -(2**63), Quality.UNCERTAIN_ROUNDED),
    ],
)
def test_integers_beyond_2_53_are_marked(kind: str, number: int, code: Quality) -> None:
    assert decode([make(type=kind)], struct.pack(">" + FORMATS[kind], number))[1] == [code]


def test_the_devices_byte_order_holds_where_the_tag_has_none() -> None:
    pair = [make(type="float32"), make(address="holding:2", type="float32", byte_order="ABCD")]
    request = Request("holding", 0, 4, (Span(0, 2, 0), Span(2, 2, 1)))
    payload = struct.pack(">f", 1.5)[2:] + struct.pack(">f", 1.5)[:2] + struct.pack(">f", 2.5)
    assert list(Decoder(request, pair, "CDAB")(payload)[0]) == [1.5, 2.5]
