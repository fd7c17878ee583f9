"""systemd's notify protocol (sd_notify(3)), and a watchdog that is fed only while every part makes progress."""

import contextlib
import os
import socket
from collections.abc import Callable, Mapping

import structlog

from gateway.core.clock import Clock
from gateway.core.foreign_text import LONGEST_TEXT, clean

log = structlog.get_logger("watchdog")


class Notifier:
    """The connection to the service manager; without one (no NOTIFY_SOCKET) messages are dropped.

    Fifteen lines of our own: the packages for this either need libsystemd's headers or were last released in 2017.

    Attributes:
        watchdog_s: within how many seconds `WATCHDOG=1` must be sent, 0 for never.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        microseconds = environ.get("WATCHDOG_USEC", "0")
        concerns_us = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_s = int(microseconds) / 1e6 if concerns_us and microseconds.isdecimal() else 0.0

    def send(self, *lines: str) -> None:
        """Send lines such as `READY=1`, `STATUS=...`, `WATCHDOG=1`, `STOPPING=1`. Never raises: the service runs without."""
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.setblocking(False)
            s.sendto("\n".join(clean(line, LONGEST_TEXT) for line in lines).encode(), self._address)


class Watchdog:
    """Sends `WATCHDOG=1` to systemd while the loop of every watched part has turned recently.

    That `run` itself is executed proves that the event loop turns.
    """

    def __init__(self, notifier: Notifier, clock: Clock, beats: Mapping[str, tuple[Callable[[], float], float]]) -> None:
        """Watch these parts. beats: of each the monotonic time of its last turn, and how old that may be, in seconds."""
        self._notifier = notifier
        self._clock = clock
        self._beats = beats
        self._stuck: set[str] = set()

    def stuck(self) -> list[str]:
        """Return the parts whose loop has not turned for longer than it may."""
        now = self._clock.monotonic()
        return [name for name, (beat, most_s) in self._beats.items() if now - beat() > most_s]

    async def run(self, describe: Callable[[], str]) -> None:
        """Feed the watchdog for ever. describe: returns the STATUS line that `systemctl status` shows."""
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
