"""Where line protocol goes, and how it is authorised."""

from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from gateway.core.config_types import DURATION_SCHEMA, ConfigModel, ExistingFile, default, duration_ns
from gateway.sinks.access.config import ClientTls

_EXPECTED: Final = "expected for instance http://localhost:8086"
_PORTS: Final = {"http": 80, "https": 443}


def check_url(value: str) -> str:
    """Return an address `http://host:port`. Raises ValueError, which never quotes a password back."""
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(f"host or port cannot be read; {_EXPECTED}") from None
    if parts.scheme not in _PORTS:
        raise ValueError(f"must begin with http:// or https://; {_EXPECTED}")
    if "@" in parts.netloc:
        raise ValueError("must not carry user name or password (logs would show them); set username and password, or token")
    if not parts.hostname or port == 0 or parts.query or parts.fragment:
        raise ValueError(f"expected a host, a port and perhaps a path, and nothing else; {_EXPECTED}")
    return value.rstrip("/")


def check_text(value: str) -> str:
    """Return a name that can go into an address or a header. Raises ValueError."""
    if not value.isprintable() or len(value) > 200:
        raise ValueError("must be at most 200 characters of printable text")
    return value


def check_prefix(value: str) -> str:
    """Return what measurements begin with. Raises ValueError."""
    if not all(c.isascii() and (c.isalnum() or c in "_-.") for c in value) or len(value) > 100:
        raise ValueError(f"{value!r} is no begin of a measurement; expected letters, digits, underscore, hyphen and dot")
    return value


Text = Annotated[str, AfterValidator(check_text)]
Seconds = Annotated[int, duration_ns("1s", "1h"), DURATION_SCHEMA]
Version = Annotated[
    Literal["1", "2"], BeforeValidator(lambda value: str(value) if type(value) is int else value)
]  # YAML reads a number


class InfluxConfig(ConfigModel):
    """A server that takes line protocol over HTTP: InfluxDB 1, 2 and 3, VictoriaMetrics, QuestDB, Telegraf."""

    model_config = ConfigDict(hide_input_in_errors=True)

    url: Annotated[str, AfterValidator(check_url)] = "http://localhost:8086"
    """Address of the server: http://host:port, https:// for TLS; with the path before /write or /api/v2/write, if any."""
    version: Version = "2"
    """2 writes to /api/v2/write with org, bucket and token, 1 to /write with database, user name and password."""
    org: Text = ""
    """Organisation, with version 2."""
    bucket: Text = "plant"
    """Bucket, with version 2."""
    token: SecretStr = SecretStr("")
    """Token, with version 2; better `!secret NAME`."""
    token_file: ExistingFile | None = None
    """File with the token instead, read at each connect."""
    database: Text = "plant"
    """Database, with version 1. It has to be there."""
    retention_policy: Text = ""
    """Retention policy, with version 1. Default: the database's own."""
    username: Text = ""
    """User name, with version 1."""
    password: SecretStr = SecretStr("")
    """Password to `username`; better `!secret NAME`."""
    password_file: ExistingFile | None = None
    """File with the password instead, read at each connect."""
    prefix: Annotated[str, AfterValidator(check_prefix)] = "gateway_"
    """What measurements begin with: gateway_window, gateway_summary, gateway_value, gateway_event, gateway_stats."""
    gzip: bool = True
    """False sends requests uncompressed."""
    batch: int = Field(500, ge=1, le=5000)
    """Most messages in one request."""
    in_flight: int = Field(2000, ge=1, le=20_000)
    """Messages on their way without acknowledgement."""
    connect_timeout: Seconds = default("10s")
    """Longest wait for a connection."""
    timeout: Seconds = default("30s")
    """Longest wait for an answer. Then the connection counts as lost."""
    tries: int = Field(5, ge=3, le=100)
    """How often a message may be refused for now while the server takes all others: then it is set aside, with a loss
    record."""
    start_spread: Annotated[int, duration_ns("0s", "10min"), DURATION_SCHEMA] = default("10s")
    """When the machine has just started, the first connection waits a random part of this."""
    tls: ClientTls = ClientTls()
    """Certificates, with https:// only."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        given = self.model_fields_set
        others = {"database", "retention_policy", "username", "password", "password_file"} if self.version == "2" else {
            "org", "bucket", "token", "token_file"
        }  # fmt: skip
        if wrong := sorted(others & given):
            raise ValueError(f"{' and '.join(wrong)} have no meaning with version: {self.version}; remove them or change it")
        for secret, file in (("token", "token_file"), ("password", "password_file")):
            if getattr(self, secret) and getattr(self, file):
                raise ValueError(f"{secret} and {file} say the same in two ways: expected one of them")
        if (self.password or self.password_file) and not self.username:
            raise ValueError("password is set without username")
        if self.tls != ClientTls() and not self.is_secure:
            raise ValueError("tls is set but url does not begin with https://")
        return self

    @property
    def is_secure(self) -> bool:
        """Return whether the connection is encrypted."""
        return self.url.startswith("https://")

    @property
    def host(self) -> str:
        """Return the host."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Return the port."""
        parts = urlsplit(self.url)
        return parts.port or _PORTS[parts.scheme]
