"""Watches certificates that are about to end: an event 30, 7 and 1 days before, and when it has happened."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from gateway.core.clock import Clock
from gateway.core.events.event import Event
from gateway.core.events.gateway import CertificateExpiry, CertificateOwner
from gateway.core.foreign_text import LONGEST_TEXT, clean

_DAY_MS: Final = 86_400_000
_LEVELS: Final = ((0, 900), (1, 800), (7, 600), (30, 300))
"""Days left at most, and the severity (1 to 1000)."""

_INTERVAL_S: Final = 10.0


class Certificate(Protocol):
    """A certificate in use."""

    @property
    def owner(self) -> CertificateOwner:
        """Return whose it is."""
        ...

    @property
    def subject(self) -> str:
        """Return its subject."""
        ...

    @property
    def end_ms(self) -> int:
        """Return when it ends, ms since the epoch, UTC."""
        ...


class CertificateWatch:
    """Checks the certificates every ten seconds. Each level of each certificate is published once per run of the gateway."""

    def __init__(
        self,
        certificates: Callable[[], Sequence[Certificate]],
        report: Callable[[Event], None],
        changed: Callable[[], None],
        clock: Clock,
    ) -> None:
        """Begin without knowledge.

        certificates: returns those in use, may read files and is called on a thread. changed: called when `ends` changes.
        """
        self._certificates = certificates
        self._report = report
        self._changed = changed
        self._clock = clock
        self._reported: dict[tuple[str, str, int], int] = {}
        self.ends: Mapping[str, int] = {}
        """When they end, ms UTC, by owner."""

    async def run(self) -> None:
        """Check the certificates for ever."""
        while True:
            self.update(await asyncio.to_thread(self._certificates))
            await self._clock.sleep(_INTERVAL_S)

    def days_left(self) -> dict[str, float]:
        """Return `{owner}_certificate_days`: until each ends, to the hundredth, negative when it has ended."""
        now_ms = self._clock.now_ns() // 1_000_000
        return {f"{owner}_certificate_days": round((end - now_ms) / _DAY_MS, 2) for owner, end in self.ends.items()}

    def update(self, certificates: Sequence[Certificate]) -> None:
        """Record the certificates as they are now. Without a connection the broker's last one stays."""
        last_first = sorted(certificates, key=lambda one: -one.end_ms)  # of several brokers the one that ends first counts
        ends: dict[str, int] = {**self.ends, **{certificate.owner: certificate.end_ms for certificate in last_first}}
        if ends != self.ends:
            self.ends = ends
            self._changed()
        for certificate in certificates:
            self._evaluate(certificate)

    def _evaluate(self, certificate: Certificate) -> None:
        now_ns = self._clock.now_ns()
        left_ms = certificate.end_ms - now_ns // 1_000_000
        key = certificate.owner, certificate.subject, certificate.end_ms
        level = next((level for level in _LEVELS if left_ms <= level[0] * _DAY_MS), None)
        if level is None or self._reported.get(key, 0) >= level[1]:
            return
        self._reported[key] = level[1]
        self._report(
            CertificateExpiry(
                time_ns=now_ns,
                certificate=certificate.owner,
                subject=clean(certificate.subject, LONGEST_TEXT),
                end=certificate.end_ms,
                days_left=left_ms // _DAY_MS,
                severity=level[1],
            )
        )
