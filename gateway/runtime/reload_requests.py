"""Who has asked for the configuration to be loaded again."""

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReloadRequest:
    """What is to be loaded again, and why."""

    reason: str
    """What asked for it, for people."""
    devices: frozenset[str] | None
    """Only these devices, whose own tags have changed; None for everything."""


class ReloadRequests:
    """Requests that wait, from wherever they come; those that come together are one. It outlives a run of the gateway."""

    def __init__(self) -> None:
        self._reasons: dict[str, None] = {}
        self._devices: dict[str, None] = {}
        self._waiting = asyncio.Event()

    def request(self, reason: str) -> None:
        """Ask for everything to be loaded again."""
        self._reasons[reason] = None
        self._waiting.set()

    def request_device(self, device: str) -> None:
        """Ask for one device to be loaded again, because it has other tags than those that run."""
        self._devices[device] = None
        self._waiting.set()

    async def next(self) -> ReloadRequest:
        """Wait for a request, and return all that wait as one. Cancellable."""
        await self._waiting.wait()
        self._waiting.clear()
        reasons, devices = list(self._reasons), list(self._devices)
        self._reasons.clear()
        self._devices.clear()
        if reasons:
            return ReloadRequest(", ".join(reasons), None)
        return ReloadRequest(f"the tags of {', '.join(devices)} have changed", frozenset(devices))
