"""The tree of a formula, and its value on columns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from gateway.core.blocks import Values

_EXACT: Final = 2.0**53
"""Integers below this are exact in float64."""
_MANY: Final = 64
"""Most arguments of a function that takes any number of them."""
_BITS: Final = 53
"""Bits of the integers that bit operations take and give."""


@dataclass(frozen=True, slots=True)
class Number:
    """A constant."""

    value: float


@dataclass(frozen=True, slots=True)
class Operand:
    """The value of a tag."""

    slot: int
    """Its place among the operands of the formula."""


@dataclass(frozen=True, slots=True)
class Apply:
    """A function or operator on the values of other nodes."""

    function: str
    """A key of `FUNCTIONS`."""
    arguments: tuple["Node", ...]
    """As many as the function takes."""


Node = Number | Operand | Apply


@dataclass(frozen=True, slots=True)
class Function:
    """What a formula can do with columns."""

    fewest: int
    """Fewest arguments."""
    most: int
    """Most arguments."""
    compute: Callable[..., Any]
    """From columns of float64 (or numbers) to a column of float64; NaN where there is no result."""


def evaluate(node: Node, columns: Sequence[Values]) -> Values:
    """Return the value of a tree on columns of float64, one column for each slot, all of equal length.

    A result that does not exist is NaN or infinite: division by zero, the root of a negative number, bits of a number that
    is no integer. Raises nothing.
    """
    with np.errstate(all="ignore"):
        result = _value(node, columns)
    return np.broadcast_to(np.asarray(result, np.float64), columns[0].shape)


def _value(node: Node, columns: Sequence[Values]) -> Any:
    if isinstance(node, Operand):
        return columns[node.slot]
    if isinstance(node, Number):
        return np.float64(node.value)
    return FUNCTIONS[node.function].compute(*(_value(argument, columns) for argument in node.arguments))


def replace_operands(node: Node, replacements: Sequence[Node]) -> Node:
    """Return the tree with each operand replaced by the tree that stands at its slot."""
    if isinstance(node, Operand):
        return replacements[node.slot]
    if isinstance(node, Number):
        return node
    return Apply(node.function, tuple(replace_operands(argument, replacements) for argument in node.arguments))


def measure(node: Node) -> tuple[int, int]:
    """Return how many nodes a tree has, and how deep it is."""
    if not isinstance(node, Apply):
        return 1, 1
    parts = [measure(argument) for argument in node.arguments]
    return 1 + sum(nodes for nodes, _ in parts), 1 + max(depth for _, depth in parts)


def _bitwise(operate: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return a bit operation on numbers that are integers from 0 to 2^53 - 1, NaN for all others."""

    def compute(left: Any, right: Any) -> Any:
        valid = _is_natural(left) & _is_natural(right)
        result = operate(np.where(valid, left, 0).astype(np.int64), np.where(valid, right, 0).astype(np.int64))
        return np.where(valid, result.astype(np.float64), np.nan)

    return compute


def _is_natural(value: Any) -> Any:
    return (value >= 0) & (value < _EXACT) & (np.floor(value) == value)


def _shift_left(value: Any, by: Any) -> Any:
    """Return value times 2^by, NaN beyond 2^53: a shift loses no bit unseen."""
    result = np.where(_is_natural(value) & _is_natural(by) & (by <= _BITS), value * 2.0 ** np.minimum(by, _BITS), np.nan)
    return np.where(result < _EXACT, result, np.nan)


def _shift_right(value: Any, by: Any) -> Any:
    valid = _is_natural(value) & _is_natural(by)
    return np.where(valid, np.floor(value / 2.0 ** np.minimum(by, 2 * _BITS)), np.nan)


def _signed(value: Any, bits: Any) -> Any:
    """Return an unsigned integer of so many bits as a signed one in two's complement."""
    valid = _is_natural(value) & _is_natural(bits) & (bits >= 1) & (bits <= _BITS)
    whole = 2.0 ** np.where(valid, bits, 1)
    valid &= value < whole
    return np.where(valid, np.where(value >= whole / 2, value - whole, value), np.nan)


def _sign_magnitude(value: Any, bits: Any) -> Any:
    """Return an unsigned integer whose highest bit is its sign and whose others are its amount."""
    valid = _is_natural(value) & _is_natural(bits) & (bits >= 2) & (bits <= _BITS)
    top = 2.0 ** (np.where(valid, bits, 2) - 1)
    valid &= value < 2 * top
    return np.where(valid, np.where(value >= top, top - value, value), np.nan)


def _scale10(value: Any, exponent: Any) -> Any:
    """Return value times 10^exponent, correctly rounded where the exponent is whole: a negative one divides."""
    power = np.power(10.0, np.abs(exponent))
    return np.where(exponent < 0, value / power, value * power)


def _truth(compare: Callable[..., Any]) -> Callable[..., Any]:
    """Return a comparison as 1 and 0, NaN where an argument is NaN."""

    def compute(*arguments: Any) -> Any:
        unknown = np.isnan(arguments[0])
        for argument in arguments[1:]:
            unknown = unknown | np.isnan(argument)
        return np.where(unknown, np.nan, compare(*arguments))

    return compute


def _choose(condition: Any, yes: Any, no: Any) -> Any:
    return np.where(np.isnan(condition), np.nan, np.where(condition != 0, yes, no))


def _round(value: Any, digits: Any = 0.0) -> Any:
    factor = 10.0 ** np.trunc(digits)
    return np.rint(value * factor) / factor


def _fold(operate: Callable[[Any, Any], Any], values: Sequence[Any]) -> Any:
    result = values[0]
    for value in values[1:]:
        result = operate(result, value)
    return result


FUNCTIONS: Final[dict[str, Function]] = {
    "+": Function(2, 2, np.add),
    "-": Function(2, 2, np.subtract),
    "*": Function(2, 2, np.multiply),
    "/": Function(2, 2, np.true_divide),
    "//": Function(2, 2, np.floor_divide),
    "%": Function(2, 2, np.mod),
    "**": Function(2, 2, np.power),
    "scale10": Function(2, 2, _scale10),
    "negative": Function(1, 1, np.negative),
    "<": Function(2, 2, _truth(np.less)),
    "<=": Function(2, 2, _truth(np.less_equal)),
    ">": Function(2, 2, _truth(np.greater)),
    ">=": Function(2, 2, _truth(np.greater_equal)),
    "==": Function(2, 2, _truth(np.equal)),
    "!=": Function(2, 2, _truth(np.not_equal)),
    "and": Function(2, 2, _truth(lambda left, right: (left != 0) & (right != 0))),
    "or": Function(2, 2, _truth(lambda left, right: (left != 0) | (right != 0))),
    "not": Function(1, 1, _truth(lambda value: value == 0)),
    "if": Function(3, 3, _choose),
    "&": Function(2, 2, _bitwise(np.bitwise_and)),
    "|": Function(2, 2, _bitwise(np.bitwise_or)),
    "<<": Function(2, 2, _shift_left),
    ">>": Function(2, 2, _shift_right),
    "abs": Function(1, 1, np.abs),
    "min": Function(2, _MANY, lambda *values: _fold(np.minimum, values)),
    "max": Function(2, _MANY, lambda *values: _fold(np.maximum, values)),
    "sum": Function(2, _MANY, lambda *values: _fold(np.add, values)),
    "mean": Function(2, _MANY, lambda *values: _fold(np.add, values) / len(values)),
    "clamp": Function(3, 3, lambda value, low, high: np.minimum(np.maximum(value, low), high)),
    "round": Function(1, 2, _round),
    "floor": Function(1, 1, np.floor),
    "ceil": Function(1, 1, np.ceil),
    "trunc": Function(1, 1, np.trunc),
    "sqrt": Function(1, 1, np.sqrt),
    "exp": Function(1, 1, np.exp),
    "log": Function(1, 1, np.log),
    "log10": Function(1, 1, np.log10),
    "xor": Function(2, 2, _bitwise(np.bitwise_xor)),
    "signed": Function(2, 2, _signed),
    "sign_magnitude": Function(2, 2, _sign_magnitude),
}
"""Everything that a formula can do, by the name or sign that stands in its text."""

_SYNTAX: Final = ("negative", "scale10", "and", "or", "not", "if")
NAMED: Final = tuple(name for name in FUNCTIONS if name.isidentifier() and name not in _SYNTAX)
"""Functions that are called by name."""
