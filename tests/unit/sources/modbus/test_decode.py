"""Decoding against an oracle that does one tag at a time with `struct` and integers."""

import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.quality import Quality
from gateway.sources.modbus.decode import Decoded, Decoder
from gateway.sources.modbus.plan import Limits, Request, Span, cover
from gateway.sources.modbus.tag import ModbusTag
from gateway.sources.modbus.types import DTYPES, HALVES

FORMATS = {
    "int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q",
    "float16": "e", "float32": "f", "float64": "d",
}  # fmt: skip
ORDERS = {  # position on the wire -> letter, spelled out for every width
    "ABCD": {2: "AB", 4: "ABCD", 8: "ABCDEFGH"},
    "BADC": {2: "BA", 4: "BADC", 8: "BADCFEHG"},
    "CDAB": {2: "AB", 4: "CDAB", 8: "GHEFCDAB"},
    "DCBA": {2: "BA", 4: "DCBA", 8: "HGFEDCBA"},
}
ANY_PLACE = Limits(2000, 2000)


def straight(tag: ModbusTag, wire: bytes) -> bytes:
    """The bytes of `wire`, most significant first."""
    letters = ORDERS[tag.byte_order or "ABCD"][len(wire)]
    return bytes(wire[letters.index(letter)] for letter in "ABCDEFGH"[: len(wire)])


def oracle(tag: ModbusTag, wire: bytes) -> tuple[float | int | None, int]:
    """(raw number or None, quality) in `wire`, before rounding."""
    octets = straight(tag, wire)
    kind = tag.value_type
    if kind in HALVES:
        octets = octets[:1] if tag.byte == "high" else octets[1:]
    bits = int.from_bytes(octets, "big")
    if bits in {int(str(value), 16) for value in tag.not_available}:
        return None, Quality.BAD_NOT_AVAILABLE
    if tag.bit is not None:
        return bits >> tag.bit & 1, Quality.GOOD
    if tag.mask is not None:
        low = next(place for place in range(64) if tag.mask >> place & 1)
        return (int(bits & tag.mask != 0) if kind == "bool" else (bits & tag.mask) >> low), Quality.GOOD
    if kind == "bool":
        return int(bits != 0), Quality.GOOD
    if kind.startswith("sm"):
        sign = 1 << 8 * len(octets) - 1
        return (-(bits - sign) if bits >= sign else bits), Quality.GOOD
    if kind.startswith("bcd"):
        digits = octets.hex()
        return (int(digits), Quality.GOOD) if digits.isdecimal() else (None, Quality.BAD_NOT_A_NUMBER)
    number = struct.unpack(">" + FORMATS[kind], octets)[0]
    return (number, Quality.GOOD) if math.isfinite(number) else (None, Quality.BAD_NOT_A_NUMBER)


def make(**keys: object) -> ModbusTag:
    return ModbusTag.model_validate({"name": "t", "address": "holding:0"} | keys)


def decode(tags: list[ModbusTag], payload: bytes, order: str = "ABCD") -> tuple[Any, Any, dict[int, tuple[Any, int]]]:
    """Values and qualities by row of `tags` (NaN and 0 for texts), and the objects by row."""
    (request,) = cover(tags[0].table, [Span(tag.start, tag.width, row) for row, tag in enumerate(tags)], ANY_PLACE)
    decoder = Decoder(request, tags, order)
    found: Decoded = decoder(payload)
    values, quality = np.full(len(tags), np.nan), np.zeros(len(tags), np.uint8)
    rows = np.array(request.rows)[decoder.numeric]
    values[rows], quality[rows] = found.value, found.quality
    return values, quality, {request.rows[place]: (value, code) for place, value, code in found.objects}


def numbers() -> st.SearchStrategy[dict[str, object]]:
    """Any numeric tag in a register, with all that may go with its type."""

    def keys(kind: str) -> st.SearchStrategy[dict[str, object]]:
        bits = 16 if kind == "bool" else int("".join(c for c in kind if c.isdigit()))
        extra: dict[str, st.SearchStrategy[object]] = {}
        if kind in HALVES:
            extra["byte"] = st.sampled_from(["low", "high"])
        if kind.startswith("uint") or kind == "bool":
            extra["mask"] = st.none() | st.integers(1, (1 << bits) - 1)
        if kind != "bool":
            extra["not_available"] = st.lists(st.integers(0, (1 << bits) - 1).map(hex), max_size=2).map(tuple)
        order, start = st.sampled_from(sorted(ORDERS)), st.integers(0, 40).map(lambda at: f"holding:{at}")
        return st.fixed_dictionaries({"type": st.just(kind), "byte_order": order, "address": start}, optional=extra)

    bit = st.fixed_dictionaries(
        {"bit": st.integers(0, 15), "address": st.integers(0, 40).map(lambda at: f"holding:{at}"),
         "byte_order": st.sampled_from(sorted(ORDERS))}
    )  # fmt: skip
    return bit | st.sampled_from(sorted(DTYPES)).flatmap(keys)


tags = st.lists(numbers().map(lambda keys: make(**keys)), min_size=1, max_size=20)


@given(tags, st.randoms(use_true_random=False), st.booleans())
def test_any_bytes_decode_as_the_oracle_says(chosen: list[ModbusTag], random: Any, small: bool) -> None:
    first = min(tag.start for tag in chosen)
    size = 2 * (max(tag.start + tag.width for tag in chosen) - first)
    payload = bytes(random.choice([0, 1, 0x12, 0x80, 0xFF]) for _ in range(size)) if small else random.randbytes(size)
    values, quality, objects = decode(chosen, payload)
    for row, tag in enumerate(chosen):
        place = 2 * (tag.start - first)
        number, code = oracle(tag, payload[place : place + 2 * tag.width])
        if number is None:
            assert math.isnan(values[row])
            assert quality[row] == code
        elif isinstance(number, int) and abs(number) > 2**53:
            assert (values[row], quality[row]) == (float(number), Quality.UNCERTAIN_ROUNDED)
            assert objects[row] == (number, Quality.GOOD)
        else:
            assert (values[row], quality[row]) == (number, Quality.GOOD)
            assert row not in objects


@given(tags, st.sampled_from(sorted(ORDERS)), st.binary(min_size=90, max_size=90))
def test_a_sentinel_that_is_there_is_always_found(chosen: list[ModbusTag], order: str, payload: bytes) -> None:
    """The tag's own bits, whatever they are, written down as "not available"."""
    for tag in chosen:
        if tag.value_type == "bool" or tag.mask is not None:
            continue
        octets = straight(tag, payload[: 2 * tag.width])
        if tag.value_type in HALVES:
            octets = octets[:1] if tag.byte == "high" else octets[1:]
        marked = tag.model_copy(update={"address": "holding:0", "not_available": (f"0x{octets.hex()}",)})
        _, quality, _ = decode([marked], payload[: 2 * tag.width], order)
        assert quality[0] in (Quality.BAD_NOT_AVAILABLE, Quality.BAD_NOT_A_NUMBER)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("kind", "number"),
    [("float16", -2.5), ("float32", 123.5), ("float64", -1e-7), ("int32", -70_000), ("uint64", 2**40), ("int16", -3)],
)
def test_the_orders_by_their_field_names(kind: str, number: float, order: str) -> None:
    value = struct.pack(">" + FORMATS[kind], number)
    letters = ORDERS[order][len(value)]
    wire = bytes(value["ABCDEFGH".index(letter)] for letter in letters)
    assert decode([make(type=kind, byte_order=order)], wire)[0] == [number]
    if len(letters) == 8:
        assert decode([make(type=kind, byte_order=letters)], wire)[0] == [number]


@given(st.integers(1, 2000), st.randoms(use_true_random=False))
def test_bits_come_lowest_first(count: int, random: Any) -> None:
    payload = random.randbytes((count + 7) // 8)
    places = sorted({0, count - 1, *(random.randrange(count) for _ in range(10))})
    values, _, _ = decode([make(address=f"coil:{place + 5}") for place in places], payload)
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
    values, quality, _ = decode([make(scale=scale, offset=offset)], struct.pack(">H", raw))
    assert list(values) == [expected]
    assert list(quality) == [Quality.GOOD]


def test_a_value_scaled_out_of_range_is_bad() -> None:
    values, quality, _ = decode(
        [make(type="float64", scale="1e300"), make(address="holding:4")], struct.pack(">dH", 1e300, 7)
    )
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
def test_integers_beyond_2_53_are_marked_and_told_exactly(kind: str, number: int, code: Quality) -> None:
    _, quality, objects = decode([make(type=kind)], struct.pack(">" + FORMATS[kind], number))
    assert quality == [code]
    assert objects == ({} if code == Quality.GOOD else {0: (number, Quality.GOOD)})


def test_a_scaled_integer_beyond_2_53_is_only_rounded() -> None:
    _, quality, objects = decode([make(type="uint64", scale="0.1")], struct.pack(">Q", 2**60 + 1))
    assert (list(quality), objects) == ([Quality.UNCERTAIN_ROUNDED], {})


def test_an_integer_once_told_exactly_goes_on_so_after_it_has_wrapped() -> None:
    """Else the last large value would be repeated as if it still held."""
    decoder = Decoder(Request("holding", 0, 4, (Span(0, 4, 0),)), [make(type="uint64", not_available="0xFF")], "ABCD")
    told = [list(decoder(struct.pack(">Q", number)).objects) for number in (5, 2**60 + 1, 7, 0xFF)]
    good, absent = Quality.GOOD, Quality.BAD_NOT_AVAILABLE
    assert told == [[], [(0, 2**60 + 1, good)], [(0, 7, good)], [(0, None, absent)]]


def test_the_devices_byte_order_holds_where_the_tag_has_none() -> None:
    pair = [make(type="float32"), make(address="holding:2", type="float32", byte_order="ABCD")]
    payload = struct.pack(">f", 1.5)[2:] + struct.pack(">f", 1.5)[:2] + struct.pack(">f", 2.5)
    assert list(decode(pair, payload, "CDAB")[0]) == [1.5, 2.5]


@pytest.mark.parametrize(
    ("keys", "wire", "text"),
    [
        ({"length": 4}, b"ABCD", "ABCD"),
        ({"length": 4, "byte_order": "BADC"}, b"BADC", "ABCD"),
        ({"length": 4, "byte_order": "DCBA"}, b"BADC", "ABCD"),
        ({"length": 4, "byte_order": "CDAB"}, b"ABCD", "ABCD"),
        ({"length": 3}, b"ABCD", "ABC"),
        ({"length": 3, "byte_order": "BADC"}, b"BADC", "ABC"),
        ({"length": 6}, b"AB\0DEF", "AB"),
        ({"length": 6}, b"A B   ", "A B"),
        ({"length": 2}, b"\xc3\xa9", "é"),
        ({"length": 2, "encoding": "latin-1"}, b"\xe9\0", "é"),
    ],
)
def test_strings_in_both_byte_placements(keys: dict[str, object], wire: bytes, text: str) -> None:
    values, _, objects = decode([make(type="string", **keys)], wire)
    doubtful = b"\0D" in wire or b"\0E" in wire
    assert objects == {0: (text, Quality.UNCERTAIN_TEXT_AFTER_ZERO if doubtful else Quality.GOOD)}
    assert np.isnan(values).all()


def test_text_that_is_none_is_uncertain_and_raw_bytes_are_hexadecimal() -> None:
    pair = [make(type="string", length=2), make(type="bytes", length=3, address="holding:1")]
    _, _, objects = decode(pair, b"\xff\xfe\x00\x01\xab\xcd")
    assert objects == {0: ("\ufffd\ufffd", Quality.UNCERTAIN), 1: ("0001ab", Quality.GOOD)}


@pytest.mark.parametrize(
    ("raw", "told", "code"),
    [
        (1, "running", Quality.GOOD),
        (7, 7, Quality.UNCERTAIN_RANGE),
        (0xFFFF, None, Quality.BAD_NOT_AVAILABLE),
    ],
)
def test_labels_stand_beside_the_number(raw: int, told: object, code: Quality) -> None:
    tag = make(labels={0: "stopped", 1: "running"}, not_available=0xFFFF)
    values, quality, objects = decode([tag, make(address="holding:1")], struct.pack(">HH", raw, 5))
    assert objects == {0: (told, code)}
    assert quality[0] == (code if told is None else Quality.GOOD)
    assert math.isnan(values[0]) if told is None else values[0] == raw
    assert values[1] == 5


def test_labels_of_masks_and_bits() -> None:
    tags = [make(mask=0x0300, labels="0=auto | 2=hand"), make(bit=0, labels="0=shut | 1=open")]
    assert decode(tags, b"\x02\x01")[2] == {0: ("hand", Quality.GOOD), 1: ("open", Quality.GOOD)}
    assert decode([make(address="coil:0", labels={0: "shut", 1: "open"})], b"\x01")[2] == {0: ("open", Quality.GOOD)}


@pytest.mark.parametrize(
    ("kind", "written", "wire"),
    [
        ("int16", 0x8000, b"\x80\x00"),
        ("int16", -32768, b"\x80\x00"),
        ("float32", -9999, struct.pack(">f", -9999)),
        ("float32", "0x7F800001", b"\x7f\x80\x00\x01"),
        ("float64", 1e30, struct.pack(">d", 1e30)),
        ("bcd16", 9999, b"\x99\x99"),
        ("bcd16", "0xFFFF", b"\xff\xff"),
        ("uint8", 255, b"\x00\xff"),
    ],
)
def test_sentinels_as_people_write_them(kind: str, written: object, wire: bytes) -> None:
    values, quality, _ = decode([make(type=kind, not_available=written)], wire)
    assert math.isnan(values[0])
    assert list(quality) == [Quality.BAD_NOT_AVAILABLE]


SPREAD = b"\x00K\x00E\x00B\x00A\x00\x00\x00X"


@pytest.mark.parametrize(
    ("keys", "wire", "text", "quality"),
    [
        ({"length": 6, "byte": "low"}, SPREAD, "KEBA", Quality.GOOD),  # what is behind the end is the device's affair
        ({"length": 4, "byte": "low", "byte_order": "BADC"}, b"K\0E\0B\0A\0", "KEBA", Quality.GOOD),
        ({"length": 4, "byte": "high"}, b"K\0E\0B\0A\0", "KEBA", Quality.GOOD),
        ({"length": 12}, SPREAD, "", Quality.UNCERTAIN_TEXT_AFTER_ZERO),  # before: "", good
        ({"length": 4, "byte": "high"}, SPREAD, "", Quality.UNCERTAIN_TEXT_AFTER_ZERO),
        ({"length": 4, "byte": "low"}, b"KEBA\0\0\0\0", "EA", Quality.UNCERTAIN_TEXT_AFTER_ZERO),
        ({"length": 6}, b"AB\0\0  ", "AB", Quality.GOOD),
    ],
)
def test_text_with_one_character_per_register(keys: dict[str, object], wire: bytes, text: str, quality: Quality) -> None:
    _, _, objects = decode([make(type="string", **keys)], wire)
    assert objects == {0: (text, quality)}


@pytest.mark.parametrize(
    ("kind", "keys", "wire", "number"),
    [
        ("sm16", {}, b"\x80\x05", -5),
        ("sm8", {}, b"\x00\x85", -5),  # int8 reads -123
        ("sm8", {"byte": "high"}, b"\x85\x00", -5),
        ("sm32", {"byte_order": "CDAB"}, b"\x00\x07\x80\x01", -65543),
        ("sm16", {"scale": 0.1}, b"\x80\x7b", -12.3),
        ("sm16", {}, b"\x80\x00", 0),
        ("bcd8", {}, b"\x00\x42", 42),
    ],
)
def test_sign_and_magnitude(kind: str, keys: dict[str, object], wire: bytes, number: float) -> None:
    values, quality, _ = decode([make(type=kind, **keys)], wire)
    assert (values[0], quality[0]) == (number, Quality.GOOD)


def test_a_value_that_means_not_available_has_a_sign_and_a_magnitude_too() -> None:
    _, quality, _ = decode([make(type="sm16", not_available=-5)], b"\x80\x05")
    assert quality[0] == Quality.BAD_NOT_AVAILABLE


@pytest.mark.parametrize(
    ("kind", "wire", "text"),
    [
        ("datetime6", struct.pack(">6H", 2026, 11, 30, 21, 5, 9), "2026-11-30T21:05:09"),
        ("datetime6", struct.pack(">6H", 26, 11, 30, 21, 5, 9), "2026-11-30T21:05:09"),
        ("datetime3", bytes((26, 11, 30, 21, 5, 9)), "2026-11-30T21:05:09"),
        ("datetime_bcd", bytes.fromhex("261130210509"), "2026-11-30T21:05:09"),
        ("epoch", struct.pack(">I", 1_796_072_709), "2026-11-30T21:05:09Z"),
        ("hhmm", struct.pack(">H", 930), "09:30"),
        ("hhmm_bcd", b"\x09\x30", "09:30"),
        ("hhmm_bytes", bytes((9, 30)), "09:30"),
        ("datetime6", bytes(12), None),
        ("datetime3", b"\xff" * 6, None),
        ("datetime_bcd", bytes.fromhex("2a1130210509"), None),
        ("hhmm", struct.pack(">H", 2460), None),
        ("hhmm_bcd", b"\x09\x6a", None),
    ],
)
def test_dates_and_times_are_text(kind: str, wire: bytes, text: str | None) -> None:
    _, _, objects = decode([make(type=kind)], wire)
    assert objects == {0: (text, Quality.GOOD if text else Quality.BAD_NOT_AVAILABLE)}


def test_an_epoch_has_the_words_of_its_order_and_dates_their_bytes() -> None:
    swapped = struct.pack(">HH", 1_796_072_709 & 0xFFFF, 1_796_072_709 >> 16)
    _, _, objects = decode([make(type="epoch", byte_order="CDAB")], swapped)
    assert objects[0][0] == "2026-11-30T21:05:09Z"
    _, _, objects = decode([make(type="datetime3", byte_order="BADC")], bytes((11, 26, 21, 30, 9, 5)))
    assert objects[0][0] == "2026-11-30T21:05:09"


@pytest.mark.parametrize(
    ("keys", "wire", "names", "quality"),
    [
        ({"type": "uint16"}, b"\x80\x05", ["door open", "fan", "overload"], Quality.GOOD),
        ({"type": "uint16"}, b"\0\0", [], Quality.GOOD),
        ({"type": "uint16"}, b"\0\x08", ["bit 3"], Quality.UNCERTAIN_RANGE),
        ({"type": "uint16", "mask": "0x8007"}, b"\0\x0c", ["fan"], Quality.GOOD),
        ({"type": "uint64", "byte_order": "CDAB"}, b"\0\5\0\0\0\0\x80\0", ["door open", "fan", "mains"], Quality.GOOD),
        ({"type": "uint16", "not_available": "0xFFFF"}, b"\xff\xff", None, Quality.BAD_NOT_AVAILABLE),
    ],
)
def test_sets_of_bits_are_lists_of_names(
    keys: dict[str, object], wire: bytes, names: list[str] | None, quality: Quality
) -> None:
    flags = {0: "door open", 2: "fan", 15: "overload"} | ({63: "mains"} if keys["type"] == "uint64" else {})
    values, _, objects = decode([make(flags=flags, **keys)], wire)
    assert objects == {0: (names, quality)}
    assert np.isnan(values).all()


def test_a_bit_above_15_is_one_of_a_32_bit_type() -> None:
    pair = [make(type="uint32", bit=31), make(type="uint32", bit=16, byte_order="CDAB"), make(type="uint32", bit=30)]
    values, quality, _ = decode(pair, b"\x80\x00\x00\x01")
    assert list(values) == [1, 1, 0]
    assert set(quality) == {Quality.GOOD}


def test_labels_name_the_bits_in_place_by_choice() -> None:
    labels = {0x0100: "on", "0x0200": "off"}
    _, _, objects = decode([make(mask="0x0300", labels=labels, labels_shifted=False)], b"\x02\xff")
    assert objects == {0: ("off", Quality.GOOD)}
    _, _, objects = decode([make(mask="0x0300", labels={1: "on", 2: "off"})], b"\x02\xff")
    assert objects == {0: ("off", Quality.GOOD)}
