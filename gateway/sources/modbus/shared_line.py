"""A line that another master polls as well: what its replies mean for ours. No I/O; time comes in as numbers."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from gateway.core.blocks import ObjectBlock, SampleBlock
from gateway.core.ports.source import Reading
from gateway.core.quality import Quality

REASON = (
    "another master polls this line: replies come that nobody here asked for, and where they look like ours they cannot be "
    "told apart, so all samples are uncertain; let one master poll, or use a serial server that speaks Modbus TCP"
)
"""Of the state of every unit on such a line."""
LASTS_NS: Final = 60_000_000_000


class SharedLine:
    """What is handed on of one connection, and how far it can be believed.

    Where a reply of the other master was taken for ours, ours comes soon after, when nobody waits for it. So on a line that
    may be shared everything is held for a moment, and is uncertain when such a reply comes meanwhile.

    Attributes:
        out: What may be handed on, in order.
    """

    def __init__(self, doubt_ns: Callable[[], int], *, is_line: bool, lasts_ns: int = LASTS_NS) -> None:
        """Begin. doubt_ns: returns for how long what came just now is held.

        is_line: replies are not known by a transaction id. lasts_ns: how long after the last reply of
        another master the line counts as ours again.
        """
        self.out: deque[Reading] = deque()
        self._held: deque[tuple[int, Reading]] = deque()
        self._doubt_ns, self._is_line, self._lasts_ns = doubt_ns, is_line, lasts_ns
        self._seen = 0
        self._until_ns = 0
        self.is_shared = False

    def add(self, item: Reading, now_ns: int) -> None:
        """Take over the next reading."""
        if self.is_shared:
            item = _uncertain(item)
        doubt_ns = self._doubt_ns()
        if doubt_ns or self._held:
            last_ns = self._held[-1][0] if self._held else now_ns
            self._held.append((max(last_ns, now_ns + doubt_ns), item))
        else:
            self.out.append(item)

    def observe(self, unasked: int, now_ns: int) -> bool:
        """Record how many replies nobody asked for came so far. Returns whether the line is shared or ours as of now."""
        before = self.is_shared
        if unasked > self._seen and self._is_line:
            self._until_ns = now_ns + self._lasts_ns
            self.is_shared = True
            self._held = deque((release_ns, _uncertain(item)) for release_ns, item in self._held)
        elif now_ns >= self._until_ns:
            self.is_shared = False
        self._seen = unasked
        while self._held and self._held[0][0] <= now_ns:
            self.out.append(self._held.popleft()[1])
        return self.is_shared != before

    def wait_ns(self, now_ns: int, at_most_ns: int) -> int:
        """Return the time until something that is held may be handed on, at most `at_most_ns`."""
        return max(0, min(at_most_ns, self._held[0][0] - now_ns)) if self._held else at_most_ns

    def flush(self) -> bool:
        """Hand on everything that is held, because the connection is lost. Returns whether there was anything.

        Whose replies they were can no longer show: they are uncertain.
        """
        was_holding = bool(self._held)
        self.out.extend(_uncertain(item) for item in self._drain())
        return was_holding

    def clear(self) -> None:
        """Drop everything."""
        self.out.clear()
        self._held.clear()

    def _drain(self) -> Iterator[Reading]:
        while self._held:
            yield self._held.popleft()[1]


def _uncertain(item: Reading) -> Reading:
    """Return the samples with no quality better than uncertain; anything else as it is."""
    if not isinstance(item, SampleBlock | ObjectBlock):
        return item
    return replace(item, quality=np.minimum(item.quality, np.uint8(Quality.UNCERTAIN_SHARED_LINE)))
