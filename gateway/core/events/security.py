"""Events of security: the one category that an audit asks for (IEC 62443-4-2, CR 2.8)."""

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from gateway.core.events.event import Concern, Event, LogLevel

SecurityMatter = Literal[
    "login_refused", "access_refused", "certificate_refused", "trust_changed", "configuration_changed", "seal_broken"
]
"""What can happen. This list is the category: nothing else is logged or published as security-relevant."""

_SEVERITY: Final = {
    "login_refused": 600,
    "access_refused": 500,
    "certificate_refused": 700,
    "trust_changed": 300,
    "configuration_changed": 300,
    "seal_broken": 900,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityEvent(Event):
    """Something that concerns the security of the gateway (with device, where it concerns one)."""

    kind: ClassVar[str] = "security"
    concerns: ClassVar[Concern] = "device or gateway"
    log_name: ClassVar[str] = "security"

    what: SecurityMatter
    """login_refused: a server or broker refuses the gateway's user; access_refused: somebody shows the
    gateway's page or API a wrong token; certificate_refused: the gateway refuses a peer's
    certificate, or a peer refuses the gateway's; trust_changed: a certificate or revocation list was added or taken away;
    configuration_changed: another configuration than the one before is taken, or is refused; seal_broken: stored data was
    changed from outside, or taken out."""
    source: str
    """Where it comes from: the name of a device, `broker`, `web` (the page and its API), a file or folder."""
    result: Literal["refused", "accepted"]
    """refused: it has no effect; accepted: it is in effect from now on."""
    reason: str
    """What a person should know and can do, without secrets."""

    @property
    def severity(self) -> int:
        """Return the severity of the matter."""
        return _SEVERITY[self.what]

    @property
    def log_level(self) -> LogLevel:
        """Return `info` for what was accepted, else `warning`."""
        return "info" if self.result == "accepted" else "warning"

    @property
    def log_text(self) -> str:
        """Return what has happened."""
        return self.what

    def log_fields(self) -> dict[str, object]:
        """Return source, result and reason."""
        return {"source": self.source, "result": self.result, "reason": self.reason}
