"""Tell a message that the far end will never take from a far end that takes nothing just now. Pure: time is passed in."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from gateway.core.messages import Message
from gateway.core.retry_timer import DoublingDelay

_RECENT: Final = 20
_LEAST_SHARE: Final = 1 / 20
_MOSTLY: Final = 0.25
_FIRST_DELAY_S, _LONGEST_DELAY_S = 5.0, 60.0
_LEAST_SPAN_S: Final = 120.0
_MOST_CASES: Final = 5_000
_TOGETHER: Final = 2


class Action(Enum):
    """What to do with a message that was refused for now."""

    PAUSE = auto()
    """Hold all sending up."""
    HOLD = auto()
    """Hold this message alone up."""
    SET_ASIDE = auto()


@dataclass(slots=True)
class _Case:
    """What is held against one message."""

    since: float
    """Its first failure, monotonic seconds."""
    tries: int = 0
    chance: float = 1.0
    """How likely a message that is not to blame would have met all this."""
    passed: int = 0
    """Acceptances of other messages when it last counted."""
    delay: DoublingDelay = field(default_factory=lambda: DoublingDelay(_FIRST_DELAY_S, _LONGEST_DELAY_S))
    due: float = 0.0
    """When it may be sent again, monotonic seconds."""
    together: int = 0
    """Connections in a row that the far end ended while this and others were in flight."""
    alone: int = 0
    """Connections that the far end ended while it alone was in flight."""


class PoisonMessages:
    """Counts against messages that they were refused for now, or in flight when the far end ended the connection.

    A refusal says something about the message only as far as other messages pass: each one multiplies `chance` by the share
    of refusals among the last answers to messages sent for the first time (1/20 at least). Below 20 to the power of -`tries`
    and after two minutes at the earliest the message is poison: that is `tries` refusals by a far end that takes all else,
    more by one that refuses others too, and never by one that refuses all. A connection that ends counts when the message
    was the only one in flight; what was in flight twice in a row is sent alone, so that this can be known.

    This is a comparison over time and not a search by halves (`core.bisect`): a message is one request by itself, so there
    is nothing to halve, and only the share of the others that pass tells a poisonous message from a far end in trouble.
    """

    def __init__(self, tries: int = 5) -> None:
        """Hold nothing against any message yet. tries: refusals by a far end that takes everything else."""
        self._limit = _LEAST_SHARE**tries * 1.001
        self._cases: dict[tuple[str, str, int], _Case] = {}
        self._recent: deque[tuple[str, bool]] = deque(maxlen=_RECENT)
        self._passed = 0

    def accepted(self, message: Message) -> None:
        """Clear a message of everything: the far end has it."""
        self._passed += 1
        if not self._cases or self._cases.pop(_key(message), None) is None:
            self._recent.append((message.topic, True))

    def refused(self, message: Message, now: float) -> Action:
        """Count that the far end refused it for now. Returns what to do with it."""
        fresh = _key(message) not in self._cases
        case = self._case(message, now)
        share = self._refused_share(message.topic)
        if fresh:
            self._recent.append((message.topic, False))
        delay_s = self._count(case, share)
        if self._is_poison(case, now):
            return Action.SET_ASIDE
        if share > _MOSTLY:
            return Action.PAUSE
        case.due = now + delay_s
        return Action.HOLD

    def disconnected(self, messages: Sequence[Message], now: float, *, alone: bool) -> bool:
        """Count that the far end ended the connection with these in flight.

        Returns whether the one that was alone is poison.
        """
        if not alone:
            for message in messages:
                self._case(message, now).together += 1
            return False
        case = self._case(messages[0], now)
        case.alone += 1
        delay_s = self._count(case, _LEAST_SHARE)
        case.due = now + delay_s
        return self._is_poison(case, now)

    def postpone(self, message: Message, now: float) -> None:
        """Let a message wait for something else, without counting anything against it."""
        self._case(message, now).due = now + _FIRST_DELAY_S

    def reconnected(self) -> None:
        """Forget the last answers: those on an earlier connection say nothing about this one."""
        self._recent.clear()

    def delay_s(self, message: Message, now: float) -> float:
        """Return how long it should wait yet, seconds."""
        case = self._cases.get(_key(message)) if self._cases else None
        return max(0.0, case.due - now) if case else 0.0

    def must_be_alone(self, message: Message) -> bool:
        """Return whether nothing else may be in flight with it."""
        case = self._cases.get(_key(message)) if self._cases else None
        return case is not None and (case.alone > 0 or case.together >= _TOGETHER)

    def record(self, message: Message, now: float) -> str:
        """Return what it has done so far, as a sentence part."""
        case = self._case(message, now)
        return f"{case.tries} times in {now - case.since:.0f} s, while others passed"

    def _count(self, case: _Case, share: float) -> float:
        """Count one failure. Returns how long the message should wait for its next try, seconds."""
        case.tries += 1
        if self._passed > case.passed:
            case.chance *= share
        case.passed = self._passed
        return case.delay.next_s()

    def _is_poison(self, case: _Case, now: float) -> bool:
        return case.chance <= self._limit and now - case.since >= _LEAST_SPAN_S

    def _refused_share(self, topic: str) -> float:
        """Return it of the last answers; those on a topic of which nothing was accepted say nothing about the others."""
        mixed = (topic, True) in self._recent
        answers = [ok for other, ok in self._recent if mixed or other != topic]
        return max(_LEAST_SHARE, (answers.count(False) + 1) / (len(answers) + 2)) if any(answers) else 1.0

    def _case(self, message: Message, now: float) -> _Case:
        key = _key(message)
        if key not in self._cases:
            while len(self._cases) >= _MOST_CASES:
                del self._cases[next(iter(self._cases))]
            self._cases[key] = _Case(now)
        return self._cases[key]


def _key(message: Message) -> tuple[str, str, int]:
    return message.boot, message.topic, message.seq
