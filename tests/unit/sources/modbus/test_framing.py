"""Replies are found in whatever comes, and nothing but the reply is taken for it."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sources.modbus import framing_ascii, framing_rtu
from gateway.sources.modbus.framing import MOST_FAILED_CHECKS, Framing, OutOfStepError, Wanted
from gateway.sources.modbus.framing_ascii import Ascii
from gateway.sources.modbus.framing_loose import LooseMbap
from gateway.sources.modbus.framing_mbap import Mbap
from gateway.sources.modbus.framing_rtu import Rtu

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
        while hit := framing.pop_frame(buffer, {wanted.transaction: wanted}):
            found += [hit.pdu] if hit.wanted is wanted else []
    return found


@pytest.mark.parametrize("kind", FRAMINGS)
@given(unit=st.integers(1, 247), function=st.integers(1, 4), rest=st.binary(min_size=4, max_size=4))
def test_requests_are_framed_by_the_book(kind: str, unit: int, function: int, rest: bytes) -> None:
    pdu = bytes((function,)) + rest
    assert FRAMINGS[kind]().encode(Wanted(7, unit, function, 2), pdu) == frame(kind, unit, pdu, 7)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("kind", FRAMINGS)
def test_a_reply_is_found_however_it_is_cut(kind: str, size: int) -> None:
    assert fed(FRAMINGS[kind](), frame(kind, 17, PDU), size, Wanted(1, 17, 3, 8)) == [PDU]
    assert fed(FRAMINGS[kind](), frame(kind, 17, b"\x83\x02"), size, Wanted(1, 17, 3, 8)) == [b"\x83\x02"]


@pytest.mark.parametrize("kind", FRAMINGS)
def test_foreign_replies_are_passed_over(kind: str) -> None:
    foreign = frame(kind, 18, PDU) + frame(kind, 17, b"\x04" + PDU[1:], transaction=9)
    if kind == "mbap":
        foreign += frame(kind, 17, PDU, transaction=2) + frame(kind, 17, PDU, transaction=0)
    assert fed(FRAMINGS[kind](), foreign, 1000, Wanted(1, 17, 3, 8)) == []
    assert fed(FRAMINGS[kind](), foreign + frame(kind, 17, PDU), 1000, Wanted(1, 17, 3, 8)) == [PDU]


@pytest.mark.parametrize("kind", ["rtu", "ascii"])
@given(place=st.integers(0, 40), bit=st.integers(0, 7))
def test_a_flipped_bit_is_never_a_reply(kind: str, place: int, bit: int) -> None:
    data = bytearray(frame(kind, 17, PDU))
    data[place % len(data)] ^= 1 << bit
    found = fed(FRAMINGS[kind](), bytes(data), 1000, Wanted(1, 17, 3, 8))
    assert found in ([], [PDU])  # the case of a hexadecimal digit does not count
    assert kind == "ascii" or not found


@pytest.mark.parametrize("kind", ["rtu", "ascii"])
@given(noise=st.binary(max_size=60), size=st.integers(1, 100))
def test_noise_before_a_reply_does_not_hide_it(kind: str, noise: bytes, size: int) -> None:
    assert fed(FRAMINGS[kind](), noise + frame(kind, 17, PDU), size, Wanted(1, 17, 3, 8))[-1:] == [PDU]


@pytest.mark.parametrize("kind", [*FRAMINGS.values(), LooseMbap])
@given(data=st.binary(max_size=3000), size=st.integers(1, 3000))
def test_random_bytes_never_crash_and_never_pile_up(kind: type[Framing], data: bytes, size: int) -> None:
    buffer, framing = bytearray(), kind()
    with suppress(OutOfStepError):
        for at in range(0, len(data), size):
            buffer += data[at : at + size]
            while framing.pop_frame(buffer, {1: Wanted(1, 17, 3, 8)}):
                pass
            assert len(buffer) <= 513


@pytest.mark.parametrize("head", [b"\0\1\0\1\0\5", b"\0\1\0\0\0\1", b"\0\1\0\0\1\x00"])
def test_what_is_no_header_is_passed_over_until_the_reply_and_no_further_than_a_frame(head: bytes) -> None:
    wanted = Wanted(1, 17, 3, 8)
    assert fed(Mbap(), head + b"\1\3\2\0\0" + frame("mbap", 17, PDU), 1, wanted) == [PDU]
    with pytest.raises(OutOfStepError, match=head.hex(" ")):
        fed(Mbap(), head + bytes(range(1, 255)) * 2, 7, wanted)


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize(
    "odd",
    [
        b"\0\1\0\0\0\4\x11\x83\x02",  # claims one byte more than it has
        b"\0\1\0\0\0\4\x11\x83\x02\0",  # has it
        b"\0\1\0\0\0\2\x11\x83\x02",  # claims one less
        b"\0\1\0\0\0\3\x11\x83\x02" + bytes(5),  # is followed by zeros
        b"\0\1\0\0\0\x0b\x11\x83\x02" + bytes(8),  # claims them
    ],
)
def test_an_exception_is_two_bytes_whatever_its_header_says(odd: bytes, size: int) -> None:
    """And the next reply is found behind it, however it comes."""
    framing, buffer, found = Mbap(), bytearray(), []
    for stream, wanted in ((odd, Wanted(1, 17, 3, 8)), (frame("mbap", 17, PDU, 2), Wanted(2, 17, 3, 8))):
        for at in range(0, len(stream), size):
            buffer += stream[at : at + size]
            waiting = {} if found[-1:] == [wanted] else {wanted.transaction: wanted}
            while hit := framing.pop_frame(buffer, waiting):
                found += [hit.pdu, hit.wanted]
    assert [item for item in found if isinstance(item, bytes)] == [b"\x83\x02", PDU]


@pytest.mark.parametrize("kind", ["rtu", "ascii"])
def test_frames_of_others_are_found_before_and_behind_the_reply(kind: str) -> None:
    others = [(18, PDU), (17, b"\x03\x02\x10\xe1"), (17, b"\x04\x02\0\7"), (3, b"\x83\x02"), (9, b"\6\0\7\0\1")]
    stream = b"".join(frame(kind, *other) for other in (*others[:3], (17, PDU), *others[3:]))
    buffer, wanted, found = bytearray(stream), Wanted(1, 17, 3, 8), []
    while hit := FRAMINGS[kind]().pop_frame(buffer, {1: wanted} if (17, PDU) not in found else {}):
        found.append((hit.unit, hit.pdu))
        assert (hit.wanted is wanted) == (found[-1] == (17, PDU))
    assert found == [*others[:3], (17, PDU), *others[3:]]


@pytest.mark.parametrize("size", [1, 4, 1000])
@given(noise=st.binary(max_size=60), as_rtu=st.booleans(), transaction=st.integers(0, 65535))
def test_a_reply_without_its_transaction_id_is_found_behind_noise(
    size: int, noise: bytes, as_rtu: bool, transaction: int
) -> None:
    reply = frame("rtu", 17, PDU) if as_rtu else frame("mbap", 17, PDU, transaction)
    assert fed(LooseMbap(), noise + reply, size, Wanted(1, 17, 3, 8)) == [PDU]


BABBLE = {
    "rtu": [b"\x11\x03\x08", b"\x11\x83", b"\x11\x03\xfa", b"\x03\x03\x06"],
    "ascii": [b"\r\n", b":\r\n", b":11830200\r\n", b":" + b"1" * 20 + b"\r\n"],
}


@pytest.mark.parametrize(("kind", "unit"), [(kind, babble) for kind in BABBLE for babble in BABBLE[kind]])
@pytest.mark.parametrize("size", [1, 100, 16384])
def test_babble_costs_a_bounded_number_of_checksums(
    kind: str, unit: bytes, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, every place of all that had come was checked again with every byte that came."""
    checks: list[int] = []
    module, name = {"rtu": (framing_rtu, "crc"), "ascii": (framing_ascii, "lrc")}[kind]
    checksum = getattr(module, name)
    monkeypatch.setattr(module, name, lambda octets: (checks.append(len(octets)), checksum(octets))[1])
    with suppress(OutOfStepError):
        fed(FRAMINGS[kind](), (unit * 16384)[:16384], size, Wanted(1, 17, 3, 8))
    assert len(checks) <= 3 * (MOST_FAILED_CHECKS + 1)
