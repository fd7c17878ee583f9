"""Time for a start that takes long: systemd is asked for it as long as a step goes on."""

import threading
from types import TracebackType
from typing import Final, Self

from gateway.runtime.watchdog import Notifier

_ASKED_S: Final = 60
_AGAIN_S: Final = 20.0
MOST_S: Final = 600.0
"""A step that takes longer is taken for one that will not end."""


class MoreTime:
    """A step of the start. While its `with` block runs, systemd hears every 20 s that it takes longer, for 10 min at most.

    From a thread, because a step may hold the interpreter for seconds: reading 50,000 tags takes 4 s, on a small machine ten
    times as long.
    """

    def __init__(self, notifier: Notifier, step: str, again_s: float = _AGAIN_S) -> None:
        """Begin without a word. step: what `systemctl status` shows."""
        self._notifier = notifier
        self._step = step
        self._again_s = again_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="more time", daemon=True)

    def __enter__(self) -> Self:
        self._notifier.send(f"EXTEND_TIMEOUT_USEC={_ASKED_S * 1_000_000}", f"STATUS={self._step}")
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        for _ in range(int(MOST_S / self._again_s)):
            if self._ended.wait(self._again_s):
                return
            self._notifier.send(f"EXTEND_TIMEOUT_USEC={_ASKED_S * 1_000_000}")
