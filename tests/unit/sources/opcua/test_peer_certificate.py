"""Certificates that are not strict DER: what cannot be read of them costs that part only."""

import base64
import random

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.sources.opcua.security.certificates import der
from gateway.sources.opcua.security.der import element, elements, encoded
from gateway.sources.opcua.security.peer_certificate import MOST_BYTES, read_certificate, read_chain, read_der
from tests.support.opcua_secure import CA_KEY, KEY, URI, certificate, issued

ONE = certificate(KEY, host="plc.example")
BASIC_CONSTRAINTS, KEY_USAGE, SUBJECT_KEY = "0603551d13", "0603551d0f", "0603551d0e"
FALSE, ONE_AS_TRUE = b"\x01\x01\x00", b"\x01\x01\x01"


def with_extension(oid: str, value: str, critical: bytes = b"", base: bytes = der(ONE)) -> bytes:
    """A certificate with its names and one more extension, as a controller writes it. Its signature does not fit."""
    outer = [whole for _, _, whole in elements(element(base)[1])]
    signed = [whole for _, _, whole in elements(element(outer[0])[1])]
    listed = elements(element(element(signed[-1])[1])[1])
    names = next(whole for _, inner, whole in listed if b"\x06\x03\x55\x1d\x11" in inner)
    added = encoded(0x30, bytes.fromhex(oid) + critical + encoded(0x04, bytes.fromhex(value)))
    extensions = encoded(0xA3, encoded(0x30, added + names))
    return encoded(0x30, encoded(0x30, b"".join(signed[:-1]) + extensions) + outer[1] + outer[2])


@pytest.mark.parametrize(
    ("oid", "value", "critical", "lost"),
    [
        (BASIC_CONSTRAINTS, "3000", FALSE, ()),
        (BASIC_CONSTRAINTS, "3000", ONE_AS_TRUE, ()),
        (BASIC_CONSTRAINTS, "3003010101", b"", ("basicConstraints",)),
        (BASIC_CONSTRAINTS, "3006010100020100", b"", ("basicConstraints",)),
        (BASIC_CONSTRAINTS, "3003020100", b"", ("basicConstraints",)),
        (KEY_USAGE, "", ONE_AS_TRUE, ("keyUsage",)),
        (SUBJECT_KEY, "ffff", b"", ("subjectKeyIdentifier",)),
        ("06022a03", "ffff", FALSE, ()),
    ],
    ids=[
        "critical FALSE",
        "critical 1",
        "CA 1",
        "CA FALSE with path length",
        "path length alone",
        "empty",
        "garbage",
        "own",
    ],
)
def test_an_extension_that_cannot_be_read_costs_that_extension_only(oid, value, critical, lost):
    content = with_extension(oid, value, critical)
    read = read_der(content)
    assert read.lost == lost
    assert (read.application_uris, read.hosts) == ([URI], ["plc.example"])
    assert read.der == content
    assert read.public_key == KEY.public_key()
    assert read.readable.not_valid_after_utc > ONE.not_valid_before_utc


def test_what_is_strict_is_read_as_it_is():
    assert read_der(der(ONE)).readable == ONE
    pem = b"text\n-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der(ONE)) + b"-----END CERTIFICATE-----\n"
    assert read_certificate(pem) == read_certificate(der(ONE))


def test_a_field_that_cannot_be_read_costs_that_field_only():
    serial = der(ONE).index(ONE.serial_number.to_bytes(20, "big").lstrip(b"\0"))
    content = bytearray(der(ONE))
    content[serial - 2] = 0x0C
    read = read_der(bytes(content))
    assert read.lost == ("serial number",)
    assert read.hosts == ["plc.example"]


def test_only_a_missing_key_is_fatal():
    key = der(ONE).index(bytes.fromhex("2a864886f70d010101"))
    content = bytearray(der(ONE))
    content[key + 8] ^= 0x40
    with pytest.raises(ValueError, match="no public key that can be read"):
        read_der(bytes(content))


@pytest.mark.parametrize("garbage", [b"", b"x", b"\x30", b"\x30\x82", b"\x30\x00", b"\x30\x02\x30\x00", der(ONE)[:-5]])
def test_what_is_no_certificate_is_refused_in_our_words(garbage):
    with pytest.raises(ValueError, match="is not a certificate"):
        read_der(garbage)


def test_a_chain_of_bytes_is_taken_apart_and_what_vouches_for_nothing_left_out():
    root = issued(CA_KEY, "root", None, CA_KEY, ca=True)
    leaf = issued(KEY, "server", root, CA_KEY)
    assert [one.readable for one in read_chain(der(leaf) + der(root))] == [leaf, root]
    assert [one.readable for one in read_chain(der(leaf) + b"\x30\x00" + der(root))] == [leaf, root]
    for garbage in (b"x", b"\x30\x82", der(leaf)[:-5], der(leaf) + b"\x00"):
        with pytest.raises(ValueError, match="is not a certificate"):
            read_chain(garbage)


def test_a_chain_has_ceilings():
    with pytest.raises(ValueError, match="more than 8 certificates"):
        read_chain(der(ONE) * 9)
    with pytest.raises(ValueError, match=f"longer than {MOST_BYTES} bytes"):
        read_chain(der(ONE) + bytes(MOST_BYTES))


def test_mutated_certificates_are_read_or_refused_and_never_more():
    chance, outcomes = random.Random(7), set()
    for _ in range(400):
        content = bytearray(der(ONE))
        for _ in range(chance.randint(1, 4)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        try:
            read = read_der(bytes(content))
        except ValueError as error:
            outcomes.add(str(error))
        else:
            outcomes.add("lost" if read.lost else "read")
            assert read.der == bytes(content)
            assert isinstance((read.holder, read.hosts, read.application_uris), tuple)
            assert not isinstance(read.public_key, rsa.RSAPrivateKey)
    assert outcomes == {"read", "lost", "is not a certificate", "has no public key that can be read"}
