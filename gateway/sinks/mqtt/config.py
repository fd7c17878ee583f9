"""Where the broker is and how to speak to it."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from gateway.core.fields import ConfigModel, IntervalNs, TimeoutNs, check_name, default

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_OTHER_SCHEMES = {"tcp": "mqtt", "ssl": "mqtts", "tls": "mqtts", "http": "mqtt", "https": "mqtts"}
_LONGEST_KEEPALIVE_S = 65_535  # two bytes on the wire (MQTT 5.0, 3.1.2.10)
_SECOND_NS = 1_000_000_000


def check_url(value: str) -> str:
    """A broker's address, `mqtt://host:1883` or `mqtts://host:8883`, port optional. Never quotes a password back."""
    scheme, mark, _ = value.partition("://")
    if not mark or scheme not in _PORTS:
        if scheme in {"ws", "wss"}:
            raise ValueError("MQTT over WebSocket is not supported yet; use mqtt:// or mqtts://")
        hint = f"; write {_OTHER_SCHEMES[scheme]}://" if mark and scheme in _OTHER_SCHEMES else ""
        raise ValueError(f"must begin with mqtt:// or mqtts:// (TLS), for instance mqtt://localhost:1883{hint}")
    parts = urlsplit(value)
    if "@" in parts.netloc:
        raise ValueError("must not carry user name or password (logs would show them); set mqtt.username and mqtt.password")
    try:
        port = parts.port
    except ValueError:
        raise ValueError("the port must be a number from 1 to 65535") from None
    if port == 0 or parts.netloc.endswith(":"):
        raise ValueError("the port must be a number from 1 to 65535")
    host = parts.hostname
    if not host or not host.isprintable() or any(c in host for c in " \\"):
        raise ValueError("the host is missing or not a host name; expected for instance mqtt://localhost:1883")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("nothing may follow host and port; topics are set with mqtt.root")
    return value


def check_version(value: Any) -> Any:
    """YAML reads `5` and `5.0` as numbers."""
    if type(value) in {int, float} and value == 5:
        return "5"
    if value not in ("5", "3.1.1"):
        raise ValueError("MQTT version must be 5 or 3.1.1")
    return value


def check_root(value: str) -> str:
    """One or more topic levels: none empty, no wildcards (MQTT 5.0, 4.7)."""
    for level in value.split("/"):
        if not level:
            raise ValueError(f"{value!r} has an empty topic level; expected for instance plant or acme/berlin")
        check_name(level)
    return value


def check_client_id(value: str) -> str:
    """Text that every broker can carry as a client identifier (MQTT 5.0, 3.1.3.1)."""
    if not value.isprintable() or len(value.encode()) > 256:
        raise ValueError("must be at most 256 bytes of printable text")
    return value


def check_keepalive(value_ns: int) -> int:
    """Keep alive travels as whole seconds in two bytes (MQTT 5.0, 3.1.2.10)."""
    if value_ns % _SECOND_NS or not 1 <= value_ns // _SECOND_NS <= _LONGEST_KEEPALIVE_S:
        raise ValueError(f"expected whole seconds, 1s to {_LONGEST_KEEPALIVE_S}s")
    return value_ns


class MqttTls(ConfigModel):
    """TLS, used when the url begins with mqtts://. Version 1.2 at least. The files are read at each connect."""

    ca: Path | None = None
    """PEM file of the CA that signed the broker's certificate. Default: what the operating system trusts."""
    cert: Path | None = None
    """PEM file of the gateway's own certificate (and its chain), where the broker asks for one. Needs `key`."""
    key: Path | None = None
    """PEM file of the private key to `cert`, not encrypted."""
    insecure: bool = False
    """True accepts any certificate from anybody. For a first try on the bench only."""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together: set both or neither")
        if self.insecure and self.ca is not None:
            raise ValueError("insecure accepts any certificate, so ca has no meaning: remove one of them")
        return self


class MqttConfig(ConfigModel):
    """The broker. One connection, QoS 1, a clean session each time: what must not be lost stands in the outbox."""

    model_config = ConfigDict(hide_input_in_errors=True)

    url: Annotated[str, AfterValidator(check_url)] = "mqtt://localhost:1883"
    """The broker's address: mqtt://host:1883, or mqtts://host:8883 for TLS. The port may be left out."""
    version: Annotated[Literal["5", "3.1.1"], BeforeValidator(check_version)] = "5"
    """MQTT version: 5 or 3.1.1. Version 5 tells why a message was refused; 3.1.1 brokers drop it silently."""
    client_id: Annotated[str, AfterValidator(check_client_id)] = ""
    """Client identifier, unique at the broker. Default: made from the gateway's name."""
    username: str = ""
    """User name at the broker. Default: none."""
    password: SecretStr = SecretStr("")
    """Password to `username`. Better set as the environment variable GATEWAY__MQTT__PASSWORD."""
    root: Annotated[str, AfterValidator(check_root)] = "plant"
    """First level or levels of every topic, for instance plant or acme/berlin."""
    keepalive: Annotated[IntervalNs, AfterValidator(check_keepalive)] = default("30s")
    """Silence after which broker and gateway ask for a sign of life, whole seconds. A dead link is noticed within
    twice this time."""
    timeout: TimeoutNs = default("5s")
    """Longest wait for a connection, and for the broker's acknowledgement of a message."""
    in_flight: int = Field(20, ge=1, le=1000)
    """Messages on their way without acknowledgement. The broker's own limit (receive maximum) holds as well."""
    tries: int = Field(5, ge=3, le=100)
    """How often a message may be refused for now, or end the connection, while the broker takes all others: then it is
    set aside, with a loss record. More, and never in less than two minutes, where others are refused too."""
    tls: MqttTls = MqttTls()
    """Certificates, with mqtts:// only."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.password.get_secret_value() and not self.username:
            raise ValueError("password is set without username")
        if self.tls != MqttTls() and not self.secure:
            raise ValueError("tls is set but the url begins with mqtt://; write mqtts://")
        return self

    @property
    def secure(self) -> bool:
        """Whether the connection is encrypted."""
        return self.url.startswith("mqtts://")

    @property
    def host(self) -> str:
        """Host name or address, without brackets."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """TCP port, the scheme's own where the url has none."""
        return urlsplit(self.url).port or _PORTS["mqtts" if self.secure else "mqtt"]
