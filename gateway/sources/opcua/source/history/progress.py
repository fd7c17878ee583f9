"""How far one gap is read back, and how much of that a crash could undo. Pure."""

from collections import deque


class Progress:
    """The slices of one gap that were handed on: when, and up to which source time.

    Times of slices are source times in ns, others are monotonic seconds.
    """

    def __init__(self, start_ns: int) -> None:
        """Begin at the start of the first slice."""
        self.refused = 0
        """How many nodes the server had refused when the state was last written for it."""
        self.is_finished = False
        """All of its slices were handed on."""
        self._from_ns = self._to_ns = start_ns
        self._done: deque[tuple[float, int]] = deque()

    def go_on(self, now_s: float, to_ns: int) -> None:
        """Record that the slice before is handed on, and that the next one goes up to `to_ns`."""
        self.finish(now_s)
        self._to_ns, self.is_finished = to_ns, False

    def finish(self, now_s: float) -> None:
        """Record that the last slice is handed on."""
        self._done.append((now_s, self._to_ns))
        self.is_finished = True

    def is_safe_news(self, safe_s: float) -> bool:
        """Return whether all of it was handed on before `safe_s`, and was not when `span` was last asked for."""
        return bool(self._done) and self._done[-1][0] < safe_s

    def span(self, safe_s: float) -> tuple[int, int]:
        """Return from when to when samples may be lost with the process: what was handed on before `safe_s` is not."""
        while self._done and self._done[0][0] < safe_s:
            self._from_ns = self._done.popleft()[1]
        return self._from_ns, self._to_ns
