"""What `plugins.py` lists of the sink `kafka`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.core.backoff import start_delay_s
from gateway.core.ports.sink import Sink
from gateway.core.ports.sink_plugin import DeliveryPolicy, SinkServices
from gateway.sinks.access.config import is_local
from gateway.sinks.kafka.config import KafkaConfig

HINT: Final = "are all brokers reachable under the names that they advertise (advertised.listeners)?"


class KafkaPlugin:
    """A `core.ports.sink_plugin.SinkPlugin`: a Kafka cluster."""

    name = "kafka"
    description = "An Apache Kafka cluster upstream."
    config_model = KafkaConfig

    def describe(self, config: KafkaConfig) -> str:
        """Return the brokers' addresses and the topic."""
        brokers = ", ".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in config.addresses)
        return f"kafka://{brokers} topic {config.topic}"

    def policy(self, config: KafkaConfig, up_s: float) -> DeliveryPolicy:
        """Return how a publisher treats the cluster."""
        spread_s = 0.0 if all(is_local(host) for host, _ in config.addresses) else config.start_spread / 1e9
        return DeliveryPolicy(config.tries, start_delay_s(up_s, spread_s), HINT)

    def build(self, config: KafkaConfig, services: SinkServices) -> Sink:
        """Return the sink, not yet open."""
        from gateway.sinks.kafka.sink import KafkaSink

        own = f"-{services.name}" if services.name else ""
        return KafkaSink(config, services.layout, services.gateway, services.clock, own)

    def secret_files(self, config: KafkaConfig) -> Sequence[Path]:
        """Return the private key and the files of password and token, where they are configured."""
        key = config.tls.key if config.tls is not None else None
        sasl = config.sasl
        files = (key, sasl.password_file, sasl.token_file) if sasl is not None else (key,)
        return [path for path in files if path is not None]

    def warnings(self, config: KafkaConfig) -> Sequence[tuple[str, str]]:
        """Return a warning about a password or token that travels unencrypted."""
        sasl = config.sasl
        travels = not all(is_local(host) for host, _ in config.addresses)
        if sasl is not None and config.tls is None and travels and sasl.mechanism in ("PLAIN", "OAUTHBEARER"):
            return [("sasl.mechanism", f"{sasl.mechanism} sends the secret in clear; tls: {{}} encrypts it")]
        return []
