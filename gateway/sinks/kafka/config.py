"""Where the Kafka cluster is, and what records look like."""

import re
from importlib.util import find_spec
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from gateway.core.config_types import (
    DURATION_SCHEMA,
    SIZE_SCHEMA,
    ConfigModel,
    ExistingFile,
    default,
    duration_ns,
    size_bytes,
)
from gateway.sinks.access.config import ClientTls, host_and_port

DEFAULT_PORT: Final = 9092
PLACEHOLDERS: Final = ("gateway", "device", "stream")
_MOST_BROKERS: Final = 16
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_LEGAL_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]+")


def check_brokers(value: Any) -> Any:
    """Return one address or several, as `host:port`. Raises ValueError."""
    brokers = value if isinstance(value, list | tuple) else [value]
    if not 1 <= len(brokers) <= _MOST_BROKERS or not all(isinstance(broker, str) for broker in brokers):
        raise ValueError(f"expected one address or a list of up to {_MOST_BROKERS}, for instance kafka.example:9092")
    for broker in brokers:
        host_and_port(broker, DEFAULT_PORT)
    return tuple(brokers)


def _check_placeholders(value: str) -> None:
    unknown = sorted({name for name in _PLACEHOLDER.findall(value) if name not in PLACEHOLDERS})
    if unknown or "{" in (rest := _PLACEHOLDER.sub("", value)) or "}" in rest:
        known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise ValueError(f"{value!r} has an unknown placeholder {' '.join(unknown)}".rstrip() + f"; expected {known}")


def check_topic(value: str) -> str:
    """Return a template of topics whose own characters Kafka allows. Raises ValueError."""
    _check_placeholders(value)
    plain = _PLACEHOLDER.sub("x", value)
    if not _LEGAL_TOPIC.fullmatch(plain) or plain in {".", ".."}:
        raise ValueError(
            f"{value!r} is not a topic of Kafka; expected letters, digits, dot, underscore and hyphen, "
            "for instance plant.{stream}"
        )
    return value


def check_key(value: str) -> str:
    """Return a template of keys. Raises ValueError."""
    _check_placeholders(value)
    return value


class KafkaSasl(ConfigModel):
    """How the gateway says who it is."""

    model_config = ConfigDict(hide_input_in_errors=True)

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = "SCRAM-SHA-512"
    """PLAIN sends the password as it is, so only with TLS. OAUTHBEARER sends the token of `token_file`."""
    username: str = ""
    """User name, with PLAIN and SCRAM."""
    password: SecretStr = SecretStr("")
    """Password to `username`; better `!secret NAME`."""
    password_file: ExistingFile | None = None
    """File with the password instead, read at each connect."""
    token_file: ExistingFile | None = None
    """File with the token of OAUTHBEARER, read at each connect: whoever renews it writes the file anew."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.mechanism == "OAUTHBEARER":
            if self.token_file is None:
                raise ValueError("OAUTHBEARER needs token_file")
            if self.username or self.password or self.password_file:
                raise ValueError("username and password have no meaning with OAUTHBEARER: remove them")
            return self
        if self.token_file is not None:
            raise ValueError(f"token_file has no meaning with {self.mechanism}: remove it, or set mechanism: OAUTHBEARER")
        if not self.username:
            raise ValueError(f"{self.mechanism} needs username")
        if self.password and self.password_file:
            raise ValueError("password and password_file say the same in two ways: expected one of them")
        if not self.password and not self.password_file:
            raise ValueError(f"{self.mechanism} needs password or password_file")
        return self


Seconds = Annotated[int, duration_ns("1s", "1h"), DURATION_SCHEMA]


class KafkaConfig(ConfigModel):
    """An Apache Kafka cluster, version 1.0 or newer. An idempotent producer with acks=all; needs the extra `kafka`."""

    model_config = ConfigDict(hide_input_in_errors=True)

    brokers: Annotated[str | tuple[str, ...], BeforeValidator(check_brokers)] = ("localhost:9092",)
    """One or several brokers of the cluster as host:port; the others are learned from them."""
    topic: Annotated[str, AfterValidator(check_topic)] = "gateway.{stream}"
    """Kafka topic of a message. {gateway}, {device} and {stream} (window, summary, value, event, stats) are put in;
    characters that Kafka does not allow become underscores. The gateway's own messages have the gateway's name as
    {device}."""
    key: Annotated[str, AfterValidator(check_key)] = "{device}"
    """Key of a record, with the same placeholders: records of one key stay in order, in one partition."""
    cloudevents: bool = False
    """True adds the headers of CloudEvents 1.0 in binary mode: ce_id, ce_source, ce_type, ce_time."""
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "zstd"
    """Compression of batches."""
    batch: Annotated[int, size_bytes("1KiB", "1MiB"), SIZE_SCHEMA] = default("128KiB")
    """Largest batch of records of one partition, before compression."""
    max_record: Annotated[int, size_bytes("1KiB", "16MiB"), SIZE_SCHEMA] = default("900KiB")
    """Largest value of a record; larger messages are sent in parts. Brokers take 1 MiB unless they are told otherwise
    (message.max.bytes), and the gateway learns where one takes less."""
    in_flight: int = Field(1000, ge=1, le=10_000)
    """Messages on their way without acknowledgement."""
    connect_timeout: Seconds = default("10s")
    """Longest wait for a connection, and for the answer to one request."""
    timeout: Seconds = default("30s")
    """Longest wait for acknowledgements, over restarts of brokers and changes of leaders. Then the producer is thrown away,
    and what was not acknowledged is sent again by a new one."""
    tries: int = Field(5, ge=3, le=100)
    """How often a message may be refused for now while the cluster takes all others: then it is set aside, with a loss
    record."""
    client_id: str = ""
    """Client id, for logs and quotas of the cluster. Default: made from the gateway's name."""
    start_spread: Annotated[int, duration_ns("0s", "10min"), DURATION_SCHEMA] = default("10s")
    """When the machine has just started, the first connection waits a random part of this."""
    tls: ClientTls | None = None
    """TLS, used where this is given: `tls: {}` for the system's authorities."""
    sasl: KafkaSasl | None = None
    """Login, used where this is given."""

    @model_validator(mode="after")
    def _installed(self) -> Self:
        if find_spec("aiokafka") is None:
            raise ValueError("the package aiokafka is missing; expected a gateway installed with its extra kafka")
        return self

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each broker."""
        brokers = (self.brokers,) if isinstance(self.brokers, str) else self.brokers
        return tuple(host_and_port(broker, DEFAULT_PORT) for broker in brokers)
