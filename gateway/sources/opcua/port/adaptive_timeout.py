"""How long to wait for a server and how much to ask of it at once, by how long it took to answer. Pure."""

import math
from collections.abc import Callable
from typing import Final

SILENCE_FACTOR: Final = 3.0
"""Silence this many times as long as the longest recent answer is more than slowness."""
MOST: Final = 4.0
"""Longest silence in units of `timeout_s`, however slow the server is."""
MUTE: Final = 2.0
"""The same for a server that accepts a connection and says nothing."""
MEMORY_S: Final = 60.0
"""How long a slow answer counts, at least; twice as long at most."""
FIRST: Final = 100
"""Operations in the first call of a service."""
FRUITLESS: Final = 0.75
"""Of the time that twice as many operations took: half as many should take half of it."""
AFTER_STALL_S: Final = 0.25
"""Where this process stood still, received bytes are read for so long before the server counts as silent."""
SLOW: Final = "; the server answers, but too slowly: raise timeout"
SOON: Final = 0.25
"""Of `timeout_s`: an answer should not take longer."""


class _Longest:
    """The longest of the durations of the last one to two minutes."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._recent_s = self._before_s = 0.0
        self._turned_s = now()

    def add(self, duration_s: float) -> None:
        self._turn()
        self._recent_s = max(self._recent_s, duration_s)

    @property
    def duration_s(self) -> float:
        self._turn()
        return max(self._recent_s, self._before_s)

    def _turn(self) -> None:
        now_s = self._now()
        if now_s - self._turned_s >= MEMORY_S:
            self._before_s = self._recent_s if now_s - self._turned_s < 2 * MEMORY_S else 0.0
            self._recent_s, self._turned_s = 0.0, now_s


class AdaptiveTimeout:
    """The timeout of requests to one server, over all its connections. Times are monotonic seconds.

    A slow server must not be taken for a dead one again and again, because opening a connection costs it more than anything
    that comes later. While answers take longer than a third of `timeout_s`, silence may last three times as long as the
    longest of them, at most four times `timeout_s`. Only the last one to two minutes count; while a connection is being
    opened, also how earlier attempts went. Where nothing at all was received, perhaps nobody is there: twice `timeout_s`. A
    connection that delivers has the plain timeout, until its own answers are late.
    """

    def __init__(self, timeout_s: float, now: Callable[[], float]) -> None:
        """Begin without any answer. timeout_s: as configured. now: the monotonic clock, seconds."""
        self.timeout_s = timeout_s
        self.now = now
        self.received_s = -math.inf
        """When any bytes of the server arrived last."""
        self._opening, self._delivering = _Longest(now), _Longest(now)
        self._connecting_s = now()
        self._is_confirmed = False
        self._misses = 0

    @property
    def limit_s(self) -> float:
        """Return the longest silence allowed while an answer is due."""
        longest_s = self._delivering.duration_s
        if not self._is_confirmed:
            longest_s = max(longest_s, self._opening.duration_s)
        return min(max(self.timeout_s, SILENCE_FACTOR * longest_s), MOST * self.timeout_s)

    @property
    def stretch(self) -> float:
        """Return the factor by which silence may be longer than `timeout_s`."""
        return self.limit_s / self.timeout_s

    @property
    def hint(self) -> str:
        """Return what to add to an error where even the longest timeout was too short; empty otherwise."""
        return SLOW if self._misses and self.limit_s == MOST * self.timeout_s else ""

    def remaining_s(self, sent_s: float) -> float:
        """Return how much longer to wait for the answer to a request sent then.

        Bytes received since extend the wait, up to four times `timeout_s` in all.
        """
        now_s = self.now()
        return min(self.limit_s - (now_s - max(sent_s, self.received_s)), MOST * self.timeout_s - (now_s - sent_s))

    def on_connecting(self) -> None:
        """Record that an attempt to connect begins."""
        self._connecting_s, self._is_confirmed = self.now(), False

    def on_bytes(self) -> None:
        """Record that bytes of the server have arrived."""
        self.received_s = self.now()

    def record_answer(self, took_s: float) -> None:
        """Record how long after its request an answer came."""
        (self._delivering if self._is_confirmed else self._opening).add(took_s)

    def record_notification(self, late_s: float) -> None:
        """Record a notification, and how much later than due it came."""
        self.record_answer(late_s)
        self.confirm()

    def confirm(self) -> None:
        """Record that the connection delivers."""
        self._is_confirmed, self._misses = True, 0

    def record_timeout(self) -> None:
        """Record that an answer did not come and the connection is given up."""
        if self._is_confirmed:
            return
        if self.received_s >= self._connecting_s:
            self._misses += 1
            self._opening.add(self.limit_s)
        else:
            self._opening.add(MUTE * self.timeout_s / SILENCE_FACTOR)

    def batch_limit(self) -> "BatchLimit":
        """Return a new limit for one service of one connection; it starts lower after timeouts."""
        return BatchLimit(max(1, FIRST >> 2 * min(self._misses, FIRST)), SOON * self.timeout_s, self.now)


class BatchLimit:
    """How many operations one call may hold so that its answer comes soon.

    Twice as many after quick answers, half after slow ones. Where a call of another size took as long, the size is not the
    reason but the machine or the network, and fewer calls are better: then it grows, too.
    """

    def __init__(self, first: int, soon_s: float, now: Callable[[], float]) -> None:
        """Begin with `first` operations. soon_s: how long an answer should take at most. now: the monotonic clock."""
        self.most = first
        """Operations in the next call, at most."""
        self.now = now
        self._soon_s = soon_s
        self._before = (0, math.inf)

    def record(self, count: int, seconds: float) -> None:
        """Record that a call of `count` operations was answered after `seconds`."""
        (count_before, before_s), self._before = self._before, (count, seconds)
        if seconds <= self._soon_s:
            if count >= self.most and seconds < self._soon_s / 2:
                self.most *= 2
            return
        is_smaller, is_larger = count < count_before, count > count_before > 0
        has_no_effect = (is_smaller and seconds > FRUITLESS * before_s) or (is_larger and seconds < 2 * FRUITLESS * before_s)
        if not has_no_effect:
            self.most = max(1, min(self.most, count) // 2)
        elif seconds <= MOST / 2 * self._soon_s / SOON:
            self.most = 2 * max(self.most, count)
        else:
            self.most = max(self.most, count, count_before)
