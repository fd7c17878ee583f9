"""Devices whose birth the broker does not take."""

from collections.abc import Callable, Mapping

from gateway.core.events.event import Event
from gateway.core.ports.layout import Until
from gateway.layouts.sparkplug.events import BirthRefused


class Aside:
    """The devices that are set aside, each until the next connection or the next start; told as an event when a connection
    does not take what the one before had taken."""

    def __init__(self, report: Callable[[Event], None], now_ms: Callable[[], int]) -> None:
        self._report = report
        self._now_ms = now_ms
        self._aside: dict[str, tuple[str, Until]] = {}
        self._told: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._aside

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why, by device."""
        return {name: reason for name, (reason, _) in self._aside.items()}

    def put(self, name: str, number: int | None, reason: str, until: Until) -> None:
        """Set a device aside. number: its table row, None when it is no longer configured."""
        self._aside[name] = reason, until
        if name not in self._told:
            self._told.add(name)
            self._report(BirthRefused(time_ns=self._now_ms() * 1_000_000, device=number, name=name, reason=reason))

    def reconnected(self) -> None:
        """Another connection may take what the last one did not."""
        self._told &= set(self._aside)
        self._aside = {name: one for name, one in self._aside.items() if one[1] == "restart"}
