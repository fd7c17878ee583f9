"""Settings of the page, the API and the metrics."""

import ipaddress
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BeforeValidator, model_validator

from gateway.core.config_types import ConfigModel, ExistingFile

PORT: Final = 8080
_MOST_HOSTS: Final = 32


def check_listen(value: Any) -> str:
    """Return `address:port` of an IP address and a port. Raises ValueError."""
    example = f"expected an IP address and a port, for instance 127.0.0.1:{PORT} or [::1]:{PORT}"
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text; {example}")
    if not value:
        return value
    host, port = split_listen(value)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        hint = "127.0.0.1" if host == "localhost" else "an address of this machine, or 0.0.0.0 for all of them"
        raise ValueError(f"{host!r} is not an IP address; expected {hint}") from None
    if not (port.isascii() and port.isdecimal() and 1 <= int(port) <= 65_535):
        raise ValueError(f"{value!r} has no port from 1 to 65535; {example}")
    return value


def split_listen(value: str) -> tuple[str, str]:
    """Return address and port of `address:port`, the address without brackets."""
    host, _, port = value.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), port


def _check_hosts(value: tuple[str, ...]) -> tuple[str, ...]:
    if len(value) > _MOST_HOSTS:
        raise ValueError(f"there are {len(value)} names; expected at most {_MOST_HOSTS}")
    for name in value:
        if not name or len(name) > 253 or not all(c.isalnum() or c in "-." for c in name):
            raise ValueError(f"{name!r} is not a host name; expected for instance gateway-7.plant.example")
    return tuple(name.lower() for name in value)


class WebTls(ConfigModel):
    """TLS of the page, 1.2 or newer. The files are read when the gateway begins to listen."""

    cert: ExistingFile | None = None
    """PEM file of the certificate that browsers see, and its chain. Needs `key`."""
    key: ExistingFile | None = None
    """PEM file of the private key to `cert`, not encrypted."""
    client_ca: ExistingFile | None = None
    """PEM file of the authority whose client certificates are let in; without one nobody is."""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert is None) != (self.key is None):
            missing = "key" if self.key is None else "cert"
            raise ValueError(f"{missing} is missing; expected cert and key together")
        if self.client_ca is not None and self.cert is None:
            raise ValueError("client_ca needs TLS; expected cert and key beside it")
        return self


class WebConfig(ConfigModel):
    """The page, the API and the metrics over HTTP. Nothing can be changed through them.

    Beyond this machine only with TLS, and a token or client certificates.
    """

    listen: Annotated[str, BeforeValidator(check_listen)] = ""
    """Address and port, for instance 127.0.0.1:8080. Empty: no port is opened; `gateway status` and `gateway top` work, as
    they use a socket file. A port that is taken is tried again and again, and keeps the gateway from nothing."""
    hosts: Annotated[tuple[str, ...], AfterValidator(_check_hosts)] = ()
    """Further names under which browsers reach the page; IP addresses and localhost always do. Requests for other names are
    refused, as a foreign page could have sent them (DNS rebinding)."""
    token_file: ExistingFile | None = None
    """File with a token of 16 characters or more, which every request must bring: as `Authorization: Bearer`, or in a
    browser as the password of any user name. Read at each request: it may be renewed while the gateway runs."""
    tls: WebTls = WebTls()
    """Certificates. Required beyond this machine."""

    @property
    def is_local(self) -> bool:
        """Return whether only this machine can reach it."""
        return not self.listen or ipaddress.ip_address(split_listen(self.listen)[0]).is_loopback

    @model_validator(mode="after")
    def _is_guarded(self) -> Self:
        if self.is_local:
            return self
        if self.tls.cert is None:
            raise ValueError(f"{self.listen} is reached from other machines; expected tls.cert and tls.key, or 127.0.0.1")
        if self.token_file is None and self.tls.client_ca is None:
            raise ValueError(f"{self.listen} lets every machine in; expected token_file or tls.client_ca, or 127.0.0.1")
        return self
