"""Replies are found in whatever comes, and nothing but the reply is taken for it."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sources.modbus.framing import Ascii, Framing, Mbap, OutOfStepError, Rtu, Wanted

FRAMINGS = {"mbap": Mbap, "rtu": Rtu, "ascii": Ascii}
PDU = struct.pack(">BB4H", 3, 8, 1, 0x0311, 0x3A0D, 0x0A03)
"""A reply whose values look like functions, colons and line ends."""


def crc(frame: bytes) -> bytes:
    """MODBUS over Serial Line 1.02, 6.2.2, bit by bit."""
    value = 0xFFFF
    for byte in frame:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return value.to_bytes(2, "little")


def lrc(frame: bytes) -> bytes:
    return f"{-sum(frame) & 0xFF:02X}".encode()


def frame(kind: str, unit: int, pdu: bytes, transaction: int = 1) -> bytes:
    """The frame by the book, without pymodbus."""
    adu = bytes((unit,)) + pdu
    if kind == "mbap":
        return struct.pack(">HHH", transaction, 0, len(adu)) + adu
    return adu + crc(adu) if kind == "rtu" else b":" + adu.hex().upper().encode() + lrc(adu) + b"\r\n"


def fed(framing: Framing, data: bytes, sizes: int, wanted: Wanted) -> list[bytes]:
    """The PDUs found while the data comes in pieces of some size."""
    buffer, found = bytearray(), []
    for at in range(0, len(data), sizes):
        buffer += data[at : at + sizes]
        while hit := framing.pop_reply(buffer, {wanted.transaction: wanted}):
            found.append(hit[1])
    return found


@pytest.mark.parametrize("kind", FRAMINGS)
@given(unit=st.integers(1, 247), function=st.integers(1, 4), rest=st.binary(min_size=4, max_size=4))
def test_requests_are_framed_by_the_book(kind: str, unit: int, function: int, rest: bytes) -> None:
    pdu = bytes((function,)) + rest
    assert FRAMINGS[kind]().encode(Wanted(7, unit, function), pdu) == frame(kind, unit, pdu, 7)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("kind", FRAMINGS)
def test_a_reply_is_found_however_it_is_cut(kind: str, size: int) -> None:
    assert fed(FRAMINGS[kind](), frame(kind, 17, PDU), size, Wanted(1, 17, 3)) == [PDU]
    assert fed(FRAMINGS[kind](), frame(kind, 17, b"\x83\x02"), size, Wanted(1, 17, 3)) == [b"\x83\x02"]


@pytest.mark.parametrize("kind", FRAMINGS)
def test_foreign_replies_are_passed_over(kind: str) -> None:
    foreign = frame(kind, 18, PDU) + frame(kind, 17, b"\x04" + PDU[1:], transaction=9)
    if kind == "mbap":
        foreign += frame(kind, 17, PDU, transaction=2) + frame(kind, 17, PDU, transaction=0)
    assert fed(FRAMINGS[kind](), foreign, 1000, Wanted(1, 17, 3)) == []
    assert fed(FRAMINGS[kind](), foreign + frame(kind, 17, PDU), 1000, Wanted(1, 17, 3)) == [PDU]


@pytest.mark.parametrize("kind", ["rtu", "ascii"])
@given(place=st.integers(0, 40), bit=st.integers(0, 7))
def test_a_flipped_bit_is_never_a_reply(kind: str, place: int, bit: int) -> None:
    data = bytearray(frame(kind, 17, PDU))
    data[place % len(data)] ^= 1 << bit
    found = fed(FRAMINGS[kind](), bytes(data), 1000, Wanted(1, 17, 3))
    assert found in ([], [PDU])  # the case of a hexadecimal digit does not count
    assert kind == "ascii" or not found


@pytest.mark.parametrize("kind", ["rtu", "ascii"])
@given(noise=st.binary(max_size=60), size=st.integers(1, 100))
def test_noise_before_a_reply_does_not_hide_it(kind: str, noise: bytes, size: int) -> None:
    assert fed(FRAMINGS[kind](), noise + frame(kind, 17, PDU), size, Wanted(1, 17, 3))[-1:] == [PDU]


@pytest.mark.parametrize("kind", FRAMINGS)
@given(data=st.binary(max_size=3000), size=st.integers(1, 3000))
def test_random_bytes_never_crash_and_never_pile_up(kind: str, data: bytes, size: int) -> None:
    buffer, framing = bytearray(), FRAMINGS[kind]()
    try:
        for at in range(0, len(data), size):
            buffer += data[at : at + size]
            while framing.pop_reply(buffer, {1: Wanted(1, 17, 3)}):
                pass
            assert len(buffer) <= 1024
    except OutOfStepError:
        assert kind == "mbap"


@pytest.mark.parametrize("head", [b"\0\1\0\1\0\5", b"\0\1\0\0\0\1", b"\0\1\0\0\1\x00"])
def test_a_header_that_is_none_is_out_of_step(head: bytes) -> None:
    with pytest.raises(OutOfStepError):
        Mbap().pop_reply(bytearray(head + b"\1\3\2\0\0"), {1: Wanted(1, 1, 3)})
