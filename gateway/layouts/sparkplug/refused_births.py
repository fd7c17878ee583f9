"""Devices whose birth the broker does not take."""

from collections.abc import Callable, Mapping

from gateway.core.events.event import Event
from gateway.core.ports.layout import Until
from gateway.layouts.sparkplug.events import BirthRefused


class RefusedBirths:
    """The devices whose births are refused, each until the next connection or the next start.

    Reported as an event when a connection does not take what the one before had taken.
    """

    def __init__(self, report: Callable[[Event], None], now_ms: Callable[[], int]) -> None:
        self._report = report
        self._now_ms = now_ms
        self._refused: dict[str, tuple[str, Until]] = {}
        self._reported: set[str] = set()
        self._awaiting_trial: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._refused

    @property
    def reasons(self) -> Mapping[str, str]:
        """Return the reasons by device."""
        return {name: reason for name, (reason, _) in self._refused.items()}

    def add(self, name: str, number: int | None, reason: str, until: Until) -> None:
        """Record that a device's birth is refused. number: its table row, None when it is no longer configured."""
        self._refused[name] = reason, until
        if name not in self._reported:
            self._reported.add(name)
            self._report(BirthRefused(time_ns=self._now_ms() * 1_000_000, device=number, name=name, reason=reason))

    def awaits_trial(self, name: str) -> bool:
        """Return whether a device's birth is held back, since connections may end with it."""
        return name in self._awaiting_trial

    def await_trial(self, name: str, *, awaits: bool) -> None:
        """Hold a device's birth back, or do not any more."""
        (self._awaiting_trial.add if awaits else self._awaiting_trial.discard)(name)

    def forget(self, name: str) -> None:
        """Forget a device, which is another one from now on."""
        self._refused.pop(name, None)
        self._reported.discard(name)
        self._awaiting_trial.discard(name)

    def reconnected(self) -> None:
        """Forget those of the last connection: another one may take them."""
        self._awaiting_trial.clear()
        self._reported &= set(self._refused)
        self._refused = {name: one for name, one in self._refused.items() if one[1] == "restart"}
