"""What `plugins.py` lists of the sink `mqtt`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.core.backoff import start_delay_s
from gateway.core.ports.layout import Session
from gateway.core.ports.sink import Sink, Subscriber
from gateway.core.ports.sink_plugin import DeliveryPolicy, FollowOptions, SinkServices
from gateway.sinks.mqtt.config import MqttConfig

if TYPE_CHECKING:
    from gateway.sinks.mqtt.types import Will

_MOST_RECEIVED_BYTES: Final = 1 << 20  # commands and states of hosts are small
_CONNECTION_LOST: Final = "connection lost"
_HERE: Final = ("localhost", "127.0.0.1", "::1")
_DEFAULT_BROKER: Final = "mqtt://127.0.0.1:1883"
_DEFAULT_ROOT: Final = "plant"
_SUBSCRIBER_SESSION: Final = "10min"
"""How long the broker keeps a subscriber's session; a `gateway tail` that was killed leaves it behind for so long."""
HINT: Final = (
    "does another gateway with this name, or another client with this client id, use the broker? "
    "Or is it out of memory, or allowed less? Its log says why"
)


class MqttPlugin:
    """A `core.ports.sink_plugin.SinkPlugin`: an MQTT broker. Rooted, advised and followable."""

    name = "mqtt"
    description = "The broker upstream."
    config_model = MqttConfig

    def describe(self, config: MqttConfig) -> str:
        """Return the brokers' addresses."""
        return ", ".join(map(str, config.addresses))

    def policy(self, config: MqttConfig, up_s: float) -> DeliveryPolicy:
        """Return how a publisher treats the broker."""
        return DeliveryPolicy(config.tries, start_delay_s(up_s, config.spread_s), HINT)

    def build(self, config: MqttConfig, services: SinkServices) -> Sink:
        """Return the sink with its client, not yet open."""
        from gateway.sinks.mqtt.client import MqttClient
        from gateway.sinks.mqtt.message_expiry import MessageExpiry
        from gateway.sinks.mqtt.request_desk import RequestDesk
        from gateway.sinks.mqtt.sink import MqttSink, SendLimits

        client = MqttClient(
            config,
            client_id=f"gateway-{services.gateway}{f'-{services.name}' if services.name else ''}",
            will=_will(services),
            most_received=_MOST_RECEIVED_BYTES,
            is_paced=True,
        )
        expiry_s = config.expiry // 1_000_000_000
        expiry = MessageExpiry(expiry_s, expiry_s if config.expiry_backlog else 0)
        limits = SendLimits(config.in_flight, config.timeout / 1e9, config.tries, expiry)
        desk = None
        if config.requests.enabled and services.past is not None:
            desk = RequestDesk(client, services.past, config.requests, services.clock)
        return MqttSink(client, services.layout, services.status, services.clock, limits, desk)

    def topic_root(self, config: MqttConfig) -> str:
        """Return the first levels of every topic."""
        return config.root

    def secret_files(self, config: MqttConfig) -> Sequence[Path]:
        """Return the private key and the file of the password, where they are configured."""
        return [path for path in (config.tls.key, config.password_file) if isinstance(path, Path)]

    def warnings(self, config: MqttConfig) -> Sequence[tuple[str, str]]:
        """Return a warning about a password that travels unencrypted."""
        broker = config.addresses[0]
        if (keys := config.password_sources) and not broker.secure and broker.host not in _HERE:
            return [(keys[0], "travels in clear; mqtts:// encrypts it")]
        return []

    def follow_config(self, options: FollowOptions, configured: MqttConfig | None) -> MqttConfig:
        """Return the section to follow with: the gateway's own place and login, unless an option names another.

        MQTT 3.1.1 has no end of sessions, so none is left behind there. Raises ValidationError.
        """
        if configured is None:
            return _subscriber_config(options, options.root or _DEFAULT_ROOT, _DEFAULT_BROKER)
        root = options.root or configured.root
        if options.url or options.username or options.ca or options.version:  # another place or person: no login for it
            return _subscriber_config(options, root, configured.url)
        # in the gateway's place, but never with its client id: it would be thrown out
        session = _subscriber_config(options, root, _DEFAULT_BROKER) if configured.version == "5" else MqttConfig()
        own = {"clean_start": session.clean_start, "session_expiry": session.session_expiry, "will_delay": 0}
        return configured.model_copy(update={"client_id": options.client_id, "root": root, **own})

    def keeps_subscriptions(self, config: MqttConfig) -> bool:
        """Return whether the broker keeps the session."""
        return config.session_expiry > 0

    def subscriber(self, config: MqttConfig, client_id: str) -> Subscriber:
        """Return a client that receives, not yet open."""
        from gateway.sinks.mqtt.client import MqttClient

        return MqttClient(config, client_id=client_id, resume=self.keeps_subscriptions(config))


def _will(services: SinkServices) -> "Will | Callable[[], Will | None]":
    from gateway.sinks.mqtt.birth_publisher import STATUS_TYPE
    from gateway.sinks.mqtt.types import Will

    layout = services.layout
    if not isinstance(layout, Session):
        return Will(*services.status.offline(_CONNECTION_LOST), STATUS_TYPE)

    def will() -> Will | None:
        packet = layout.will()
        if packet is None:
            return None
        return Will(packet.topic, packet.payload, retain=False, after_disconnect=lambda: layout.is_announced)

    return will


def _subscriber_config(options: FollowOptions, root: str, url: str | tuple[str, ...]) -> MqttConfig:
    """Return a subscriber's section. Raises ValidationError. Without a user name the password is not used."""
    version = options.version or "5"
    session = {"clean_start": False, "session_expiry": _SUBSCRIBER_SESSION} if version == "5" else {}
    return MqttConfig.model_validate(
        {
            "url": options.url or url,
            "username": options.username,
            "password": options.password if options.username else "",
            "root": root,
            "version": version,
            "client_id": options.client_id,
            "tls": {"ca": options.ca} if options.ca else {},
            **session,
        }
    )
