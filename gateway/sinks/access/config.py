"""The keys for TLS and addresses that several sinks have."""

import re
from typing import Final, Self

from pydantic import model_validator

from gateway.core.config_types import ConfigModel, ExistingFile

_HOST: Final = re.compile(r"[^\s:/@\[\]\\]+|\[[0-9A-Fa-f:.]+\]")
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class ClientTls(ConfigModel):
    """TLS 1.2 or 1.3. The files are read at each connect; relative paths count from the configuration folder."""

    ca: ExistingFile | None = None
    """PEM file of the authority that has signed the server's certificate. Default: those that the system trusts."""
    cert: ExistingFile | None = None
    """PEM file of the gateway's own certificate, where the server asks for one."""
    key: ExistingFile | None = None
    """PEM file of its private key, without a passphrase."""
    insecure: bool = False
    """True accepts any certificate from anybody: for a first try on the bench only."""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together: set both or neither")
        if self.insecure and self.ca is not None:
            raise ValueError("insecure accepts any certificate, so ca has no meaning: remove one of them")
        return self


def host_and_port(text: str, default_port: int) -> tuple[str, int]:
    """Return host and port of `host:port`, `host` or `[::1]:port`. Raises ValueError that says what was expected."""
    match = _HOST.match(text)
    rest = text[match.end() :] if match else text
    port = rest[1:] if rest else str(default_port)
    if match is None or (rest and not rest.startswith(":")) or not port.isascii() or not port.isdigit():
        raise ValueError(f"{text!r} is not an address; expected for instance host:{default_port}")
    if not 1 <= int(port) <= 65_535:
        raise ValueError(f"{text!r}: the port must be a number from 1 to 65535")
    return match[0].strip("[]"), int(port)


def is_local(host: str) -> bool:
    """Return whether a host is this machine: what goes there does not travel."""
    return host in _LOCAL
