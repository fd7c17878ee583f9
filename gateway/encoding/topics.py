"""Where messages go."""

from collections.abc import Sequence
from dataclasses import dataclass

CONTRACT_VERSION = "v1"


@dataclass(frozen=True, slots=True)
class Topics:
    """All topics of one gateway: `{root}/v1/{gateway}/...`."""

    root: str
    gateway: str
    devices: tuple[str, ...]

    @classmethod
    def of(cls, root: str, gateway: str, devices: Sequence[str]) -> "Topics":
        """Topics below `root` for a gateway and its devices, all of them already checked as topic levels."""
        return cls(root, gateway, tuple(devices))

    @property
    def base(self) -> str:
        """What all topics of the gateway begin with."""
        return f"{self.root}/{CONTRACT_VERSION}/{self.gateway}"

    @property
    def status(self) -> str:
        """Retained state of the gateway and its devices; also the last will."""
        return f"{self.base}/status"

    def of_device(self, device: int) -> str:
        """Return what all topics of a device begin with."""
        return f"{self.base}/{self.devices[device]}"

    def event(self, device: int | None) -> str:
        """Events of a device, or of the gateway itself."""
        return f"{self.base}/event" if device is None else f"{self.base}/{self.devices[device]}/event"

    def window(self, device: int) -> str:
        """Windows of a device."""
        return f"{self.base}/{self.devices[device]}/window"

    def summary(self, device: int) -> str:
        """One-minute summaries of a device."""
        return f"{self.base}/{self.devices[device]}/summary"

    def value(self, device: int) -> str:
        """Values of a device that are no numbers, when they change."""
        return f"{self.base}/{self.devices[device]}/value"

    def stats(self, device: int | None) -> str:
        """Counters and measurements of a device's connection, or of the gateway itself."""
        return f"{self.base}/stats" if device is None else f"{self.base}/{self.devices[device]}/stats"
