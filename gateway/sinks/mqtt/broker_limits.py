"""What a broker cannot do, as far as the configuration says so or connections have shown."""

from dataclasses import dataclass
from typing import Final

import structlog

log = structlog.get_logger("publisher")

_LARGEST_WINDOW: Final = 65_535


@dataclass(slots=True)
class BrokerLimits:
    """Of one client's brokers, over all connections."""

    most_packet_bytes: int
    """Largest packet, by the configuration; a broker of MQTT 5 may announce a smaller one."""
    retains: bool = True
    """They keep retained messages, as far as is known."""
    retains_here: bool = True
    """That of the present connection does."""

    def granted(self, properties: object) -> tuple[int, int, int, bool]:
        """Return what a CONNACK grants: receive maximum, largest packet, topic alias maximum, whether it retains.

        Absent means the largest value, no alias, and retain available (MQTT 5.0, 3.2.2.3).
        """
        self.retains_here = self.retains and bool(getattr(properties, "RetainAvailable", True))
        return (
            getattr(properties, "ReceiveMaximum", _LARGEST_WINDOW),
            min(getattr(properties, "MaximumPacketSize", self.most_packet_bytes), self.most_packet_bytes),
            getattr(properties, "TopicAliasMaximum", 0),
            self.retains_here,
        )

    def cannot_retain(self) -> None:
        """Record that a broker has refused to retain (0x9A; MQTT 5.0, 3.2.2.3.5): nothing is retained from now on."""
        self.retains_here = False
        if self.retains:
            self.retains = False
            log.warning(
                "the broker keeps no retained messages: status and last will are not retained, nor are values",
                hint="mqtt.retain: false says so from the beginning",
            )
