"""Encryption at rest: AES-256-GCM (NIST SP 800-38D) under a key from a file or a systemd credential."""

import base64
import binascii
import os
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.core.bounded_file import read_bounded
from gateway.core.errors import ConfigError

CREDENTIAL: Final = "credential:"
"""Prefix of a name below `$CREDENTIALS_DIRECTORY` (systemd.exec(5), LoadCredentialEncrypted=)."""

_KEY_BYTES: Final = 32
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_CHECKED: Final = b"gateway outbox", b"key check"


class Encryption:
    """Encryption of payloads with one key of the user.

    Each object encrypts under a key of its own, derived with a random salt (HKDF, RFC 5869) that stands in each result; so
    random nonces never come near 2^32 under one key, and nothing but the user's key is needed to read.
    """

    def __init__(self, key: bytes, name: str) -> None:
        """key: 32 bytes; name: what errors call it."""
        self.name = name
        self._key = key
        self._salt = os.urandom(_SALT_BYTES)
        self._cipher = lru_cache(64)(self._derived)

    def encrypt(self, content: bytes, about: bytes) -> bytes:
        """Return salt, nonce and encrypted content, which can be decrypted only together with the same `about`."""
        nonce = os.urandom(_NONCE_BYTES)
        return self._salt + nonce + self._cipher(self._salt).encrypt(nonce, content, about)

    def decrypt(self, closed: bytes, about: bytes) -> bytes:
        """Return the content. Raises ValueError when key or `about` are others or a bit has changed."""
        salt, nonce = closed[:_SALT_BYTES], closed[_SALT_BYTES : _SALT_BYTES + _NONCE_BYTES]
        try:
            return self._cipher(salt).decrypt(nonce, closed[_SALT_BYTES + _NONCE_BYTES :], about)
        except InvalidTag as error:
            raise ValueError("another key, another row, or changed") from error

    def subkey(self, salt: bytes) -> bytes:
        """Return a key for digests, another one for each salt."""
        return HKDF(SHA256(), _KEY_BYTES, salt, b"gateway outbox seal").derive(self._key)

    def key_check(self) -> bytes:
        """Return something that `matches` recognises, and nobody without the key can make."""
        return self.encrypt(*_CHECKED)

    def matches(self, proof: bytes) -> bool:
        """Return whether the proof was made with this key."""
        try:
            return self.decrypt(proof, _CHECKED[1]) == _CHECKED[0]
        except ValueError:
            return False

    def _derived(self, salt: bytes) -> AESGCM:
        return AESGCM(HKDF(SHA256(), _KEY_BYTES, salt, b"gateway outbox").derive(self._key))


def encryption_of(key_file: str) -> Encryption | None:
    """Return the encryption that `outbox.key_file` names, None when it is empty. Raises ConfigError saying what is wrong."""
    if not key_file:
        return None
    try:
        content = read_bounded(_path(key_file))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"outbox.key_file: cannot read {key_file}: {reason}") from error
    key = _decoded(content)
    if key is None:
        raise ConfigError(
            f"outbox.key_file: {key_file} holds no key (expected 32 bytes, or 64 hex digits, or base64 of 32 bytes)"
        )
    return Encryption(key, key_file)


def _path(key_file: str) -> Path:
    if not key_file.startswith(CREDENTIAL):
        return Path(key_file)
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if not folder:
        raise ConfigError(
            f"outbox.key_file: {key_file}: systemd has passed no credentials; add LoadCredentialEncrypted= to the unit"
        )
    return Path(folder) / key_file.removeprefix(CREDENTIAL)


def _decoded(content: bytes) -> bytes | None:
    if len(content) == _KEY_BYTES:
        return content
    text = content.strip()
    try:
        key = binascii.unhexlify(text) if len(text) == 2 * _KEY_BYTES else base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    return key if len(key) == _KEY_BYTES else None
