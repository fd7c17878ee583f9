"""How well the machine's clock is kept, as the kernel says it (adjtimex(2)). Nothing is set."""

import ctypes
from dataclasses import dataclass
from typing import Any, Final

_UNSYNCHRONISED: Final = 0x0040
_IN_NS: Final = 0x2000
_ERROR: Final = 5


class _Timex(ctypes.Structure):
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("time", ctypes.c_long * 2),
        ("rest", ctypes.c_long * 24),
    )


@dataclass(frozen=True, slots=True)
class ClockState:
    """What the kernel knows of its clock."""

    is_synchronized: bool
    """A time service keeps it."""
    offset_s: float
    """What is still to be corrected, seconds."""
    most_error_s: float | None
    """How wrong it is at most, seconds; None while nothing keeps it."""


def clock_state() -> ClockState | None:
    """Return the state of the clock, None where the system does not tell it (a container, another system)."""
    call, found = _adjtimex(), _Timex()
    if call is None or (result := call(ctypes.byref(found))) < 0:
        return None
    return state_of(result, found.status, found.offset, found.maxerror)


def state_of(result: int, status: int, offset: int, most_error_us: int) -> ClockState:
    """Return the state that the fields of a `timex` describe."""
    is_kept = result != _ERROR and not status & _UNSYNCHRONISED
    unit_s = 1e-9 if status & _IN_NS else 1e-6
    return ClockState(is_kept, offset * unit_s, most_error_us * 1e-6 if is_kept else None)


def _adjtimex() -> Any:
    try:
        return ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return None
