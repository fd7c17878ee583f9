"""Whether a server's clock may be believed, and by how much it is off in words. Pure."""

from typing import Final

from gateway.core.plural import counted
from gateway.sources.opcua.config.device import OpcUaDevice

LASTS_S: Final = 5.0
"""A clock that seems to be behind may be an answer that was received late, after a stand-still; the next ones tell."""
_CERTAIN_NS: Final = 3600 * 10**9
"""No answer is received so late."""
_SAME: Final = 0.1
"""An offset that differs by less from the one that is shown is the same one."""
_UNITS: Final = ((365 * 86_400, "year"), (86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


class ClockWatch:
    """The clock of one session's server.

    Attributes:
        note: What the device state says of it, empty while it is right.
        is_late: The last answer was received late by all appearances: the clock was right before, or the process
            stood still.
    """

    def __init__(self, config: OpcUaDevice) -> None:
        """Begin with a clock that is right. Nothing is watched where the server's times are not used."""
        self.note = ""
        self.is_late = self._was_right = False
        self._tolerance_ns = config.clock_tolerance
        self._is_used = config.times == "server"
        self._shown_ns = 0
        self._behind_since_s: float | None = None

    def check(self, server_ns: int, received_ns: int, now_s: float, late_ns: int = 0) -> bool:
        """Compare the clocks at an answer. Returns whether `note` is news.

        server_ns: 0 where it does not say. late_ns: at most so long before it was received the answer came.
        """
        self.is_late = False
        if not (server_ns and self._is_used):
            return False
        off_ns = server_ns - received_ns
        if abs(off_ns) <= self._tolerance_ns:
            self._behind_since_s, self._was_right = None, True
            return self._show(0)
        if -self._tolerance_ns - late_ns <= off_ns < 0:
            self.is_late = True
            return False
        if -_CERTAIN_NS < off_ns < 0:
            self._behind_since_s = now_s if self._behind_since_s is None else self._behind_since_s
            if now_s - self._behind_since_s < LASTS_S:
                self.is_late = self._was_right
                return False
        self._was_right = False
        return abs(off_ns - self._shown_ns) > _SAME * abs(self._shown_ns) and self._show(off_ns)

    def _show(self, off_ns: int) -> bool:
        before, self._shown_ns = self.note, off_ns
        self.note = (
            f"the server's clock is {offset_words(off_ns)}: values have the gateway's time instead of the server's and are "
            "uncertain; set the clock there, or write times: gateway"
            if off_ns
            else ""
        )
        return self.note != before


def offset_words(off_ns: int) -> str:
    """Return `3 years 40 days behind`, `12 seconds ahead`: the two largest units."""
    left_s = round(abs(off_ns) / 1e9)
    parts: list[str] = []
    for unit_s, noun in _UNITS:
        count, left_s = divmod(left_s, unit_s)
        if count or parts:
            parts.append(counted(count, noun) if count else "")
        if len(parts) == 2:
            break
    return f"{' '.join(filter(None, parts)) or 'less than a second'} {'ahead' if off_ns > 0 else 'behind'}"
