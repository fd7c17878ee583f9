"""systemd's notify protocol (sd_notify(3)), and a watchdog that is fed only while everything moves."""

import contextlib
import os
import socket
from collections.abc import Callable, Mapping

import structlog

from gateway.core.clock import Clock

log = structlog.get_logger("watchdog")


class Notifier:
    """Messages to the service manager; without one (no NOTIFY_SOCKET) they go nowhere.

    Fifteen lines of our own: the packages for this either need libsystemd's headers or have not moved since 2017.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        microseconds = environ.get("WATCHDOG_USEC", "0")
        concerns_us = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_s = int(microseconds) / 1e6 if concerns_us and microseconds.isdecimal() else 0.0

    def send(self, *lines: str) -> None:
        """For instance `READY=1`, `STATUS=...`, `WATCHDOG=1`, `STOPPING=1`. Never raises: the service runs without it."""
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.setblocking(False)
            s.sendto("\n".join(lines).encode(), self._address)


class Watchdog:
    """Feeds systemd's watchdog while every watched part has turned its loop lately.

    That the loop of `run` itself turns proves the event loop.
    """

    def __init__(self, notifier: Notifier, clock: Clock, beats: Mapping[str, tuple[Callable[[], float], float]]) -> None:
        """beats: per part the monotonic time of its last turn and how old that may be, in seconds."""
        self._notifier = notifier
        self._clock = clock
        self._beats = beats
        self._stuck: set[str] = set()

    def stuck(self) -> list[str]:
        """Parts that have not moved for longer than they may."""
        now = self._clock.monotonic()
        return [name for name, (beat, most_s) in self._beats.items() if now - beat() > most_s]

    async def run(self, describe: Callable[[], str]) -> None:
        """Never returns. `describe` gives the STATUS line that `systemctl status` shows."""
        period_s = min(self._notifier.watchdog_s / 3 or 5.0, 5.0)
        while True:
            stuck = self.stuck()
            if stuck:
                if set(stuck) != self._stuck:
                    log.error("no progress, watchdog not fed", parts=stuck)
                self._notifier.send(f"STATUS=no progress: {', '.join(stuck)}")
            else:
                self._notifier.send("WATCHDOG=1", f"STATUS={describe()}")
            self._stuck = set(stuck)
            await self._clock.sleep(period_s)
