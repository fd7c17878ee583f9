"""Settings of requests over MQTT."""

from pydantic import Field

from gateway.core.config_types import ConfigModel, TimeoutNs, default


class MqttRequests(ConfigModel):
    """Questions for the past over MQTT, answered from the history in parts. Who may ask is decided at the broker."""

    enabled: bool = False
    """Subscribe to `{root}/v1/{gateway}/raw/request` and answer below `{root}/v1/{gateway}/raw/answer`."""
    per_second: float = Field(10.0, ge=0.1, le=100)
    """Parts of answers per second at most, of up to 4,000 values each. One is on its way at a time, and they take a quarter
    of the connection at most."""
    waiting: int = Field(20, ge=1, le=1000)
    """Requests that may wait; more are refused with a reason."""
    timeout: TimeoutNs = default("5min")
    """The longest that a request waits and is answered; its own expiry, where that is shorter."""
