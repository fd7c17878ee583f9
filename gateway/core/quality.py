"""Quality of a value in one byte.

The numbers are those of OPC Data Access 3.0, section 6.8 (QQSSSSLL): the top two bits are the class, the next four the
reason, the last two limits (01 low, 10 high). So codes compare as numbers, the smaller of two is the worse one, and a byte
that was never set (0) is bad.
Reasons that the standard does not name use free sub-status numbers of the same class.
"""

from enum import IntEnum
from typing import Final


class Quality(IntEnum):
    """Class and reason of one value; the lower-case member name without its class is the `reason` that is published."""

    BAD = 0x00
    BAD_CONFIG = 0x04
    BAD_NOT_CONNECTED = 0x08
    BAD_DEVICE_FAILURE = 0x0C
    BAD_SENSOR_FAILURE = 0x10
    BAD_STALE = 0x14
    BAD_COMM_FAILURE = 0x18
    BAD_OUT_OF_SERVICE = 0x1C
    BAD_WAITING = 0x20
    BAD_ADDRESS = 0x24
    BAD_NOT_A_NUMBER = 0x28
    BAD_NOT_NUMERIC = 0x2C
    BAD_TIMEOUT = 0x30
    BAD_NOT_AVAILABLE = 0x34

    UNCERTAIN = 0x40
    UNCERTAIN_LAST_USABLE = 0x44
    UNCERTAIN_SENSOR = 0x50
    UNCERTAIN_RANGE = 0x54
    UNCERTAIN_RANGE_LOW = 0x55
    UNCERTAIN_RANGE_HIGH = 0x56
    UNCERTAIN_SUBNORMAL = 0x58
    UNCERTAIN_CLOCK = 0x5C
    UNCERTAIN_PARTIAL = 0x60
    UNCERTAIN_ROUNDED = 0x64
    UNCERTAIN_SHARED_LINE = 0x68
    UNCERTAIN_TEXT_AFTER_ZERO = 0x6C
    UNCERTAIN_TIME = 0x70

    GOOD = 0xC0
    GOOD_LOCAL_OVERRIDE = 0xD8


USABLE_FROM: Final = 0x40
"""Codes from here on carry a value that may be used (uncertain or good)."""

GOOD_FROM: Final = 0xC0

CLASS_NAMES: Final = ("bad", "uncertain", "bad", "good")
"""Published `q` by the code's top two bits; the third pattern is reserved by the standard and is read as bad."""


def _reason(code: int) -> str:
    try:
        name = Quality(code).name
    except ValueError:
        return f"code_{code:#04x}"
    return "unspecified" if "_" not in name else name.split("_", 1)[1].lower()


REASONS: Final = tuple(_reason(code) for code in range(256))
"""Published `reason` by code; `unspecified` where the class is all that is known."""
