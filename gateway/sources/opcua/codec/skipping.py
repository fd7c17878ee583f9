"""Where a value ends that is not decoded (OPC UA Part 6, 5.2.2). Pure; makes no objects of what it passes over."""

import struct
from collections.abc import Callable
from typing import Final

from gateway.sources.opcua.codec.bounds import DEEPEST, MOST_DIMENSIONS, Budget
from gateway.sources.opcua.codec.errors import WireError

MOST_SKIPPED: Final = 1_000_000
"""Elements of different lengths that are passed over one by one in one answer, about a second of a thread."""
_FIXED: Final = {0: 0, 1: 1, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 4, 8: 8, 9: 8, 10: 4, 11: 8, 13: 8, 14: 16, 19: 4}
"""Bytes of the built-in types that are all equally long (Part 6, 5.1.2)."""
_STRINGS: Final = frozenset({12, 15, 16, *range(26, 32)})
_NODE_ID, _EXPANDED_NODE_ID, _QUALIFIED_NAME, _LOCALIZED_TEXT = 17, 18, 20, 21
_EXTENSION_OBJECT, _DATA_VALUE, _VARIANT, _DIAGNOSTIC_INFO = 22, 23, 24, 25
_NODE_ID_BYTES: Final = {0: 2, 1: 4, 2: 7, 4: 19}
"""Of a NodeId whose identifier is a number or a Guid, by its first byte."""
_DATA_VALUE_TAIL: Final = ((2, 4), (4, 8), (16, 2), (8, 8), (32, 2))
_INT32: Final = struct.Struct("<i")


class Skipper:
    """Passes over values in the bytes of one answer.

    Raises WireError where these are not as the standard says, and where more is to be passed over than `MOST_SKIPPED`.
    """

    def __init__(self, data: bytes, budget: Budget) -> None:
        """Begin. budget: only looked at for whether the work was cancelled."""
        self._data = data
        self._end = len(data)
        self._left = MOST_SKIPPED
        self._budget = budget
        self._rest: dict[int, Callable[[int, int], int]] = {
            _NODE_ID: self._node_id,
            _EXPANDED_NODE_ID: self._node_id,
            _QUALIFIED_NAME: self._qualified_name,
            _LOCALIZED_TEXT: self._localized_text,
            _EXTENSION_OBJECT: self._extension_object,
            _DATA_VALUE: self._data_value,
            _VARIANT: self._variant,
            _DIAGNOSTIC_INFO: self._diagnostic,
        }

    def variant(self, at: int, depth: int = DEEPEST) -> int:
        """Return the position after the Variant at `at`."""
        if depth == 0:
            raise WireError("nested too deeply")
        head = self._byte(at)
        kind, at = head & 63, at + 1
        at = self._array(kind, at, depth) if head & 0x80 else self._one(kind, at, depth)
        if head & 0x40:
            count = self._int32(at)
            if count > MOST_DIMENSIONS:
                raise WireError(f"an array with {count} dimensions")
            at = self._to(at + 4 + 4 * max(0, count))
        return at

    def header(self, at: int) -> int:
        """Return the position after the diagnostics of the ResponseHeader at `at`, whose first 16 bytes are not looked at.

        Part 4, 7.33: time stamp, handle, result, diagnostics, texts of these, further header.
        """
        at = self._one(_DIAGNOSTIC_INFO, self._to(at + 16), DEEPEST)
        return self._one(_EXTENSION_OBJECT, self._array(12, at, DEEPEST), DEEPEST)

    def _array(self, kind: int, at: int, depth: int) -> int:
        count, at = max(0, self._int32(at)), at + 4
        if kind in _FIXED:
            return self._to(at + count * _FIXED[kind])
        if count > self._end - at:  # every other element takes at least a byte
            raise WireError("an array is longer than the message")
        for _ in range(count):
            at = self._one(kind, at, depth)
        return at

    def _one(self, kind: int, at: int, depth: int) -> int:
        self._left -= 1
        if self._left < 0 or self._budget.is_cancelled:
            raise WireError("more elements than can be passed over")
        if kind in _FIXED:
            return self._to(at + _FIXED[kind])
        if kind in _STRINGS:
            return self._string(at)
        if kind not in self._rest:
            raise WireError(f"a value of type {kind}")
        return self._rest[kind](at, depth)

    def _qualified_name(self, at: int, _: int) -> int:
        return self._string(at + 2)

    def _localized_text(self, at: int, _: int) -> int:
        mask, at = self._byte(at), at + 1
        for bit in (1, 2):
            at = self._string(at) if mask & bit else at
        return at

    def _extension_object(self, at: int, depth: int) -> int:
        at = self._node_id(at, depth)
        return self._string(at + 1) if self._byte(at) else at + 1

    def _data_value(self, at: int, depth: int) -> int:
        mask, at = self._byte(at), at + 1
        at = self.variant(at, depth - 1) if mask & 1 else at
        return self._to(at + sum(length for bit, length in _DATA_VALUE_TAIL if mask & bit))

    def _variant(self, at: int, depth: int) -> int:
        return self.variant(at, depth - 1)

    def _diagnostic(self, at: int, depth: int) -> int:
        """DiagnosticInfo (Part 6, 5.2.2.12)."""
        if depth == 0:
            raise WireError("nested too deeply")
        mask, at = self._byte(at), at + 1
        at = self._to(at + 4 * (mask & 15).bit_count())
        at = self._string(at) if mask & 16 else at
        at = self._to(at + 4) if mask & 32 else at
        return self._diagnostic(at, depth - 1) if mask & 64 else at

    def _node_id(self, at: int, _: int) -> int:
        head = self._byte(at)
        kind = head & 63
        if kind in _NODE_ID_BYTES:
            at = self._to(at + _NODE_ID_BYTES[kind])
        elif kind in (3, 5):
            at = self._string(at + 3)
        else:
            raise WireError(f"a NodeId of kind {kind}")
        at = self._string(at) if head & 0x80 else at
        return self._to(at + 4) if head & 0x40 else at

    def _string(self, at: int) -> int:
        return self._to(at + 4 + max(0, self._int32(at)))

    def _to(self, at: int) -> int:
        if at > self._end:
            raise WireError("the data ends in the middle of a value")
        return at

    def _byte(self, at: int) -> int:
        if at >= self._end:
            raise WireError("the data ends in the middle of a value")
        return self._data[at]

    def _int32(self, at: int) -> int:
        if at + 4 > self._end:
            raise WireError("the data ends in the middle of a value")
        number: int = _INT32.unpack_from(self._data, at)[0]
        return number
