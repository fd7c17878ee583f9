"""How long a server is waited for, and how much is asked of it at once: by how long it took to answer. Pure."""

import math
from collections.abc import Callable
from typing import Final

TIMES: Final = 3.0
"""Silence so many times as long as the longest answer of late is more than slowness."""
MOST: Final = 4.0
"""Of `timeout_s`, however slow the server is."""
MUTE: Final = 2.0
"""The same for a server that accepts a connection and says nothing."""
MEMORY_S: Final = 60.0
FIRST: Final = 100
"""Operations in the first call of a service."""
FRUITLESS: Final = 0.75
"""Of the time that twice as many operations took: half as many should take half of it."""
AFTER_STALL_S: Final = 0.25
"""Where this process stood still, what the server has said meanwhile is read before it is called silent."""
SLOW: Final = "; the server answers, but too slowly: raise timeout"
SOON: Final = 0.25
"""Of `timeout_s`: an answer should not take longer."""


class _Longest:
    """The longest of the durations of the last minute or two."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._of_late_s = self._before_s = 0.0
        self._turned_s = now()

    def add(self, duration_s: float) -> None:
        self._turn()
        self._of_late_s = max(self._of_late_s, duration_s)

    @property
    def duration_s(self) -> float:
        self._turn()
        return max(self._of_late_s, self._before_s)

    def _turn(self) -> None:
        now_s = self._now()
        if now_s - self._turned_s >= MEMORY_S:
            self._before_s = self._of_late_s if now_s - self._turned_s < 2 * MEMORY_S else 0.0
            self._of_late_s, self._turned_s = 0.0, now_s


class Patience:
    """One server's, over all its connections. Times are monotonic seconds.

    A server (or a machine) that is slow must not be taken for a dead one again and again, since opening a connection costs
    more than anything that comes later. So while answers take longer than a third of `timeout_s` silence may last three
    times as long as the longest of them, four times `timeout_s` at most. What counts is the last minute or two; while a
    connection is being opened also how that went before, and what did not come at all. Where nothing whatever was heard
    perhaps nobody is there: twice `timeout_s`. A connection that delivers is lost as soon as ever, until its own answers are
    late.
    """

    def __init__(self, timeout_s: float, now: Callable[[], float]) -> None:
        self.timeout_s = timeout_s
        self.now = now
        self.heard_s = -math.inf
        """When the server said anything at all."""
        self._opening, self._delivering = _Longest(now), _Longest(now)
        self._begun_s = now()
        self._is_settled = False
        self._misses = 0

    @property
    def limit_s(self) -> float:
        """Longest silence while an answer is due."""
        longest_s = self._delivering.duration_s
        if not self._is_settled:
            longest_s = max(longest_s, self._opening.duration_s)
        return min(max(self.timeout_s, TIMES * longest_s), MOST * self.timeout_s)

    @property
    def stretch(self) -> float:
        """By how much silence may be longer than usual."""
        return self.limit_s / self.timeout_s

    @property
    def advice(self) -> str:
        """What to add where all patience was in vain; empty where it was not, or nothing was heard at all."""
        return SLOW if self._misses and self.limit_s == MOST * self.timeout_s else ""

    def left_s(self, sent_s: float) -> float:
        """How much longer to wait for the answer to what was sent then: silence counts, and in the end all of it."""
        now_s = self.now()
        return min(self.limit_s - (now_s - max(sent_s, self.heard_s)), MOST * self.timeout_s - (now_s - sent_s))

    def begin(self) -> None:
        """An attempt to connect begins."""
        self._begun_s, self._is_settled = self.now(), False

    def hear(self) -> None:
        """Bytes of the server have arrived."""
        self.heard_s = self.now()

    def answered(self, took_s: float) -> None:
        """An answer came so long after it was due."""
        (self._delivering if self._is_settled else self._opening).add(took_s)

    def delivered(self, late_s: float) -> None:
        """A notification came, so much later than it should have."""
        self.answered(late_s)
        self.settle()

    def settle(self) -> None:
        """The connection delivers."""
        self._is_settled, self._misses = True, 0

    def missed(self) -> None:
        """An answer did not come, and the connection is given up."""
        if self._is_settled:
            return
        if self.heard_s >= self._begun_s:
            self._misses += 1
            self._opening.add(self.limit_s)
        else:
            self._opening.add(MUTE * self.timeout_s / TIMES)

    def pace(self) -> "Pace":
        """For one service of one connection."""
        return Pace(max(1, FIRST >> 2 * min(self._misses, FIRST)), SOON * self.timeout_s, self.now)


class Pace:
    """How many operations one call may hold, so that its answer comes soon: twice as many after quick ones, half after slow
    ones. Where a call of another size took as long, not the size is the reason but the machine or the way, and fewer calls
    are better: then it grows, too. most: at present."""

    def __init__(self, first: int, soon_s: float, now: Callable[[], float]) -> None:
        self.most = first
        self.now = now
        self._soon_s = soon_s
        self._before = (0, math.inf)

    def took(self, count: int, seconds: float) -> None:
        """A call of `count` operations was answered."""
        (count_before, before_s), self._before = self._before, (count, seconds)
        if seconds <= self._soon_s:
            if count >= self.most and seconds < self._soon_s / 2:
                self.most *= 2
            return
        is_smaller, is_larger = count < count_before, count > count_before > 0
        in_vain = (is_smaller and seconds > FRUITLESS * before_s) or (is_larger and seconds < 2 * FRUITLESS * before_s)
        if not in_vain:
            self.most = max(1, min(self.most, count) // 2)
        elif seconds <= MOST / 2 * self._soon_s / SOON:
            self.most = 2 * max(self.most, count)
        else:
            self.most = max(self.most, count, count_before)
