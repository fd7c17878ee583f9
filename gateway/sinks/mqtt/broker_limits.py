"""What a broker cannot do, as far as the configuration says so or connections have shown."""

from dataclasses import dataclass

import structlog

log = structlog.get_logger("publisher")


@dataclass(slots=True)
class BrokerLimits:
    """Of one client's brokers, over all connections."""

    most_packet_bytes: int
    """Largest packet, by the configuration; a broker of MQTT 5 may announce a smaller one."""
    retains: bool = True
    """It keeps retained messages."""

    def cannot_retain(self) -> None:
        """Record that a broker has refused to retain (0x9A; MQTT 5.0, 3.2.2.3.5): nothing is retained from now on."""
        if self.retains:
            self.retains = False
            log.warning(
                "the broker keeps no retained messages: status and last will are not retained, nor are values",
                hint="mqtt.retain: false says so from the beginning",
            )
