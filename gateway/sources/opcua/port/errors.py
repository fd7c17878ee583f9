"""What a session raises."""

from gateway.core.errors import NotConnected
from gateway.sources.opcua.status.codes import status_name


class ServiceFault(Exception):
    """The server answered a whole service call with a status; session and transport stay (Part 4, 7.35)."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(status_name(status))


class Unanswered(NotConnected):
    """The server does not answer: what it was asked, the end of the session too, may still be done when it wakes up."""


class HungUp(NotConnected):
    """The other end closed the connection, or the way to it broke."""


class Poisoned(NotConnected):
    """The server could not make an answer, or we could not read it, and what is lost with it cannot be had again."""

    def __init__(self, words: str, status: int) -> None:
        self.status = status
        super().__init__(words)


class NotFound(NotConnected):
    """Tags cannot be found or kept, though the connection is well: a root is not there, or the disk refuses."""
