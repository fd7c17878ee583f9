"""Which messages at QoS 0 the broker has read: those before a question that it has answered. Pure but for their futures."""

from collections import deque

from gateway.core.errors import GatewayError
from gateway.sinks.mqtt.traffic import Outgoing, end


class Unproven:
    """Messages of one connection in the order of sending, and the PINGREQs between them.

    QoS 0 has no acknowledgement. But TCP keeps the order, a broker reads what comes over a connection in order, and it
    answers each PINGREQ with one PINGRESP (MQTT 5.0, 3.12 and 3.13). So an answer says that all before its question was
    read. It does not say what became of it: a broker drops without a word what an access list forbids, or what a slow
    subscriber has no room for. A QoS 1 message as the question would prove little more, and needs a topic, a right to it,
    and subscribers that know to ignore it.
    """

    def __init__(self) -> None:
        self._sent: deque[Outgoing] = deque()
        self._questions: deque[int] = deque()
        self._new = 0

    def __len__(self) -> int:
        return len(self._sent)

    @property
    def unasked(self) -> bool:
        """Something was sent after the last question."""
        return self._new > 0

    def sent(self, outgoing: Outgoing) -> None:
        """A message is on its way."""
        self._sent.append(outgoing)
        self._new += 1

    def asked(self) -> None:
        """A question is on its way, whoever wanted it."""
        self._questions.append(self._new)
        self._new = 0

    def answered(self) -> None:
        """An answer to the oldest question has come. One that nobody asked for proves nothing."""
        for _ in range(self._questions.popleft() if self._questions else 0):
            end(self._sent.popleft().future, None)

    def fail(self, error: GatewayError) -> None:
        """The connection is over."""
        for outgoing in self._sent:
            outgoing.fail(error)
        self._sent.clear()
        self._questions.clear()
        self._new = 0
