"""Payloads at rest: what is kept leads back to the payload, or is known to be broken, or to be somebody else's."""

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import ConfigError
from gateway.outbox.config import OutboxConfig
from gateway.outbox.database.compression import Compression, Place
from gateway.outbox.database.encryption import Encryption, encryption_of
from tests.support.outbox_parts import window

KEY = bytes(range(32))
PLACE = Place("g/press/window", "b1", 7)

coders = st.sampled_from([(False, False), (True, False), (False, True), (True, True)])


def compression_of(compress: bool, sealed: bool, key: bytes = KEY) -> Compression:
    return Compression(compress, Encryption(key, "key") if sealed else None)


@given(st.binary(max_size=2000), coders)
def test_every_payload_comes_back_through_any_coder_with_the_key(payload: bytes, how: tuple[bool, bool]) -> None:
    kept, coded = compression_of(*how).encode(PLACE, payload)
    assert compression_of(False, True).decode(PLACE, kept, coded) == payload
    if not how[1]:
        assert len(kept) <= len(payload)
        assert compression_of(True, False).decode(PLACE, kept, coded) == payload


def test_windows_are_kept_in_much_less_space_even_small_ones() -> None:
    for tags, share in ((1, 0.7), (8, 0.3), (100, 0.1)):
        payload = window(4711, 1_764_000_000_000, tags=tags).payload
        assert len(compression_of(True, False).encode(PLACE, payload)[0]) < share * len(payload)


def test_nothing_of_a_sealed_payload_can_be_read_and_no_two_are_alike() -> None:
    sealing = compression_of(False, True)
    one, two = (sealing.encode(PLACE, b"oil_temperature" * 9)[0] for _ in range(2))
    assert b"oil" not in one
    assert one[17:29] != two[17:29], "nonces"
    assert one[29:] != two[29:]


@pytest.mark.parametrize("other", [("g/press/event", "b1", 7), ("g/press/window", "b2", 7), ("g/press/window", "b1", 8)])
def test_a_sealed_payload_opens_in_its_own_row_only(other: tuple[str, str, int]) -> None:
    kept, coded = compression_of(True, True).encode(PLACE, b"x" * 100)
    with pytest.raises(ValueError, match="another row"):
        compression_of(True, True).decode(Place(*other), kept, coded)


@given(st.integers(0, 10**6), coders.filter(any))
def test_a_changed_bit_never_passes_for_a_sealed_payload(at: int, how: tuple[bool, bool]) -> None:
    kept, coded = compression_of(*how).encode(PLACE, b"abcd" * 100)
    bit = at % (8 * len(kept))
    changed = bytearray(kept)
    changed[bit // 8] ^= 1 << bit % 8
    if how[1]:
        with pytest.raises(ValueError, match=r".+"):
            compression_of(*how).decode(PLACE, bytes(changed), coded)


def test_without_the_key_or_with_another_nothing_opens() -> None:
    kept, coded = compression_of(True, True).encode(PLACE, b"secret")
    with pytest.raises(ValueError, match="encrypted"):
        compression_of(True, False).decode(PLACE, kept, coded)
    with pytest.raises(ValueError, match="another key"):
        compression_of(True, True, bytes(32)).decode(PLACE, kept, coded)


@pytest.mark.parametrize("content", [KEY, KEY.hex().encode() + b"\n", base64.b64encode(KEY) + b"\n"])
def test_a_key_is_32_bytes_or_hex_or_base64(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    seal = encryption_of(str(tmp_path / "key"))
    assert seal is not None
    assert seal.matches(Encryption(KEY, "").key_check())
    assert not seal.matches(Encryption(bytes(32), "").key_check())


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 64, KEY + b"\n", base64.b64encode(KEY * 2)])
def test_what_is_no_key_is_an_error_that_says_what_a_key_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(ConfigError, match=r"outbox\.key_file: .*key holds no key \(expected 32 bytes"):
        encryption_of(str(tmp_path / "key"))


def test_a_key_may_be_a_systemd_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="LoadCredentialEncrypted"):
        encryption_of("credential:outbox.key")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(ConfigError, match=r"cannot read credential:outbox\.key: No such file"):
        encryption_of("credential:outbox.key")
    (tmp_path / "outbox.key").write_bytes(KEY)
    assert encryption_of("credential:outbox.key") is not None
    assert encryption_of("") is None
    for wrong in ("credential:", "credential:../x"):
        with pytest.raises(ValueError, match="names no credential"):
            OutboxConfig.model_validate({"key_file": wrong})
