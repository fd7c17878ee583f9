"""Where the database is, and which tables are written."""

import re
from importlib.util import find_spec
from typing import Annotated, Final, Self
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, ConfigDict, Field, SecretStr, model_validator

from gateway.core.config_types import DURATION_SCHEMA, ConfigModel, ExistingFile, default, duration_ns
from gateway.sinks.access.config import ClientTls

_EXPECTED: Final = "expected for instance postgresql://localhost:5432/plant"
_DEFAULT_PORT: Final = 5432
_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,40}")


def check_url(value: str) -> str:
    """Return an address `postgresql://host:port/database`. Raises ValueError, which never quotes a password back."""
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(f"host or port cannot be read; {_EXPECTED}") from None
    if parts.scheme not in ("postgresql", "postgres"):
        raise ValueError(f"must begin with postgresql://; {_EXPECTED}")
    if "@" in parts.netloc:
        raise ValueError("must not carry user name or password (logs would show them); set username and password")
    if not parts.hostname or port == 0 or parts.query or parts.fragment:
        raise ValueError(f"expected a host, a port and a database, and nothing else; {_EXPECTED}")
    if not unquote(parts.path.strip("/")) or "/" in parts.path.strip("/"):
        raise ValueError(f"the name of the database is missing; {_EXPECTED}")
    return value


def check_name(value: str) -> str:
    """Return a name of a schema or the begin of one of a table. Raises ValueError."""
    if not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} is no name; expected lower-case letters, digits and underscores, at most 41")
    return value


SqlName = Annotated[str, AfterValidator(check_name)]
Seconds = Annotated[int, duration_ns("1s", "1h"), DURATION_SCHEMA]


class PostgresConfig(ConfigModel):
    """A PostgreSQL database, version 12 or newer, or TimescaleDB. One connection; needs the extra `postgres`."""

    model_config = ConfigDict(hide_input_in_errors=True)

    url: Annotated[str, AfterValidator(check_url)] = "postgresql://localhost:5432/plant"
    """Address of the database: postgresql://host:port/database."""
    username: str = "gateway"
    """User of the database."""
    password: SecretStr = SecretStr("")
    """Password to `username`; better `!secret NAME`."""
    password_file: ExistingFile | None = None
    """File with the password instead, read at each connect."""
    tls: ClientTls | None = None
    """TLS, used where this is given: `tls: {}` for the system's authorities. The server then must offer it."""
    table_schema: SqlName = "public"
    """Schema of the tables."""
    prefix: SqlName = "gateway_"
    """What the names of all tables begin with: gateway_windows, gateway_events, gateway_values, gateway_messages."""
    create: bool = True
    """False never makes or changes a table: they have to be there (the page on PostgreSQL has the statements)."""
    hypertable: bool = True
    """Tables that the gateway makes become hypertables by `ts` where the extension timescaledb is there."""
    batch: int = Field(500, ge=1, le=5000)
    """Most messages in one transaction."""
    in_flight: int = Field(2000, ge=1, le=20_000)
    """Messages on their way without acknowledgement."""
    connect_timeout: Seconds = default("10s")
    """Longest wait for a connection."""
    timeout: Seconds = default("30s")
    """Longest wait for a transaction. Then the connection counts as lost."""
    tries: int = Field(5, ge=3, le=100)
    """How often a message may be refused for now while the database takes all others: then it is set aside, with a loss
    record."""
    start_spread: Annotated[int, duration_ns("0s", "10min"), DURATION_SCHEMA] = default("10s")
    """When the machine has just started, the first connection waits a random part of this."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if find_spec("asyncpg") is None:
            raise ValueError("the package asyncpg is missing; expected a gateway installed with its extra postgres")
        if self.password and self.password_file:
            raise ValueError("password and password_file say the same in two ways: expected one of them")
        return self

    @property
    def host(self) -> str:
        """Return the host."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Return the port."""
        return urlsplit(self.url).port or _DEFAULT_PORT

    @property
    def database(self) -> str:
        """Return the name of the database."""
        return unquote(urlsplit(self.url).path.strip("/"))
