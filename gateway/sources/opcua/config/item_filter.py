"""What makes a server report a value: trigger and deadband (OPC UA Part 4, 7.22.2). Pure."""

import math
import re
from typing import Final, Literal, NamedTuple

Trigger = Literal["status", "value", "timestamp"]

_DEADBAND = re.compile(r"(?P<amount>\d+(\.\d+)?([eE][+-]?\d+)?)\s*(?P<percent>%?)", re.ASCII)
_EXPECTED: Final = "a number from 0 in the node's own unit, such as 0.5, or a percentage of its EURange, such as 0.5%"


class Deadband(NamedTuple):
    """Changes up to this are not reported: in the node's own unit, or in percent of its EURange. 0: all are."""

    amount: float = 0.0
    percent: bool = False


class Filter(NamedTuple):
    """trigger: a change of the status; also of the value; also of the source timestamp alone."""

    trigger: Trigger = "value"
    deadband: Deadband = Deadband()

    @property
    def is_plain(self) -> bool:
        """What a server does by itself (Part 4, 7.22.2)."""
        return self == Filter()

    @property
    def is_exact(self) -> bool:
        """Every change of the value is reported."""
        return self.trigger != "status" and not self.deadband.amount


def parse_deadband(value: object) -> Deadband:
    """`0.5` or `0.5%`. Raises ValueError with what was expected."""
    if isinstance(value, Deadband):
        return value
    text = str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    match = _DEADBAND.fullmatch(text)
    amount = float(match["amount"]) if match else math.nan
    if match is None or not math.isfinite(amount):
        raise ValueError(f"{value!r} is not a deadband; expected {_EXPECTED}")
    percent = match["percent"] == "%"
    if percent and amount > 100:
        raise ValueError(f"{value!r} is out of range; expected 0% to 100%")
    return Deadband(amount, percent)
