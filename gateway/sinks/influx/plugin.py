"""What `plugins.py` lists of the sink `influx`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.core.backoff import start_delay_s
from gateway.core.ports.sink import Sink
from gateway.core.ports.sink_plugin import DeliveryPolicy, SinkServices
from gateway.sinks.access.config import is_local
from gateway.sinks.influx.config import InfluxConfig

HINT: Final = "is there a proxy between that ends connections, or a fault that the server's log names?"


class InfluxPlugin:
    """A `core.ports.sink_plugin.SinkPlugin`: a server that takes line protocol."""

    name = "influx"
    description = "A server of line protocol upstream: InfluxDB, VictoriaMetrics, QuestDB, Telegraf."
    config_model = InfluxConfig

    def describe(self, config: InfluxConfig) -> str:
        """Return the address and where lines go there."""
        return f"{config.url} {f'bucket {config.bucket}' if config.version == '2' else f'database {config.database}'}"

    def policy(self, config: InfluxConfig, up_s: float) -> DeliveryPolicy:
        """Return how a publisher treats the server."""
        spread_s = 0.0 if is_local(config.host) else config.start_spread / 1e9
        return DeliveryPolicy(config.tries, start_delay_s(up_s, spread_s), HINT)

    def build(self, config: InfluxConfig, services: SinkServices) -> Sink:
        """Return the sink, not yet open."""
        from gateway.sinks.influx.sink import InfluxSink

        return InfluxSink(config, services.gateway, "gateway", services.document)

    def secret_files(self, config: InfluxConfig) -> Sequence[Path]:
        """Return the private key and the files of token and password, where they are configured."""
        return [path for path in (config.tls.key, config.token_file, config.password_file) if path is not None]

    def warnings(self, config: InfluxConfig) -> Sequence[tuple[str, str]]:
        """Return a warning about a token or password that travels unencrypted."""
        has_secret = config.token or config.token_file or config.password or config.password_file
        if has_secret and not config.is_secure and not is_local(config.host):
            return [("url", "the token or password travels in clear; https:// encrypts it")]
        return []
