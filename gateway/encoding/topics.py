"""The topics of layout device, which also identify messages in the outbox."""

from collections.abc import Sequence
from dataclasses import dataclass

CONTRACT_VERSION = "v1"


@dataclass(frozen=True, slots=True)
class Topics:
    """All topics of one gateway: `{root}/v1/{gateway}/...`."""

    root: str
    """The first levels, common to several gateways."""
    gateway: str
    """The gateway's name."""
    devices: tuple[str, ...]
    """The devices' names by table row."""

    @classmethod
    def of(cls, root: str, gateway: str, devices: Sequence[str]) -> "Topics":
        """Return the topics below `root` for a gateway and its devices, whose names have been checked as topic levels."""
        return cls(root, gateway, tuple(devices))

    @property
    def base(self) -> str:
        """Return what all topics of the gateway begin with."""
        return f"{self.root}/{CONTRACT_VERSION}/{self.gateway}"

    @property
    def status(self) -> str:
        """Return the topic of the state of the gateway and its devices."""
        return f"{self.base}/status"

    @property
    def raw_request(self) -> str:
        """Return the topic on which the past is asked for."""
        return f"{self.base}/raw/request"

    @property
    def raw_answer(self) -> str:
        """Return the topic of answers, or its first levels."""
        return f"{self.base}/raw/answer"

    def of_device(self, device: int) -> str:
        """Return what all topics of a device begin with."""
        return f"{self.base}/{self.devices[device]}"

    def event(self, device: int | None) -> str:
        """Return the topic of events of a device, or of the gateway itself."""
        return f"{self.base}/event" if device is None else f"{self.base}/{self.devices[device]}/event"

    def window(self, device: int) -> str:
        """Return the topic of a device's windows."""
        return f"{self.base}/{self.devices[device]}/window"

    def summary(self, device: int) -> str:
        """Return the topic of a device's one-minute summaries."""
        return f"{self.base}/{self.devices[device]}/summary"

    def value(self, device: int) -> str:
        """Return the topic of a device's values that are no numbers, published when they change."""
        return f"{self.base}/{self.devices[device]}/value"

    def stats(self, device: int | None) -> str:
        """Return the topic of counters and measurements of a device's connection, or of the gateway itself."""
        return f"{self.base}/stats" if device is None else f"{self.base}/{self.devices[device]}/stats"

    def event_of_sink(self, sink: str) -> str:
        """Return the topic of the loss records of one of several sinks, which that sink alone gets."""
        return f"{self.base}/{level_of_sink(sink)}/event"


def level_of_sink(sink: str) -> str:
    """Return the level that stands in the place of a device in the topic of a sink's loss records."""
    return f"sink-{sink}"
