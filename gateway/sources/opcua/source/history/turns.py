"""Turns to do something costly: some in a row, then one at a time. Pure: times are monotonic seconds and are passed in."""


class Turns:
    """A bucket of turns that fills with time."""

    def __init__(self, most: int, every_s: float, now_s: float) -> None:
        """Begin with `most` turns, which is also the most that gather. every_s: the time in which one more comes."""
        self._most = float(most)
        self._every_s = every_s
        self._left = self._most
        self._filled_s = now_s

    def wait_s(self, now_s: float) -> float:
        """Return how long it is to the next turn, seconds; zero where there is one."""
        self._fill(now_s)
        return max(0.0, 1 - self._left) * self._every_s

    def take(self, now_s: float) -> None:
        """Use up a turn."""
        self._fill(now_s)
        self._left = max(0.0, self._left - 1)

    def _fill(self, now_s: float) -> None:
        self._left = min(self._most, self._left + (now_s - self._filled_s) / self._every_s)
        self._filled_s = now_s
