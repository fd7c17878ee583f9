"""What asyncua decodes from a bounded buffer: never more than its budget, whatever the bytes claim."""

import struct

import pytest
from asyncua import ua
from asyncua.common.utils import NotEnoughData
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary, variant_from_binary, variant_to_binary

from gateway.sources.opcua.codec.bounds import Budget
from gateway.sources.opcua.codec.errors import TooLarge
from gateway.sources.opcua.codec.types.bounded_buffer import BoundedBuffer

MANY = struct.pack("<i", 2**31 - 1)


def buffer(data: bytes, most: int = 10_000) -> BoundedBuffer:
    return BoundedBuffer(data, budget=Budget(most))


@pytest.mark.parametrize(
    "raw",
    [
        bytes([0x80]) + MANY,
        bytes([0x96]) + struct.pack("<i", 100_000) + bytes(300_000),
        bytes([0x99]) + struct.pack("<i", 100_000) + bytes(100_000),
        bytes([0x81]) + struct.pack("<i", 1_000_000) + bytes(1_000_000),
    ],
    ids=["nulls", "null extension objects", "diagnostics", "booleans"],
)
def test_more_than_the_budget_is_not_made(raw: bytes) -> None:
    with pytest.raises(TooLarge):
        variant_from_binary(buffer(raw))


def test_a_list_of_the_standards_own_structures_is_counted_too() -> None:
    response = struct_to_binary(ua.BrowseResponse(Results=[], DiagnosticInfos=[]))
    raw = response[:-4] + struct.pack("<i", 1_000_000) + bytes(1_000_000)
    with pytest.raises(TooLarge):
        struct_from_binary(ua.BrowseResponse, buffer(raw))


@pytest.mark.parametrize("length", [-2, -5, -(2**31)])
def test_nothing_reads_backwards(length: int) -> None:
    """asyncua's own buffer grows by a negative length, so that a list of such texts never comes to its end."""
    with pytest.raises(NotEnoughData):
        variant_from_binary(buffer(bytes([0x8C]) + MANY + struct.pack("<i", length) * 4))


@pytest.mark.parametrize("dimensions", [[2, 46_340, 46_340], [-1, -1], [0, 5], [1] * 17, [3]])
def test_an_array_that_does_not_have_its_dimensions_stays_as_it_is(dimensions: list[int]) -> None:
    raw = bytes([0xC6]) + struct.pack("<iii", 2, 7, 8) + struct.pack(f"<i{len(dimensions)}i", len(dimensions), *dimensions)
    assert variant_from_binary(buffer(raw)).Value == [7, 8]


def test_what_fits_is_decoded_as_asyncua_does() -> None:
    for value in (ua.Variant([[1, 2], [3, 4]], ua.VariantType.Int32), ua.Variant([None, None]), ua.Variant("x")):
        assert variant_from_binary(buffer(variant_to_binary(value))).Value == value.Value
