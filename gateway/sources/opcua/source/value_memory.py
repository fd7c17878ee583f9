"""What is known of received values from one connection to the next."""

from dataclasses import dataclass

from gateway.sources.opcua.source.history.gaps import Gaps
from gateway.sources.opcua.source.resume_filter import ResumeFilter
from gateway.sources.opcua.source.staleness import Staleness


@dataclass(frozen=True, slots=True)
class ValueMemory:
    """The last values of a device, in the forms in which they are compared with new ones."""

    staleness: Staleness
    """Which items are silent, and whether their nodes have changed."""
    resume_filter: ResumeFilter
    """Which samples a server sends once more after a connection was lost."""
    gaps: Gaps | None
    """Which times are missing, None where no history is read."""
