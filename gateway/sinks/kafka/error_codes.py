"""What an error code of Kafka's protocol means for a message: https://kafka.apache.org/protocol, Error Codes. Pure."""

from enum import Enum, auto
from typing import Final

from gateway.core.errors import GatewayError, NotConnected, Permanent, Retryable

_NAMES: Final = {
    -1: "unknown server error",
    2: "corrupt message",
    3: "unknown topic or partition",
    5: "no leader now",
    6: "not the leader",
    7: "request timed out",
    8: "broker not available",
    9: "replica not available",
    10: "message too large",
    13: "network exception",
    14: "the coordinator is loading",
    15: "no coordinator now",
    16: "not the coordinator",
    17: "invalid topic",
    18: "record list too large",
    19: "not enough replicas",
    20: "not enough replicas after append",
    29: "not authorised for the topic",
    31: "not authorised for the cluster",
    32: "invalid timestamp",
    41: "not the controller",
    43: "unsupported for the message format",
    44: "policy violation",
    45: "out of order sequence number",
    47: "invalid producer epoch",
    49: "invalid producer id mapping",
    56: "storage error",
    59: "unknown producer id",
    74: "fenced leader epoch",
    75: "unknown leader epoch",
    76: "unsupported compression",
    87: "invalid record",
    89: "throttling quota exceeded",
}
_ADVICE: Final = {
    3: "create it, or allow the cluster to (auto.create.topics.enable)",
    17: "check kafka.topic",
    29: "the cluster's access list has to allow WRITE and DESCRIBE",
    31: "the cluster's access list has to allow IDEMPOTENT_WRITE, or WRITE on any topic",
}
DUPLICATE: Final = 46
STARTING: Final = frozenset({14, 15, 16})
"""The coordinator of producers is loading, is not available, or is another broker: a cluster that has just started."""
_AGAIN: Final = frozenset({2, 3, 5, 6, 8, 9, 19, 41, 74, 75, 89})
"""The broker has appended nothing, and may take it later, or another broker."""
_UNCLEAR: Final = frozenset({7, 13, 20, 56})
"""The broker may have appended it."""
_TOO_LARGE: Final = frozenset({10, 18})
_ONE_OF_THEM: Final = frozenset({32, 44, 87})
_ALL_OF_THEM: Final = frozenset({17, 29, 43, 76})


class Meaning(Enum):
    """What follows from the answer for a batch."""

    ARRIVED = auto()
    """It is in the log."""
    AGAIN = auto()
    """It is not in the log; the same batch may be taken later."""
    UNCLEAR = auto()
    """It may be in the log; the same batch again tells."""
    TOO_LARGE = auto()
    """It is not in the log, and smaller batches may be taken."""
    DIVIDE = auto()
    """It is not in the log; one record is the reason."""
    REFUSED = auto()
    """It is not in the log, and no record of it will be taken."""
    FATAL = auto()
    """This producer cannot go on."""


def meaning_of(code: int) -> Meaning:
    """Return what an error code in the answer to a batch means."""
    for codes, meaning in _MEANINGS:
        if code in codes:
            return meaning
    return Meaning.FATAL


_MEANINGS: Final = (
    (frozenset({0, DUPLICATE}), Meaning.ARRIVED),
    (_AGAIN, Meaning.AGAIN),
    (_UNCLEAR, Meaning.UNCLEAR),
    (_TOO_LARGE, Meaning.TOO_LARGE),
    (_ONE_OF_THEM, Meaning.DIVIDE),
    (_ALL_OF_THEM, Meaning.REFUSED),
)


def words_of(code: int) -> str:
    """Return an error code in words, with what to do."""
    name = f"{_NAMES.get(code, 'error')} ({code})"
    return f"{name}: {_ADVICE[code]}" if code in _ADVICE else name


def refusal(code: int, topic: str, *, is_final: bool) -> GatewayError:
    """Return the error for a record that is not taken. is_final: it is the record, and not all that is sent there."""
    text = f"the cluster refuses a record for topic {topic}: {words_of(code)}"
    return Permanent(text) if is_final else Retryable(text)


def producer_refused(code: int) -> NotConnected:
    """Return the error for a producer that gets no id."""
    text = f"the cluster gives the producer no id: {words_of(code)}"
    return NotConnected(text, security="login_refused" if code == 31 else None)
