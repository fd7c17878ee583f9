"""When the bytes of an answer were received, taken before anything else is done with them."""

from collections.abc import Callable
from typing import Final, NamedTuple

from gateway.core.clock import Clock
from gateway.core.loop_watch import LATE_NS, LoopWatch, elapsed_ns
from gateway.sources.opcua.codec.bounds import Budget
from gateway.sources.opcua.codec.types.bounded_buffer import BoundedBuffer


class Receipt(NamedTuple):
    """The receipt of an answer's last byte."""

    wall_ns: int
    """Wall time."""
    elapsed_ns: int
    """The same by `loop_watch.elapsed_ns`."""
    late_ns: int
    """At most so long before that it had come; 0 where that is no more than `LATE_NS`."""

    def late_since(self, asked_ns: int) -> int:
        """Return `late_ns` of an answer to a request, which cannot have come before. asked_ns: by `elapsed_ns`."""
        late_ns = min(self.late_ns, self.elapsed_ns - asked_ns)
        return late_ns if late_ns > LATE_NS else 0


Stamp = Callable[[], Receipt]
"""Returns the receipt of what is received now."""
NO_RECEIPT: Final = Receipt(0, 0, 0)


def stamp_by(clock: Clock, watch: LoopWatch) -> Stamp:
    """Return a stamp by these clocks. watch: of the event loop that receives."""

    def stamp() -> Receipt:
        return Receipt(clock.now_ns(), elapsed_ns(), watch.late_ns())

    return stamp


def unstamped() -> Receipt:
    """Return no time: for connections on which nothing comes that has one."""
    return NO_RECEIPT


class Answer(BoundedBuffer):
    """The body of a complete message, and when it was received."""

    def __init__(self, data: bytes, *, budget: Budget, receipt: Receipt = NO_RECEIPT) -> None:
        super().__init__(data, budget=budget)
        self.receipt = receipt
