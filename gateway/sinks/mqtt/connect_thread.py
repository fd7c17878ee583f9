"""Blocking calls that may hang, seen from the event loop."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from gateway.core.errors import NotConnected

T = TypeVar("T")
_MOST_THREADS = 4


class ConnectThread(Generic[T]):
    """Runs attempts to connect, each on a daemon thread of its own: name look-up, TCP and TLS block.

    An executor would not do: its threads are waited for at the end of the process, and a look-up cannot be interrupted.
    """

    def __init__(self, hang_up: Callable[[T], None]) -> None:
        """hang_up: disposes of a result that nobody waits for any more. May be called on the thread."""
        self._hang_up = hang_up
        self._threads: set[threading.Thread] = set()

    async def run(self, attempt: Callable[[], T]) -> T:
        """Run `attempt`; what it raises is raised here. Cancellable at once; a late result is hung up.

        Raises NotConnected without trying while too many earlier attempts hang.
        """
        self._threads = {thread for thread in self._threads if thread.is_alive()}
        if len(self._threads) >= _MOST_THREADS:
            raise NotConnected(f"{_MOST_THREADS} earlier attempts to connect still hang: check the DNS server")
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()
        thread = threading.Thread(target=self._run, args=(attempt, loop, outcome), name="mqtt-connect", daemon=True)
        self._threads.add(thread)
        thread.start()
        try:
            return await outcome
        except asyncio.CancelledError:
            if not outcome.cancelled() and outcome.exception() is None:  # it came in the same moment
                self._hang_up(outcome.result())
            raise

    def _run(self, attempt: Callable[[], T], loop: asyncio.AbstractEventLoop, outcome: asyncio.Future[T]) -> None:
        try:
            result = attempt()
        except Exception as error:  # noqa: BLE001 - the top of a thread: a bug belongs to whoever waits, not to nobody
            self._post(loop, partial(self._fail, outcome, error))
            return
        if not self._post(loop, partial(self._settle, outcome, result)):
            self._hang_up(result)

    @staticmethod
    def _fail(outcome: asyncio.Future[T], error: Exception) -> None:
        if not outcome.done():
            outcome.set_exception(error)

    def _settle(self, outcome: asyncio.Future[T], result: T) -> None:
        if outcome.done():
            self._hang_up(result)
        else:
            outcome.set_result(result)

    @staticmethod
    def _post(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> bool:
        try:
            loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop was closed meanwhile
            return False
        return True
