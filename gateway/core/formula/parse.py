"""From the text of a formula to its tree. Nothing of the text is ever run."""

import ast
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from keyword import iskeyword
from typing import Final

from gateway.core.formula.tree import FUNCTIONS, NAMED, Apply, Node, Number, Operand
from gateway.core.nearest import nearest

MOST_CHARACTERS: Final = 1000
"""Longest text of a formula."""
MOST_NODES: Final = 500
"""Largest tree, with the formulas of its operands put in."""
MOST_DEPTH: Final = 150
"""Deepest tree, with the formulas of its operands put in."""
_BRACKETED: Final = re.compile(r"\[([^\[\]]*)\]")
_WORD: Final = re.compile(r"\w+")
_WORDS_OF_FORMULAS: Final = ("if", "else", "and", "or", "not", "True", "False")
_PLACEHOLDER: Final = "_tag{}_"
_BINARY: Final[dict[type[ast.AST], str]] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.BitAnd: "&", ast.BitOr: "|", ast.LShift: "<<", ast.RShift: ">>",
}  # fmt: skip
_COMPARED: Final[dict[type[ast.AST], str]] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip
_UNARY: Final[dict[type[ast.AST], str]] = {ast.UAdd: "", ast.USub: "negative", ast.Not: "not"}
_EXPECTED: Final = "tags, numbers, + - * / // % **, comparisons, `a if b else c`, and functions such as clamp(x, 0, 100)"


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula that was understood."""

    tree: Node
    """With an `Operand` for each use of a tag."""
    operands: tuple[str, ...]
    """Names of its tags, each once, by slot."""


def parse_formula(text: str) -> Formula:
    """Return a formula such as `raw * 10 ** sf`; a name with other characters stands in brackets: `[Line 1] / 2`.

    Raises ValueError with what is wrong and what was expected. Takes time linear in the text, of at most 1000 characters.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"the formula has {len(text)} characters; expected at most {MOST_CHARACTERS}")
    reader = _Reader()
    source = reader.source = _BRACKETED.sub(reader.quote, text).strip()
    if not source:
        raise ValueError(f"the formula is empty; expected {_EXPECTED}")
    try:
        parsed = ast.parse(source, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):  # ValueError: a NUL; the others: nested too deeply
        reserved = next((word for word in _WORD.findall(source) if iskeyword(word) and word not in _WORDS_OF_FORMULAS), "")
        hint = f"[{reserved}] in brackets, where that is a tag" if reserved else _EXPECTED
        raise ValueError(f"{text!r} is not a formula; expected {hint}") from None
    tree = reader.node(parsed.body, 0)
    if not reader.operands:
        raise ValueError(f"{text!r} names no tag; expected a formula of tags of this device")
    return Formula(tree, tuple(reader.operands))


class _Reader:
    """The translation of Python's syntax tree, of which only calculations are let through."""

    def __init__(self) -> None:
        self.source = ""
        self.operands: dict[str, int] = {}
        self._quoted: dict[str, str] = {}

    def quote(self, match: re.Match[str]) -> str:
        """Replace a name in brackets by an identifier."""
        name = _PLACEHOLDER.format(len(self._quoted))
        self._quoted[name] = match[1]
        return f" {name} "

    def node(self, found: ast.expr, depth: int) -> Node:
        """Return a part of the formula. Raises ValueError."""
        if depth > MOST_DEPTH:
            raise ValueError(f"the formula is nested more than {MOST_DEPTH} times; expected a simpler one")
        if isinstance(found, ast.Constant):
            return _number(found.value)
        if isinstance(found, ast.Name):
            return Operand(self.operands.setdefault(self._quoted.get(found.id, found.id), len(self.operands)))
        name, parts = self._operation(found)
        nodes = [self.node(part, depth + 1) for part in parts]
        if isinstance(found, ast.Compare):
            pairs = [Apply(_COMPARED[type(op)], (nodes[at], nodes[at + 1])) for at, op in enumerate(found.ops)]
            return reduce(lambda left, right: Apply("and", (left, right)), pairs)
        if isinstance(found, ast.BoolOp):
            return reduce(lambda left, right: Apply(name, (left, right)), nodes)
        if isinstance(found, ast.BinOp):
            return _binary(name, *nodes)
        return Apply(name, tuple(nodes)) if name else nodes[0]

    def _operation(self, found: ast.expr) -> tuple[str, Sequence[ast.expr]]:
        """Return the name of what is done in a part, and the parts that it is done with. Raises ValueError."""
        operation: tuple[str, Sequence[ast.expr]] | None = None
        match found:
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                operation = _BINARY[type(op)], (left, right)
            case ast.BinOp(op=ast.BitXor()):
                raise ValueError("^ has two meanings; expected ** for a power, xor(a, b) for bits")
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
                operation = _UNARY[type(op)], (operand,)
            case ast.BoolOp(op=op, values=values):
                operation = "and" if isinstance(op, ast.And) else "or", values
            case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in _COMPARED for op in ops):
                operation = "compare", (left, *others)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                operation = "if", (test, body, orelse)
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                operation = _checked_call(name, arguments)
        if operation is None:
            part = (ast.get_source_segment(self.source, found) or "")[:40]
            raise ValueError(f"{part!r} has no place in a formula; expected {_EXPECTED}")
        return operation


def _checked_call(name: str, arguments: Sequence[ast.expr]) -> tuple[str, Sequence[ast.expr]]:
    if name not in NAMED:
        close = nearest(name, NAMED)
        raise ValueError(f"{name!r} is no function; expected {f'{close}?' if close else ', '.join(NAMED)}")
    function = FUNCTIONS[name]
    if not function.fewest <= len(arguments) <= function.most:
        count = f"{function.fewest}" if function.fewest == function.most else f"{function.fewest} to {function.most}"
        raise ValueError(f"{name} was given {len(arguments)} values; expected {count}")
    return name, arguments


def _binary(sign: str, left: Node, right: Node) -> Node:
    """Return an operation; a product with a power of ten becomes one step, so that 2456 * 10 ** -1 is 245.6 exactly."""
    match (sign, left, right):
        case "*", value, Apply(function="**", arguments=(Number(value=10.0), exponent)):
            return Apply("scale10", (value, exponent))
        case "*", Apply(function="**", arguments=(Number(value=10.0), exponent)), value:
            return Apply("scale10", (value, exponent))
    return Apply(sign, (left, right))


def _number(value: object) -> Number:
    if isinstance(value, bool):
        return Number(float(value))
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return Number(number)
    raise ValueError(f"{str(value)[:40]!r} is not a number; expected for instance 10 or 0.5")
