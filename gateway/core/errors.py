"""The families of errors that are expected. Every other exception is a bug and ends the process."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.core.events.security import SecurityMatter
from gateway.core.foreign_text import LONGEST_TEXT, clean


class GatewayError(Exception):
    """Base of the errors that the gateway expects to meet."""


class PeerError(GatewayError):
    """Base of the errors whose text may come from a peer: one line of at most 1000 characters, cleaned."""

    def __init__(self, text: object = "") -> None:
        super().__init__(clean(text, LONGEST_TEXT))


class NotConnected(PeerError):
    """The peer is away. The owner of the connection closes it and opens it again with backoff, for ever."""

    def __init__(self, text: object = "", *, security: SecurityMatter | None = None) -> None:
        """security: what security-relevant matter it is; the owner of the connection then publishes an event of it."""
        self.security = security
        super().__init__(text)


class Retryable(PeerError):
    """This attempt failed and the same attempt may work later; the connection stays."""


class Postponed(Retryable):
    """This item has to wait for something else; that says nothing about it or about others."""


class Permanent(PeerError):
    """This item will never be accepted: count it, set it aside, go on."""


class UsageError(GatewayError):
    """A command whose arguments make no sense; the text has one line for each reason. Exit code 2."""


class Unsaved(GatewayError):
    """The gateway has stopped, and messages that waited could neither be delivered nor written."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a configuration."""

    file: str
    """Its path, or `environment`."""
    line: int
    """From 1; 0 for the file as a whole."""
    key: str
    """A dotted path."""
    message: str
    """What is wrong."""
    expected: str = ""
    """What would be right."""

    def __post_init__(self) -> None:
        for name in ("file", "key", "message", "expected"):  # keys and values may come from anywhere
            object.__setattr__(self, name, clean(getattr(self, name), LONGEST_TEXT))

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        key = f" {self.key}:" if self.key else ""
        expected = f" (expected {self.expected})" if self.expected else ""
        where = f"{place}:{key} " if place or key else ""
        return f"{where}{self.message}{expected}"


class ConfigError(GatewayError):
    """The configuration cannot be used. Carries every problem found, not only the first."""

    def __init__(self, problems: Sequence[Problem] | str) -> None:
        self.problems = (Problem("", 0, "", problems),) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))
