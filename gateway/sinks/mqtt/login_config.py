"""What a user can say about the way to the broker and the login there."""

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr, model_validator

from gateway.core.config_types import ConfigModel


def check_credential(value: str) -> str:
    """Name of a file in the folder of credentials (systemd.exec, LoadCredential=)."""
    if "/" in value or value in (".", "..") or not value.isprintable():
        raise ValueError(f"{value!r} is not the name of a credential; expected for instance mqtt-password")
    return value


def check_command(value: tuple[str, ...]) -> tuple[str, ...]:
    """Program and arguments; the program by its whole path, so that no folder of PATH decides what runs."""
    if value and not value[0].startswith("/"):
        raise ValueError(f"{value[0]!r} is not the path of a program; expected for instance [/usr/local/bin/token]")
    if any("\0" in part for part in value):
        raise ValueError("an argument cannot hold the character NUL")
    return value


def check_proxy(value: str) -> str:
    """Scheme, host and port; the login stands in keys of its own, since addresses are logged."""
    if not value:
        return value
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        parts, port = None, None
    rest = parts is not None and (parts.path.strip("/") or parts.query or parts.fragment)
    if parts is None or parts.scheme not in ("http", "socks5") or not parts.hostname or not port or rest:
        raise ValueError("is not a proxy; expected for instance http://proxy.example:3128 or socks5://proxy.example:1080")
    if "@" in parts.netloc:
        raise ValueError(
            "must not carry user name or password (logs would show them): set proxy.username and proxy.password"
        )
    return value


class MqttProxy(ConfigModel):
    """A proxy between the gateway and the broker. It resolves the broker's name."""

    url: Annotated[str, AfterValidator(check_proxy)] = ""
    """http://proxy.example:3128 (CONNECT) or socks5://proxy.example:1080. Default: none."""
    username: str = ""
    """User name at the proxy. Default: none."""
    password: SecretStr = SecretStr("")
    """Password to it. Better set as the environment variable GATEWAY__MQTT__PROXY__PASSWORD."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.username or self.password) and not self.url:
            raise ValueError(
                "username and password of a proxy need its url: expected for instance http://proxy.example:3128"
            )
        if self.password and not self.username:
            raise ValueError("password is set without username")
        return self

    @property
    def address(self) -> tuple[str, str, int] | None:
        """Return scheme, host and port, None without a proxy."""
        parts = urlsplit(self.url)
        return (parts.scheme, parts.hostname or "", parts.port or 0) if self.url else None
