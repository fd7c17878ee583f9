"""Finding units that answer and addresses that can be read, one polite request after another."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from gateway.core.clock import Clock
from gateway.core.errors import Retryable
from gateway.sources.modbus.link import BadReply, ExceptionReply, Link, NoReply
from gateway.sources.modbus.types import Table

_BEHIND_GATEWAY = (10, 11)
_ILLEGAL_FUNCTION = 1
_BLOCK = 64


@dataclass(frozen=True, slots=True)
class Scan:
    """How a connection is looked at. pause_s: before every request; a request is never repeated."""

    link: Link
    clock: Clock
    pause_s: float
    timeout_s: float

    async def _read(self, unit: int, table: Table, start: int, count: int) -> None:
        await self.clock.sleep(self.pause_s)
        await self.link.read(unit, table, start, count, self.timeout_s)

    async def answers(self, unit: int) -> bool:
        """Whether the unit says anything at all: values, or an exception that is its own. Raises NotConnected."""
        try:
            await self._read(unit, "holding", 0, 1)
        except ExceptionReply as error:
            return error.code not in _BEHIND_GATEWAY
        except NoReply:
            return False
        except BadReply:
            return True
        return True

    async def ranges(self, unit: int, table: Table, last: int) -> AsyncIterator[tuple[int, int, bool]]:
        """(first, last, readable) for pieces of 0..last in order; ends early when the unit does not know the table.

        A block that is refused is halved down to single addresses. Raises NotConnected.
        """
        stack = [(first, min(first + _BLOCK, last + 1)) for first in range(0, last + 1, _BLOCK)][::-1]
        while stack:
            first, end = stack.pop()
            try:
                await self._read(unit, table, first, end - first)
            except Retryable as error:
                if isinstance(error, ExceptionReply) and error.code == _ILLEGAL_FUNCTION:
                    return
                if end - first > 1 and isinstance(error, ExceptionReply):
                    middle = (first + end) // 2
                    stack += [(middle, end), (first, middle)]
                else:
                    yield first, end - 1, False
            else:
                yield first, end - 1, True


def joined(found: list[tuple[int, int]], first: int, last: int) -> None:
    """Add a range to ascending ones; neighbours become one."""
    if found and found[-1][1] == first - 1:
        found[-1] = found[-1][0], last
    else:
        found.append((first, last))
