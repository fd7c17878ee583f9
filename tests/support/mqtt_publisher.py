"""A publisher over the MQTT sink, for tests of what it does with a broker, fake or real."""

from collections.abc import Callable, Iterator

from gateway.core.clock import Clock
from gateway.core.ports.layout import Layout
from gateway.core.ports.outbox import Deliveries
from gateway.core.ports.sink import StatusFeed
from gateway.core.ports.sink_plugin import DeliveryPolicy
from gateway.runtime.publisher import Publisher
from gateway.sinks.mqtt.plugin import HINT
from gateway.sinks.mqtt.sink import Client, MqttSink, SendLimits


def mqtt_publisher(
    client: Client,
    outbox: Deliveries,
    clock: Clock,
    *,
    layout: Layout,
    status: StatusFeed,
    in_flight: int = 20,
    ack_timeout_s: float = 1.0,
    tries: int = 5,
    first_delay_s: float = 0.0,
    delays: Callable[[], Iterator[float]] = lambda: iter([0.05] * 1000),
) -> Publisher:
    """The two as the gateway builds them, with delays of the test's own."""
    sink = MqttSink(client, layout, status, clock, SendLimits(in_flight, ack_timeout_s, tries))
    return Publisher(sink, outbox, clock, DeliveryPolicy(tries, first_delay_s, HINT), delays=delays)
