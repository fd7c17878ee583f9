"""The one right reading is among those that `gateway read` shows, in the column of its byte order."""

import struct

import pytest

from gateway.sources.modbus.tools.register_views import ORDERS, hardly_meant, strings, views


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("kind", "form", "number"),
    [
        ("float32", "f", 23.45),
        ("int32", "i", -70000),
        ("uint64", "Q", 2**63 + 1),
        ("float64", "d", -0.1),
        ("int16", "h", -2),
    ],
)
def test_a_number_shows_in_the_column_of_its_order(kind: str, form: str, number: float, order: str) -> None:
    words = [word for (word,) in struct.iter_unpack("2s", struct.pack(">" + form, number))]
    if order in ("CDAB", "DCBA"):
        words.reverse()
    read = [int.from_bytes(word, "little" if order in ("BADC", "DCBA") else "big") for word in words]
    shown = dict(views([*read, 0, 0]))[kind]
    assert shown.get(order, shown.get("ABCD" if order == "CDAB" else "BADC")) == str(number)


def test_only_what_the_words_suffice_for_and_nothing_where_there_is_no_number() -> None:
    shown = dict(views([0x7FC0, 0x0001]))
    assert "int64" not in shown
    assert shown["float32"]["ABCD"] == "NaN"
    assert dict(views([0xFF80, 0x0000]))["float32"]["ABCD"] == "-inf"
    assert shown["bcd32"]["ABCD"] == ""
    assert shown["uint32"]["ABCD"] == str(0x7FC00001)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("float32", "1e-41", True), ("float32", "3.2e+38", True), ("float32", "0.0", False), ("float32", "-0.0", False),
        ("float32", "-23.45", False), ("float64", "1e-09", False), ("float64", "inf", True), ("float32", "", False),
        ("uint64", "18446744073709551615", False), ("int64", "-70000", False), ("uint32", "4294967295", False),
        ("bcd64", "9999999999999999", False),
    ],
)  # fmt: skip
def test_what_no_device_measures_is_told_from_what_it_may(kind: str, text: str, expected: bool) -> None:
    assert hardly_meant(kind, text) is expected


def test_strings_in_both_placements() -> None:
    assert strings([0x4142, 0x4300]) == {"ABCD": "ABC.", "BADC": "BA.C"}
