"""Publishes refused logins and certificates as security events, once an hour while they are refused."""

from collections.abc import Callable
from typing import Final

from gateway.core.clock import Clock
from gateway.core.errors import NotConnected
from gateway.core.events.event import Event
from gateway.core.events.security import SecurityEvent
from gateway.core.log_throttle import LogThrottle

_REMIND_S: Final = 3600.0


class RefusalReports:
    """The security events of one connection's failed attempts."""

    def __init__(self, report: Callable[[Event], None], clock: Clock) -> None:
        self._report = report
        self._clock = clock
        self._throttle = LogThrottle(clock, _REMIND_S)

    def record(self, error: NotConnected, source: str, device: int | None = None) -> None:
        """Publish what the error says of security, if it says something new. source: the device, or `broker`."""
        text = str(error)
        if error.security is not None and self._throttle.is_due(f"{error.security} {text}", device):
            self._report(
                SecurityEvent(
                    time_ns=self._clock.now_ns(),
                    device=device,
                    what=error.security,
                    source=source,
                    result="refused",
                    reason=text,
                )
            )

    def forget(self) -> None:
        """Forget what was refused, since the connection is made."""
        self._throttle.forget_all()
