"""A buffer from which asyncua makes no more than a budget allows, whatever counts and lengths the bytes claim.

asyncua's decoders believe every count. All of them read from a `Buffer`, so that is where they are held: each read is
counted before anything is made of it, and nothing reads backwards. Two things never read: a Null, of which an array may
claim 2^31, and the lists that asyncua adds to an array until it has the claimed shape. Both are replaced, for the whole
process.
"""

from typing import Any, Final

from asyncua.common.utils import Buffer, NotEnoughData
from asyncua.ua import ua_binary

from gateway.sources.opcua.codec.bounds import BYTES_PER_ELEMENT, MOST_DIMENSIONS, Budget
from gateway.sources.opcua.codec.errors import TooLarge

_SHIFT: Final = BYTES_PER_ELEMENT.bit_length() - 1


class BoundedBuffer(Buffer):
    """asyncua's buffer with a budget, which its copies share."""

    def __init__(self, data: bytes, start_pos: int = 0, size: int = -1, *, budget: Budget) -> None:
        super().__init__(data, start_pos, size)
        self.budget = budget

    def read(self, size: int) -> bytes:
        """Return the next bytes. Raises NotEnoughData, TooLarge."""
        if not 0 <= size <= self._size:
            raise NotEnoughData(f"Not enough data: {size} bytes of {self._size}")
        budget = self.budget
        budget.left -= 1 + (size >> _SHIFT)
        if budget.left < 0:
            raise TooLarge
        at = self._cur_pos
        self._cur_pos = end = at + size
        self._size -= size
        return self._data[at:end]

    def skip(self, size: int) -> None:
        """Pass over bytes. Raises NotEnoughData."""
        if size < 0:
            raise NotEnoughData(f"Not enough data: {size} bytes")
        super().skip(size)

    def copy(self, size: int = -1) -> "BoundedBuffer":
        """Return a view of the next bytes, of all for -1. Raises NotEnoughData, where asyncua returns what there is."""
        if not -1 <= size <= self._size:
            raise NotEnoughData(f"Not enough data: {size} bytes of {self._size}")
        return BoundedBuffer(self._data, self._cur_pos, self._size if size == -1 else size, budget=self.budget)

    def with_budget(self, budget: Budget) -> "BoundedBuffer":
        """Return a view of the same bytes that counts anew."""
        return BoundedBuffer(self._data, self._cur_pos, self._size, budget=budget)

    def peek(self) -> int:
        """Return the next byte, which stays. Raises NotEnoughData."""
        if not self._size:
            raise NotEnoughData("Not enough data: 1 byte of 0")
        return self._data[self._cur_pos]

    @property
    def data(self) -> bytes:
        """Return all bytes of the answer, those before this buffer's place, too."""
        return self._data


def bounded(buffer: Buffer, budget: Budget) -> BoundedBuffer:
    """Return any buffer of asyncua with this budget."""
    return BoundedBuffer(buffer._data, buffer._cur_pos, buffer._size, budget=budget)


class _CountedNull:
    """A Null as asyncua encodes and decodes it, but counted."""

    @staticmethod
    def pack(_: object) -> bytes:
        return b""

    @staticmethod
    def unpack(data: Any) -> None:
        data.read(0)


def _reshape(flat: list[Any], dims: list[int]) -> list[Any]:
    """Nest a list by its dimensions; leave it flat where they do not fit it (Part 6, 5.2.2.16)."""
    count = 1
    for length in dims[: MOST_DIMENSIONS + 1]:
        count *= length
    if not dims or len(dims) > MOST_DIMENSIONS or min(dims) < 1 or count != len(flat):
        return flat
    for length in reversed(dims[1:]):
        flat = [flat[at : at + length] for at in range(0, len(flat), length)]
    return flat


ua_binary.Primitives.Null = _CountedNull()  # type: ignore[assignment]
ua_binary._reshape = _reshape
ua_binary._create_uatype_deserializer.cache_clear()
ua_binary._create_uatype_array_deserializer.cache_clear()
