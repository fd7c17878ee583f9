"""Events of the gateway itself: its start, its clock, its configuration, its certificates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from gateway.core.events.event import Boot, Count, Event, LogLevel

CertificateOwner = Literal["broker", "gateway"]
ReloadResult = Literal["applied", "refused", "rolled_back"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UncleanStop(Event):
    """A run that ended in a crash; messages of up to bound_ms of its end may be missing."""

    kind: ClassVar[str] = "unclean_stop"
    severity: ClassVar[int] = 600
    log_level: ClassVar[LogLevel] = "warning"

    previous: Boot
    """The run that ended in a crash."""
    bound_ms: Count | None
    """The longest time before the crash of which messages may be missing; null: not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockJump(Event):
    """A step of the machine's clock."""

    kind: ClassVar[str] = "clock_jump"
    severity: ClassVar[int] = 400
    log_level: ClassVar[LogLevel] = "warning"
    log_text: ClassVar[str] = "clock jumped"

    by_ms: int
    """How far, negative when it was set back."""

    def log_fields(self) -> dict[str, object]:
        """Return the step in seconds."""
        return {"by_s": self.by_ms / 1e3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall(Event):
    """A time in which machine or process stood still: nothing was read in it, or a value waited."""

    kind: ClassVar[str] = "stall"
    severity: ClassVar[int] = 400
    log_level: ClassVar[LogLevel] = "warning"
    log_text: ClassVar[str] = "stood still"

    for_ms: Count
    """How long."""

    def log_fields(self) -> dict[str, object]:
        """Return the time in seconds."""
        return {"for_s": round(self.for_ms / 1e3, 1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationLoaded(Event):
    """The configuration that runs from now on."""

    kind: ClassVar[str] = "configuration"
    severity: ClassVar[int] = 1

    config: str
    """Hash of the configuration."""
    devices: int
    """How many devices it has."""
    tags: int
    """How many tags they have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationReloaded(Event):
    """The result of a reload: what was changed while the gateway runs, or why nothing was."""

    kind: ClassVar[str] = "reload"
    log_text: ClassVar[str] = "reload"

    result: ReloadResult
    """applied; refused: nothing was changed; rolled_back: a device did not come up, and is as before."""
    reason: str
    """What asked for it."""
    config: str
    """Hash of the configuration that runs now."""
    changes: Sequence[str]
    """What differs, one sentence each; at most 20."""
    problem: str | None = None
    """Why it was refused or rolled back: the first problem with its file and line, or the device and its reason."""

    @property
    def severity(self) -> int:
        """Return 100 for what was applied, 600 for the rest."""
        return 100 if self.result == "applied" else 600

    @property
    def log_level(self) -> LogLevel:
        """Return the level: what was not applied needs somebody."""
        return "info" if self.result == "applied" else "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationRefused(Event):
    """A part of the configuration that cannot be used at a start; the gateway runs without it, or as it ran last."""

    kind: ClassVar[str] = "configuration_refused"
    severity: ClassVar[int] = 700
    log_level: ClassVar[LogLevel] = "error"
    log_text: ClassVar[str] = "configuration refused"

    name: str
    """The device, or `gateway.yaml`."""
    problem: str
    """The first problem with its file and line."""
    runs: Literal["nothing", "last"]
    """nothing: the device does not run; last: it runs as the last configuration that ran says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorianStateChanged(Event):
    """A fault of the history files, or the end of one. The outbox has no part in it."""

    kind: ClassVar[str] = "historian"
    log_text: ClassVar[str] = "history files"

    state: Literal["refused", "recovered", "damaged"]
    """refused: nothing is written, and history is in memory only; recovered: it is written again; damaged: something of a
    file cannot be read, the rest is."""
    reason: str
    """Why, for people; empty when recovered."""

    @property
    def severity(self) -> int:
        """Return 1 for files that are written again, else 400."""
        return 1 if self.state == "recovered" else 400

    @property
    def log_level(self) -> LogLevel:
        """Return `info` for files that are written again, else `warning`."""
        return "info" if self.state == "recovered" else "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateExpiry(Event):
    """A certificate that ends within 30, 7 or 1 days, or has ended; published once at each."""

    kind: ClassVar[str] = "certificate"
    log_level: ClassVar[LogLevel] = "warning"

    certificate: CertificateOwner
    """Whose it is."""
    subject: str
    """Its subject, as an RFC 4514 string."""
    end: int
    """When it ends, ms UTC."""
    days_left: int
    """Whole days, negative when it has ended."""
    severity: int
    """300 at 30 days, 600 at 7, 800 at 1, 900 when it has ended."""
