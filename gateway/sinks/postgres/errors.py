"""What an error of the database means: its connection, the batch or one row. By SQLSTATE (PostgreSQL, Appendix A). Pure."""

from enum import Enum, auto
from typing import Final

_LOGIN: Final = ("28",)
_AWAY: Final = ("08", "57P", "3D000", "53300")
"""Connection exceptions, operator intervention, no such database, too many connections."""
_CANCELLED: Final = "57014"
_ROW: Final = ("22", "23", "54", "P0001", "42804", "42846")
"""Data exceptions, integrity violations, program limits (an index row that is too large), what a trigger raises, types."""


class Blame(Enum):
    """Who has to bear an error."""

    CONNECTION = auto()
    LOGIN = auto()
    """The connection, since the database does not let the gateway in."""
    BATCH = auto()
    """All messages, for now: nothing is wrong with them."""
    ROW = auto()
    """A row of one message."""


def blame(sqlstate: str) -> Blame:
    """Return whose matter an error is."""
    if sqlstate.startswith(_LOGIN):
        return Blame.LOGIN
    if sqlstate.startswith(_ROW):
        return Blame.ROW
    if sqlstate.startswith(_AWAY) and sqlstate != _CANCELLED:
        return Blame.CONNECTION
    return Blame.BATCH
