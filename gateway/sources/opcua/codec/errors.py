"""What the codec raises."""

from types import TracebackType
from typing import Final


class WireError(ValueError):
    """The bytes are not what the standard says. Nothing of them can be used.

    subscription: the id of the subscription whose notification they are, 0 where that is not known.
    """

    subscription: int = 0


class ValueRefused(WireError):
    """One value is not taken, whose end is known all the same: it costs its own tag. status: what its tag gets."""

    status: int = 0x80070000  # BadDecodingError


class TooLarge(ValueRefused):
    """More elements than we make of one value, or of one answer."""

    status = 0x80080000  # BadEncodingLimitsExceeded

    def __init__(self) -> None:
        super().__init__("more elements than are taken")


class DecodeErrors:
    """A context that turns every exception of its block into WireError, but TooLarge.

    On bytes that are not as defined asyncua, struct and Python raise nearly anything: NotEnoughData, struct.error, KeyError,
    AttributeError, AssertionError, RecursionError, MemoryError. Cancellation and the like (no Exception) pass.
    """

    __slots__ = ("_prefix", "field")

    def __init__(self, prefix: str = "") -> None:
        """Begin the text of each error with `prefix`; without one a WireError passes unchanged."""
        self._prefix = prefix
        self.field = ""
        """Name of the field of a structure that is being decoded; it stands in the text behind the prefix and a dot."""

    def __enter__(self) -> "DecodeErrors":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if not isinstance(error, Exception) or (isinstance(error, WireError) and not self._prefix):
            return
        if isinstance(error, TooLarge):  # it concerns the whole value, and is no fault of its bytes
            return
        where = f"{self._prefix}.{self.field}" if self.field else self._prefix
        text = str(error) or type(error).__name__
        raise WireError(f"{where}: {text}" if where else text) from error


DECODING: Final = DecodeErrors()
"""The same context for every answer, without a prefix."""
