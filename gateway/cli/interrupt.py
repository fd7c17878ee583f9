"""Ctrl-C in commands that talk to devices: the first ends them in order, the second at once and without a word."""

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Coroutine
from typing import Any, Final, NoReturn, TypeVar

EXIT_INTERRUPTED: Final = 130
"""128 and the number of SIGINT, as shells have it."""

T = TypeVar("T")


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run a command to its end. SIGINT or SIGTERM cancels it, and raises KeyboardInterrupt once it has ended.

    A second one ends the process.
    """
    is_interrupted = False

    async def guarded() -> T:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()

        def interrupt() -> None:
            nonlocal is_interrupted
            if is_interrupted:
                exit_at_once()
            is_interrupted = True
            assert task is not None, "in a task"
            task.cancel()

        # signals come to the main thread only (signal(7)); in another one the caller cancels
        for number in (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ():
            loop.add_signal_handler(number, interrupt)
        return await main

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        if not is_interrupted:
            raise
        signal.signal(signal.SIGINT, exit_at_once)  # from here on there is nothing to end in order
        raise KeyboardInterrupt from None


def exit_at_once(*_: object) -> NoReturn:
    """End the process: what was printed so far stays, nothing more is done."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            stream.flush()
    os._exit(EXIT_INTERRUPTED)
