"""What comes on a connection and answers no request that waits: late replies, replies to others, own echoes. No I/O."""

from typing import Final

from gateway.sources.modbus.framing import Frame, Wanted
from gateway.sources.modbus.pacing import Pacing

_MOST_EXPIRED: Final = 16  # as many as may be in flight
_MOST_EXPIRED_ON_A_LINE: Final = 4
_LOOSE: Final = "; ignore_transaction_id: true takes such replies"
_LATE_FOR_S: Final = 60.0  # after that a reply is nobody's


class Strays:
    """What came that no request waited for.

    Attributes:
        unasked: Whole frames that nobody here asked for: another master shares the line. A late reply is none of them.
        late: Replies that came after the timeout of their request.
        echoes: Frames that are what was sent last.
        other_unit: A reply to the last request, of a unit that was not asked, for people; empty when there was none.
        pacing: What the times of requests and replies say.
    """

    def __init__(self, *, has_transactions: bool) -> None:
        """Begin. has_transactions: replies carry the transaction id of their request."""
        self._has_transactions = has_transactions
        self._sent: dict[int, float] = {}
        self._expired: dict[int, tuple[Wanted, float]] = {}
        self._misfits: list[str] = []
        self._request: tuple[int, bytes] = (0, b"")
        self._reply: tuple[int, bytes] = (0, b"")
        self.unasked = self.late = self.echoes = 0
        self.other_unit = ""
        self.pacing = Pacing()

    def on_request(self, wanted: Wanted, pdu: bytes, now_s: float) -> None:
        """Record a request that is sent."""
        self._request = wanted.unit, pdu
        self.pacing.on_sent(wanted.unit, pdu, now_s, is_alone=not self._sent)
        self._sent[wanted.transaction], self.other_unit = now_s, ""
        if not self._has_transactions:
            self._misfits.clear()

    def on_reply(self, wanted: Wanted, pdu: bytes, now_s: float) -> None:
        """Record that a request was answered: what came beside the answer was meant for others."""
        self._sent.pop(wanted.transaction, None)
        self._reply = wanted.unit, pdu
        self.pacing.on_answered(now_s)
        self.unasked += len(self._misfits)
        self._misfits.clear()

    def on_given_up(self, wanted: Wanted) -> None:
        """Record that a request waits no longer: its reply may still come."""
        sent_s = self._sent.pop(wanted.transaction, None)
        if sent_s is not None:
            self._expired[wanted.transaction] = wanted, sent_s
            while len(self._expired) > (_MOST_EXPIRED if self._has_transactions else _MOST_EXPIRED_ON_A_LINE):
                del self._expired[next(iter(self._expired))]

    def take_misfit(self, wanted: Wanted | None = None) -> str:
        """Return what came instead of a reply, "" when nothing did; it is not counted as meant for others.

        wanted: the request that it was the reply to, so that no late one is expected.
        """
        misfit = self._misfits[-1] if self._misfits else ""
        if misfit and wanted is not None:
            self._sent.pop(wanted.transaction, None)
        self._misfits.clear()
        return misfit

    def record(self, frame: Frame, waiting: dict[int, Wanted], now_s: float) -> None:
        """Record a frame that is no reply to a request that waits."""
        if (frame.unit, frame.pdu) == self._request:
            self.echoes += 1
        elif (frame.unit, frame.pdu) == self._reply:  # a reply that comes twice, in two framings
            self._reply = 0, b""
        elif not self._is_late(frame, now_s):
            misfit = self._misfit(frame, waiting)
            if misfit:
                self._misfits = [*self._misfits[-_MOST_EXPIRED:], misfit]
            elif not self.other_unit:
                self.unasked += 1

    def _is_late(self, frame: Frame, now_s: float) -> bool:
        for transaction, (wanted, sent_s) in self._expired.items():
            if (transaction == frame.transaction) if self._has_transactions else wanted.fits(frame.unit, frame.pdu):
                del self._expired[transaction]
                self.late += 1
                self.pacing.late_s[wanted.unit] = now_s - sent_s
                return now_s - sent_s <= _LATE_FOR_S
        return False

    def _misfit(self, frame: Frame, waiting: dict[int, Wanted]) -> str:
        """Return in words what is wrong with it if it was meant as a reply to what waits, "" when it was not."""
        if self._has_transactions:
            if frame.transaction in waiting:
                self.other_unit = f"a reply of unit {frame.unit}"
                return ""
            expected = next((str(one.transaction) for one in waiting.values() if one.answered_by(frame.pdu[0])), "")
            return f"a reply with the transaction id {frame.transaction} instead of {expected}{_LOOSE}" if expected else ""
        for wanted in waiting.values():
            if wanted.unit == frame.unit and frame.pdu[0] == wanted.function:
                return f"{len(frame.pdu) - 2} bytes of values, expected {wanted.size}"
        return ""
