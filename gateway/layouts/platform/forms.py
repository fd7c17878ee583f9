"""What platforms want: topics and payloads of windows and values, and of all else."""

from dataclasses import dataclass
from typing import Any, Final

CONTRACT: Final = "{root}/v1/{gateway}/{device}/{kind}"
"""The contract's topics."""
CONTRACT_MESSAGE: Final = "$message"
"""Their payload."""


@dataclass(frozen=True, slots=True)
class Form:
    """The topics and payloads of one platform."""

    topic: str = CONTRACT
    payload: str = CONTRACT_MESSAGE
    other_topic: str = CONTRACT
    other_payload: str = CONTRACT_MESSAGE
    is_state: bool = False
    """Windows and values are the newest state: what is sent from backlog or completes an earlier window is no state."""
    most_bytes: int = 1 << 18
    """The largest payload that the platform takes."""


_AZURE: Final = "devices/{id}/messages/events/$.ct=application%2Fjson&$.ce=utf-8&device={device}&kind={kind}"
_FORMS: Final = {
    "plain": Form(),
    # thingsboard.io, Gateway MQTT API Reference: telemetry upload; devices are made with their first message
    "thingsboard": Form(
        topic="v1/gateway/telemetry",
        payload='{"$device": [{"ts": $ts, "values": $values}]}',
        other_topic="v1/gateway/telemetry",
        other_payload='{"$device": [{"ts": $ts, "values": {"$kind": $message}}]}',
        most_bytes=65_536,
    ),
    # Azure IoT Hub, Communicate using MQTT: device-to-cloud messages with system and application properties in the topic
    "azure-iot-hub": Form(topic=_AZURE, other_topic=_AZURE),
    # AWS IoT Core, Device Shadow MQTT topics; a shadow document has at most 8 KB
    "aws-shadow": Form(
        topic="$aws/things/{id}/shadow/update",
        payload='{"state": {"reported": {"$device": $values}}}',
        is_state=True,
        most_bytes=8_192,
    ),
    # Losant, MQTT: device state
    "losant": Form(
        topic="losant/{id}/state",
        payload='{"time": $ts, "data": $values}',
        other_topic="losant/{id}/state",
        other_payload='{"time": $ts, "data": {"$kind": $text}}',
        most_bytes=262_144,
    ),
}


def form_of(config: Any) -> Form:
    """Return the form of a configuration, with what it gives itself. config: a `PlatformConfig`."""
    form = _FORMS[config.form]
    return Form(
        config.topic or form.topic,
        config.payload or form.payload,
        config.other_topic or form.other_topic,
        config.other_payload or form.other_payload,
        form.is_state,
        form.most_bytes,
    )
