"""Tells a message that the broker will never take from a broker that takes nothing just now. Pure: time is passed in."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from gateway.core.messages import Message

_RECENT: Final = 20
_LEAST_SHARE: Final = 1 / 20
_MOSTLY: Final = 0.25
_FIRST_DELAY_S, _LONGEST_DELAY_S = 5.0, 60.0
_LEAST_SPAN_S: Final = 120.0
_MOST_CASES: Final = 5_000
_CROWD: Final = 2


class Verdict(Enum):
    """What to do with a message that was refused for now: hold all sending up, hold it alone up, or set it aside."""

    PAUSE = 1
    HOLD = 2
    POISON = 3


@dataclass(slots=True)
class _Case:
    """chance: how likely a message that is not to blame would have met all this. passed: acceptances when it last counted.
    crowd: connections in a row that the broker ended while this and others were in flight; breaks: while it alone was."""

    since: float
    tries: int = 0
    chance: float = 1.0
    passed: int = 0
    due: float = 0.0
    crowd: int = 0
    breaks: int = 0

    def delay(self, now: float) -> None:
        """Not again before a while, which grows."""
        self.due = now + min(_FIRST_DELAY_S * 2.0 ** min(self.tries - 1, 10), _LONGEST_DELAY_S)


class Suspects:
    """Keeps count of messages that were refused for now, or in flight when the broker ended the connection.

    A refusal says something about the message only as far as other messages pass: each one multiplies `chance` by the share
    of refusals among the last answers to messages sent for the first time (1/20 at least). Below 20 to the power of -`tries`
    and after two minutes at the earliest the message is poison: that is `tries` refusals by a broker that takes all else,
    more by one that refuses others too, and never by one that refuses all. A connection that ends counts when the message
    was the only one in flight; what was in flight twice in a row is sent alone, so that this can be known.
    """

    def __init__(self, tries: int = 5) -> None:
        self._limit = _LEAST_SHARE**tries * 1.001
        self._cases: dict[tuple[str, str, int], _Case] = {}
        self._recent: deque[tuple[str, bool]] = deque(maxlen=_RECENT)
        self._passed = 0

    def accepted(self, message: Message) -> None:
        """The broker has it: cleared of everything."""
        self._passed += 1
        if not self._cases or self._cases.pop(_key(message), None) is None:
            self._recent.append((message.topic, True))

    def refused(self, message: Message, now: float) -> Verdict:
        """The broker refused it for now."""
        fresh = _key(message) not in self._cases
        case = self._case(message, now)
        share = self._refused_share(message.topic)
        if fresh:
            self._recent.append((message.topic, False))
        self._count(case, share)
        if self._poison(case, now):
            return Verdict.POISON
        if share > _MOSTLY:
            return Verdict.PAUSE
        case.delay(now)
        return Verdict.HOLD

    def broke(self, messages: Sequence[Message], now: float, *, alone: bool) -> bool:
        """The broker ended the connection with these in flight. True when the one that was alone is poison."""
        if not alone:
            for message in messages:
                self._case(message, now).crowd += 1
            return False
        case = self._case(messages[0], now)
        case.breaks += 1
        self._count(case, _LEAST_SHARE)
        case.delay(now)
        return self._poison(case, now)

    def reconnected(self) -> None:
        """Answers on an earlier connection say nothing about this one."""
        self._recent.clear()

    def delay_s(self, message: Message, now: float) -> float:
        """How long it should wait yet."""
        case = self._cases.get(_key(message)) if self._cases else None
        return max(0.0, case.due - now) if case else 0.0

    def alone(self, message: Message) -> bool:
        """Nothing else may be in flight with it."""
        case = self._cases.get(_key(message)) if self._cases else None
        return case is not None and (case.breaks > 0 or case.crowd >= _CROWD)

    def record(self, message: Message, now: float) -> str:
        """What it has done so far, as a sentence part."""
        case = self._case(message, now)
        return f"{case.tries} times in {now - case.since:.0f} s, while others passed"

    def _count(self, case: _Case, share: float) -> None:
        case.tries += 1
        if self._passed > case.passed:
            case.chance *= share
        case.passed = self._passed

    def _poison(self, case: _Case, now: float) -> bool:
        return case.chance <= self._limit and now - case.since >= _LEAST_SPAN_S

    def _refused_share(self, topic: str) -> float:
        """Of the last answers; those on a topic of which nothing was accepted say nothing about the others."""
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
