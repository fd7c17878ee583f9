"""What one input may cost: processor time, memory, and no exception but the door's own."""

import resource
import signal
import time
import traceback
from typing import Final

from tests.fuzz.door import Door

MOST_BYTES: Final = 64 * 2**20
_HARD_CPU_S: Final = 10.0
"""After this an input is interrupted, so that what would take an hour does not."""


class TakesTooLongError(BaseException):
    """The input was interrupted. No `Exception`, so that no handler of a door takes it for its own."""


def _interrupt(*_: object) -> None:
    raise TakesTooLongError


def judge(door: Door, data: bytes) -> str:
    """Try one input. Returns what is wrong with how it was taken, "" for nothing.

    Time is that of this thread's processor (`thread_time`), which a busy machine does not stretch. Memory is the growth of
    the process's peak, which only ever rises: an input that needs less than one before it is not seen, one that needs more
    is.
    """
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.signal(signal.SIGVTALRM, _interrupt)
    signal.setitimer(signal.ITIMER_VIRTUAL, _HARD_CPU_S)
    began_s = time.thread_time()
    fault = ""
    try:
        door.call(data)
    except door.expected:
        pass
    except TakesTooLongError:
        fault = f"takes more than {_HARD_CPU_S:g} s"
    except Exception as error:  # noqa: BLE001  # whatever it is, it is a finding
        place = traceback.extract_tb(error.__traceback__)[-1]
        fault = (
            f"{type(error).__name__}: {str(error)[:200]} at {place.filename.rpartition('/site-packages/')[2]}:{place.lineno}"
        )
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    took_s = time.thread_time() - began_s
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    if fault:
        return fault
    if took_s > door.most_cpu_s:
        return f"takes {took_s:.2f} s of the processor"
    return f"takes {grown / 2**20:.0f} MiB of memory" if grown > MOST_BYTES else ""
