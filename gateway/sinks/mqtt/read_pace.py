"""How much of what a broker sends is read, and how fast. Pure; time comes in as numbers."""

from typing import Final

MOST_EMPTY: Final = 1_000
EMPTY_PER_S: Final = 100
_MOST: Final = 50_000
"""A flood of 10,000 retained messages of 3 KiB, each in a frame of its own, is read without a pause."""
_PER_S: Final = 2_500
"""At 20 us for each 5 % of a core."""
_CARRIED: Final = 2
"""What an awaited answer gives back: its frame and one more."""
_BYTES_OF_ONE: Final = 1_024
_SHORTEST_PAUSE_S: Final = 0.05


class ReadPace:
    """What a client may be made to read, over all its connections, so that hanging up and coming again gains nothing.

    What carries nothing (frames without content, control frames, answers to no question) may come 1,000 times at once and
    100 times a second: beyond it the broker is faulty or hostile. Everything else counts once for each frame, packet and
    KiB: 50,000 at once, then 2,500 a second; beyond it reading pauses, and TCP holds the broker back. An answer that was
    waited for gives more back than it takes, so a broker that only answers is never slowed down, whatever its rate.
    """

    def __init__(self, *, is_paced: bool) -> None:
        """is_paced: False reads messages as fast as they come."""
        self._is_paced = is_paced
        self._left, self._empty_left, self._at_s = float(_MOST), float(MOST_EMPTY), 0.0

    def message(self, size: int) -> None:
        """Count a message. size: bytes."""
        self._left -= 1 + size // _BYTES_OF_ONE

    def frames(self, count: int, empty: int, now_s: float) -> None:
        """Let time pass, then count frames. empty: those among them that carry nothing; now_s: monotonic seconds."""
        passed_s, self._at_s = max(0.0, now_s - self._at_s), now_s
        self._left = min(float(_MOST), self._left + passed_s * _PER_S) - count
        self._empty_left = min(float(MOST_EMPTY), self._empty_left + passed_s * EMPTY_PER_S) - empty

    def answer(self, *, was_asked: bool) -> None:
        """Count an answer to a question of ours, or to none."""
        if was_asked:
            self._left = min(float(_MOST), self._left + _CARRIED)
        else:
            self._left -= 1
            self._empty_left -= 1

    @property
    def is_flooded(self) -> bool:
        """Return whether more has come that carries nothing than is allowed."""
        return self._empty_left < 0

    @property
    def pause_s(self) -> float:
        """Return for how many seconds nothing is to be read; 0 for none."""
        return max(_SHORTEST_PAUSE_S, -self._left / _PER_S) if self._is_paced and self._left < 0 else 0.0
