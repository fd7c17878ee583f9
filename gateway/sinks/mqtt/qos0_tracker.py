"""Which messages at QoS 0 the broker has read: those before a question that it has answered. Pure but for their futures."""

from collections import deque
from typing import Final

from gateway.core.errors import GatewayError
from gateway.sinks.mqtt.types import Outgoing, end

_QUICK_S: Final = 0.1


class Qos0Tracker:
    """Messages of one connection in the order of sending, and the PINGREQs between them.

    QoS 0 has no acknowledgement. But TCP keeps the order, a broker reads what comes over a connection in order, and it
    answers each PINGREQ with one PINGRESP (MQTT 5.0, 3.12 and 3.13). So an answer says that all before its question was
    read. It does not say what became of it: a broker drops without a word what an access list forbids, or what a slow
    subscriber has no room for. A QoS 1 message as the question would prove little more, and needs a topic, a right to it,
    and subscribers that know to ignore it.

    One question for all that is sent together costs a third of one for each. But where the line is slow, what was read
    would be known too late: so each message gets its own until answers have come quickly, and when they no longer do.
    """

    def __init__(self) -> None:
        self._sent: deque[Outgoing] = deque()
        self._questions: deque[tuple[int, float]] = deque()
        self._new = 0
        self.quick = False
        """The last answer has come at once: there is no need to ask after each message."""

    def __len__(self) -> int:
        return len(self._sent)

    @property
    def has_unasked(self) -> bool:
        """Something was sent after the last question."""
        return self._new > 0

    def sent(self, outgoing: Outgoing) -> None:
        """Record that a message is on its way."""
        self._sent.append(outgoing)
        self._new += 1

    def ping_sent(self, now: float) -> None:
        """Record that a question is on its way, whoever wanted it. now: monotonic seconds."""
        self._questions.append((self._new, now))
        self._new = 0

    def answered(self, now: float) -> bool:
        """Record an answer to the oldest question. Returns False for one that nobody asked for, which proves nothing."""
        if not self._questions:
            return False
        count, asked_at = self._questions.popleft()
        self.quick = now - asked_at < _QUICK_S
        for _ in range(count):
            end(self._sent.popleft().future, None)
        return True

    def fail(self, error: GatewayError) -> None:
        """End all futures with an error, since the connection is over."""
        for outgoing in self._sent:
            outgoing.fail(error)
        self._sent.clear()
        self._questions.clear()
        self._new = 0
