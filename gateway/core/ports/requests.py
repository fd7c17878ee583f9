"""The port of requests: what is known of the past, for a sink whose far end asks for it."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol, runtime_checkable


class PastRequests(Protocol):
    """Answers questions for the past. Called on the event loop; several answers may be under way."""

    @property
    def topic(self) -> str:
        """Return where questions are asked, for sinks with topics."""
        ...

    @property
    def answer_topic(self) -> str:
        """Return where answers go, or the first levels of it."""
        ...

    def answer(self, document: bytes, most_bytes: int) -> AsyncIterator[bytes]:
        """Yield the parts of the answer to a question, each a JSON document; the last one has the key `last`.

        What is wrong with the question, or with answering it, is said in the last part: nothing is raised. most_bytes: the
        size of a part, as far as it can be kept. Each part is made when it is asked for; closing it ends the work.
        """
        ...

    def refusal(self, document: bytes, error: str, expected: str = "") -> bytes:
        """Return the only part of an answer that says why there is none. document: the question."""
        ...


@runtime_checkable
class RequestCounters(Protocol):
    """Capability of a sink: it takes requests, and counts them."""

    @property
    def request_counters(self) -> Mapping[str, int]:
        """Return what was counted since the start; empty where requests are off."""
        ...
