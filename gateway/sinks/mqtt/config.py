"""Where the broker is and how to speak to it."""

import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, SecretStr, WithJsonSchema, model_validator

from gateway.core.config_types import (
    DURATION_SCHEMA,
    SIZE_SCHEMA,
    ConfigModel,
    ExistingFile,
    IntervalNs,
    TimeoutNs,
    check_name,
    default,
    duration_ns,
    size_bytes,
)
from gateway.sinks.mqtt.address import Address, parse_address
from gateway.sinks.mqtt.login_config import MqttProxy, check_command, check_credential
from gateway.sinks.mqtt.request_config import MqttRequests

_SECOND_NS: Final = 1_000_000_000
_LONGEST_KEEPALIVE_S: Final = 65_535  # two bytes on the wire (MQTT 5.0, 3.1.2.10)
_LONGEST_ROOT_BYTES: Final = 1_024
_MOST_URLS: Final = 8
_PIN: Final = re.compile(r"sha256:[0-9a-f]{64}")


def check_urls(value: Any) -> Any:
    """One address or several, each as `parse_address` wants it."""
    urls = value if isinstance(value, list | tuple) else [value]
    if not 1 <= len(urls) <= _MOST_URLS or not all(isinstance(url, str) for url in urls):
        raise ValueError(f"expected one address or a list of up to {_MOST_URLS}, for instance mqtt://localhost:1883")
    addresses = []
    for number, url in enumerate(urls, 1):
        try:
            addresses.append(parse_address(url))
        except ValueError as error:
            raise ValueError(f"number {number}: {error}" if len(urls) > 1 else str(error)) from None
    if len(set(addresses)) < len(addresses):
        raise ValueError("the same address is there twice")
    return value if isinstance(value, str) else tuple(urls)


def check_version(value: Any) -> Any:
    """YAML reads `5` and `5.0` as numbers."""
    if type(value) in {int, float} and value == 5:
        return "5"
    if value not in ("5", "3.1.1"):
        raise ValueError("MQTT version must be 5 or 3.1.1")
    return value


def check_root(value: str) -> str:
    """One or more topic levels.

    None empty, no wildcards (MQTT 5.0, 4.7); short enough that no topic passes 65,535 bytes, since every further level is at
    most 128 bytes.
    """
    for level in value.split("/"):
        if not level:
            raise ValueError(f"{value!r} has an empty topic level; expected for instance plant or acme/berlin")
        check_name(level)
    if len(value.encode()) > _LONGEST_ROOT_BYTES:
        raise ValueError(f"is longer than {_LONGEST_ROOT_BYTES} bytes; expected for instance plant or acme/berlin")
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


def check_seconds(value_ns: int) -> int:
    """Intervals in properties are whole seconds in four bytes (MQTT 5.0, 3.1.2.11)."""
    if value_ns % _SECOND_NS:
        raise ValueError("expected whole seconds, for instance 90s, 1h, 7d")
    return value_ns


def check_alpn(value: tuple[str, ...]) -> tuple[str, ...]:
    """Protocol names as they go into the TLS handshake (RFC 7301, 3.1)."""
    for name in value:
        if not name.isascii() or not 1 <= len(name) <= 255:
            raise ValueError(f"{name!r} is not a protocol name; expected for instance [mqtt]")
    return value


def check_pins(value: Any) -> Any:
    """One pin or several: `sha256:` and 64 hex digits, colons between them or not."""
    pins = []
    for pin in value if isinstance(value, list | tuple) else [value]:
        kind, _, digits = pin.partition(":") if isinstance(pin, str) else ("", "", "")
        plain = f"{kind.lower()}:{digits.replace(':', '').lower()}"
        if not _PIN.fullmatch(plain):
            raise ValueError("expected sha256: and 64 hex digits, the fingerprint of the certificate or of its public key")
        pins.append(plain)
    return tuple(pins)


Urls = Annotated[str | tuple[str, ...], BeforeValidator(check_urls)]
SecondsNs = Annotated[int, duration_ns("0s", "36500d"), AfterValidator(check_seconds), DURATION_SCHEMA]
Pins = Annotated[
    tuple[str, ...],
    BeforeValidator(check_pins),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class MqttTls(ConfigModel):
    """TLS, used when the url begins with mqtts:// or wss://.

    Version 1.3, or 1.2. The files are read at each connect; relative paths count from the configuration folder.
    """

    ca: ExistingFile | None = None
    """PEM file of the CA that signed the broker's certificate. Default: what the operating system trusts."""
    cert: ExistingFile | None = None
    """PEM file of the gateway's own certificate (and its chain), where the broker asks for one. Needs `key`."""
    key: ExistingFile | None = None
    """PEM file of the private key to `cert`, not encrypted."""
    alpn: Annotated[tuple[str, ...], AfterValidator(check_alpn)] = ()
    """Protocol names for brokers that share a port with others, for instance [mqtt] or AWS's [x-amzn-mqtt-ca]."""
    server_name: str = ""
    """Name that the broker's certificate must have and that is asked for (SNI), where it is not the url's host."""
    pin: Pins = ()
    """Fingerprints, one of which the broker must show: sha256: and 64 hex digits, of its certificate or of its public key
    (which stays the same over renewals). Checked beside the CA; with `insecure`, instead of it."""
    crl: ExistingFile | None = None
    """PEM file of revocation lists: a broker is refused whose certificate is on them, or whose authorities have no current
    list there."""
    crl_check: Literal["chain", "leaf"] = "chain"
    """Who needs a list in crl. `chain`: every authority in the chain. `leaf`: only that of the broker's certificate."""
    ocsp: Literal["off", "stapled"] = "off"
    """`stapled`: the broker must staple a current answer of its authority's OCSP responder that its certificate is good."""
    insecure: bool = False
    """True accepts any certificate from anybody, unless there is a `pin`. Without one for a first try on the bench only."""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together: set both or neither")
        if self.insecure and self.ca is not None:
            raise ValueError("insecure accepts any certificate, so ca has no meaning: remove one of them")
        if self.insecure and (self.crl is not None or self.ocsp != "off"):
            raise ValueError("insecure accepts any certificate, so crl and ocsp have no meaning: remove one of them")
        if self.crl is None and self.crl_check != "chain":
            raise ValueError("crl_check has no meaning without crl: set crl, or remove it")
        return self


class MqttConfig(ConfigModel):
    """The broker. One connection, QoS 1; what must not be lost stands in the outbox, not in the broker's session."""

    model_config = ConfigDict(hide_input_in_errors=True)

    url: Urls = "mqtt://localhost:1883"
    """The broker's address: mqtt://host:1883, mqtts://host:8883 for TLS, ws://host:80/mqtt or wss://host:443/mqtt for
    WebSocket. The port may be left out. A list names brokers of the same cluster, the preferred one first."""
    return_after: Annotated[int, duration_ns("10s", "7d"), DURATION_SCHEMA] = default("5m")
    """On another broker of the list: go back to an earlier one when it has been reachable for so long."""
    version: Annotated[Literal["5", "3.1.1"], BeforeValidator(check_version)] = "5"
    """MQTT version: 5 or 3.1.1. Version 5 tells why a message was refused; 3.1.1 brokers drop it silently."""
    client_id: Annotated[str, AfterValidator(check_client_id)] = ""
    """Client identifier, unique at the broker. Default: made from the gateway's name."""
    clean_start: bool = True
    """False goes on with the session that the broker has kept for the client id."""
    session_expiry: SecondsNs = default("0s")
    """How long the broker keeps the session after the connection has gone (MQTT 5)."""
    username: str = ""
    """User name at the broker. Default: none."""
    password: SecretStr = SecretStr("")
    """Password to `username`. Better set as the environment variable GATEWAY__MQTT__PASSWORD."""
    password_file: ExistingFile | None = None
    """File with the password or token instead, read at each connect: it may be renewed while the gateway runs."""
    password_credential: Annotated[str, AfterValidator(check_credential)] = ""
    """Name of a systemd credential (`LoadCredential=`) with the password or token instead, read at each connect."""
    password_command: Annotated[tuple[str, ...], AfterValidator(check_command)] = ()
    """Program and arguments that print the password or token instead, run at each connect without a shell, for at most
    10 s: [/usr/local/bin/token, --audience, broker]."""
    proxy: MqttProxy = MqttProxy()
    """The proxy through which brokers are reached."""
    root: Annotated[str, AfterValidator(check_root)] = "plant"
    """First level or levels of every topic, for instance plant or acme/berlin. At most 1024 bytes."""
    keepalive: Annotated[IntervalNs, AfterValidator(check_keepalive)] = default("30s")
    """Silence after which broker and gateway ask for a sign of life, whole seconds. A dead link is noticed within
    twice this time."""
    timeout: TimeoutNs = default("5s")
    """Longest wait for a connection, and for the broker's acknowledgement of a message."""
    start_spread: Annotated[int, duration_ns("0s", "10min"), DURATION_SCHEMA] = default("10s")
    """When the machine has just started, the first connection waits a random part of this: after a power cut many gateways
    start together."""
    in_flight: int = Field(20, ge=1, le=1000)
    """Messages on their way without acknowledgement. The broker's own limit (receive maximum) holds as well."""
    tries: int = Field(5, ge=3, le=100)
    """How often a message may be refused for now, or end the connection, while the broker takes all others: then it is
    set aside, with a loss record. More, and never in less than two minutes, where others are refused too."""
    retain: bool = True
    """False retains nothing, neither status and last will nor values, at a broker that keeps no retained messages. In MQTT 5
    a broker says so, and the gateway does without by itself; one of 3.1.1 just refuses or hangs up."""
    max_packet: Annotated[int, size_bytes("1KiB", "256MiB"), SIZE_SCHEMA] | None = None
    """Largest packet that the broker takes, where it does not say so itself: larger messages are sent in parts. Default:
    what it announces, and what is learned from refusals and ends of connections."""
    expiry: SecondsNs = default("0s")
    """How long the broker keeps a window, summary or value for subscribers that are away; 0s: without end. Events and loss
    records never expire (MQTT 5)."""
    expiry_backlog: bool = False
    """True lets what is sent from backlog expire as well."""
    will_delay: SecondsNs = default("0s")
    """How long the broker waits before it sends the last will: a shorter absence is not told (MQTT 5). Needs
    `clean_start: false` and a `session_expiry` at least as long."""
    topic_aliases: bool = True
    """False sends every topic in full, also where the broker takes aliases for frequent ones (MQTT 5)."""
    requests: MqttRequests = MqttRequests()
    """Questions for the past."""
    tls: MqttTls = MqttTls()
    """Certificates, with mqtts:// and wss:// only."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(given := self.password_sources) > 1:
            raise ValueError(f"{' and '.join(given)} say the same in two ways: expected one of them")
        if given and not self.username:
            raise ValueError(f"{given[0]} is set without username")
        if self.tls != MqttTls() and not any(address.secure for address in self.addresses):
            raise ValueError("tls is set but no url begins with mqtts:// or wss://; write mqtts:// for mqtt://")
        if self.version != "5":
            for key in ("session_expiry", "expiry", "will_delay"):
                if getattr(self, key):
                    raise ValueError(f"{key} needs MQTT 5: remove it or set version: 5")
        if self.session_expiry and self.clean_start:
            raise ValueError("session_expiry keeps a session that clean_start discards: set clean_start: false as well")
        if self.expiry_backlog and not self.expiry:
            raise ValueError("expiry_backlog says nothing without expiry: set expiry, or remove it")
        if self.will_delay > self.session_expiry:
            raise ValueError(
                "will_delay is longer than session_expiry, and a broker sends the last will when the session ends: set "
                "clean_start: false and session_expiry to at least will_delay"
            )
        return self

    @property
    def password_sources(self) -> list[str]:
        """Return the keys that say where the password comes from."""
        keys = ("password", "password_file", "password_credential", "password_command")
        return [key for key in keys if getattr(self, key)]

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The brokers, the preferred one first."""
        return tuple(map(parse_address, [self.url] if isinstance(self.url, str) else self.url))

    @property
    def spread_s(self) -> float:
        """`start_spread` in seconds; none for a broker on this machine, which only this gateway storms."""
        return 0.0 if all(address.is_local for address in self.addresses) else self.start_spread / 1e9
