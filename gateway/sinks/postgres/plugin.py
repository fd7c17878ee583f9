"""What `plugins.py` lists of the sink `postgres`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.core.backoff import start_delay_s
from gateway.core.ports.sink import Sink
from gateway.core.ports.sink_plugin import DeliveryPolicy, SinkServices
from gateway.sinks.access.config import is_local
from gateway.sinks.postgres.config import PostgresConfig

HINT: Final = "does the database end connections (idle_session_timeout, a pooler, a fault that its log names)?"


class PostgresPlugin:
    """A `core.ports.sink_plugin.SinkPlugin`: a PostgreSQL database."""

    name = "postgres"
    description = "A PostgreSQL database upstream."
    config_model = PostgresConfig

    def describe(self, config: PostgresConfig) -> str:
        """Return the address and the tables."""
        return f"{config.url} tables {config.table_schema}.{config.prefix}*"

    def policy(self, config: PostgresConfig, up_s: float) -> DeliveryPolicy:
        """Return how a publisher treats the database."""
        spread_s = 0.0 if is_local(config.host) else config.start_spread / 1e9
        return DeliveryPolicy(config.tries, start_delay_s(up_s, spread_s), HINT)

    def build(self, config: PostgresConfig, services: SinkServices) -> Sink:
        """Return the sink, not yet open."""
        from gateway.sinks.postgres.sink import PostgresSink

        client = "-".join(part for part in ("gateway", services.gateway, services.name) if part)
        return PostgresSink(config, services.gateway, client, services.document)

    def secret_files(self, config: PostgresConfig) -> Sequence[Path]:
        """Return the private key and the file of the password, where they are configured."""
        key = config.tls.key if config.tls is not None else None
        return [path for path in (key, config.password_file) if path is not None]

    def warnings(self, config: PostgresConfig) -> Sequence[tuple[str, str]]:
        """Return a warning about data and login that travel unencrypted."""
        if config.tls is None and not is_local(config.host):
            return [("url", "data and login travel in clear; tls: {} encrypts them")]
        return []
