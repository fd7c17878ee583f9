"""The limits that the code keeps by itself: `python -m tests.house`, part of `make check`.

Prints every breach with its place; exit code 1 where there is one. Layers and forbidden imports are import contracts in
pyproject.toml; style, docstrings and complexity are ruff's.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

MOST_FILE_LINES = 300
MOST_FUNCTION_LINES = 50
MOST_CONSTRUCTOR_ARGUMENTS = 7
MOST_README_LINES = 120
MOST_PAGE_LINES = 250
MOST_REFERENCE_LINES = 500
MOST_BROAD_HANDLERS = 10

BROAD_HANDLERS: dict[str, str] = {
    "gateway/app/tag_discovery.py:discover": "a bug in one device's discovery must not keep the other devices from starting",
    "gateway/app/reloader.py:_built": "a bug in what is built for a reload must not end what runs",
    "gateway/runtime/supervisor.py:_guarded": "a bug in a source costs that source its connection, not the process",
    "gateway/live/history/historian.py:_work": "a bug in what is remembered must not cost what is on its way",
    "gateway/sources/opcua/client/errors.py:translate_errors": "asyncua raises anything while it decodes an answer",
    "gateway/sources/opcua/codec/errors.py:__exit__": "asyncua raises anything on bytes that are not as defined",
    "gateway/otlp/push.py:_send_all": "a thread would end without a word, and the push must not end what it reports on",
    "gateway/web/server.py:run": "whoever only looks must not end what is looked at",
    "gateway/sinks/mqtt/connect_thread.py:_run": "the top of a thread: a bug belongs to whoever waits for it, not to nobody",
}
"""Every handler that catches everything, as `file:function`, with its reason."""

PROTOCOL_WORDS = re.compile(r"(?i)\b(mqtt|puback|retain(?:ed)?|qos|sparkplug|modbus|opc ?ua)\b")
"""Words of protocols, sinks and layouts, which `gateway/core` does not say."""
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def main() -> int:
    """Check the tree around this file and print what breaks a limit."""
    root = Path(__file__).resolve().parents[1]
    breaches = [*_code(root), *_pages(root)]
    for breach in breaches:
        print(breach)
    return 1 if breaches else 0


def _code(root: Path) -> Iterator[str]:
    broad: set[str] = set()
    for path in sorted((root / "gateway").rglob("*.py")):
        text, name = path.read_text(), str(path.relative_to(root))
        tree = ast.parse(text)
        yield from _sizes(name, text, tree)
        broad |= set(_broad_handlers(name, tree))
        if UNFINISHED.search(text):
            yield f"{name}: an unfinished mark; expected finished code"
        if name.startswith("gateway/core/") and (word := PROTOCOL_WORDS.search(text)):
            line = text.count("\n", 0, word.start()) + 1
            yield f"{name}:{line}: says {word[0]}; expected no word of a protocol, sink or layout in core"
        yield from _late_imports(name, tree)
    yield from (
        f"{place}: catches everything; expected a narrow handler, or a reason in tests/house.py"
        for place in sorted(broad - BROAD_HANDLERS.keys())
    )
    yield from (f"tests/house.py: {place} is listed and not there" for place in sorted(BROAD_HANDLERS.keys() - broad))
    if len(broad) > MOST_BROAD_HANDLERS:
        yield f"gateway: {len(broad)} functions catch everything; expected {MOST_BROAD_HANDLERS} at most"


def _sizes(name: str, text: str, tree: ast.Module) -> Iterator[str]:
    if (lines := text.count("\n")) > MOST_FILE_LINES:
        yield f"{name}: {lines} lines; expected {MOST_FILE_LINES} at most"
    for node in ast.walk(tree):
        if not isinstance(node, Function):
            continue
        if (lines := (node.end_lineno or 0) - node.lineno + 1) > MOST_FUNCTION_LINES:
            yield f"{name}:{node.lineno}: {node.name} has {lines} lines; expected {MOST_FUNCTION_LINES} at most"
        count = len(node.args.posonlyargs) + len(node.args.args) + len(node.args.kwonlyargs) - 1
        if node.name == "__init__" and count > MOST_CONSTRUCTOR_ARGUMENTS:
            yield f"{name}:{node.lineno}: a constructor of {count} arguments; expected {MOST_CONSTRUCTOR_ARGUMENTS} at most"


def _broad_handlers(name: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, Function):
            for inner in _own(node):
                if _catches_everything(inner, is_context=node.name in ("__exit__", "__aexit__")):
                    yield f"{name}:{node.name}"


def _own(function: Function) -> Iterator[ast.AST]:
    """Yield the nodes of a function without those of functions inside it."""
    waiting: list[ast.AST] = [function]
    while waiting:
        for child in ast.iter_child_nodes(waiting.pop()):
            if not isinstance(child, Function):
                yield child
                waiting.append(child)


def _catches_everything(node: ast.AST, *, is_context: bool) -> bool:
    """Return whether a node is a broad handler, a broad `suppress`, or a check for any Exception at the end of a context."""
    if isinstance(node, ast.ExceptHandler):
        return _is_broad(node.type)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
        return False
    if node.func.id == "suppress":
        return any(_is_broad(argument) for argument in node.args)
    return is_context and node.func.id == "isinstance" and _is_broad(node.args[-1])


def _is_broad(caught: ast.expr | None) -> bool:
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(name is None or getattr(name, "id", "") in ("Exception", "BaseException") for name in names)


def _late_imports(name: str, tree: ast.Module) -> Iterator[str]:
    """Imports inside OPC UA that are written late hide a circle; its plug-in loads the library late on purpose."""
    if not name.startswith("gateway/sources/opcua/") or name == "gateway/sources/opcua/plugin.py":
        return
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.ImportFrom)
            and id(node) not in top
            and (node.module or "").startswith("gateway.sources.opcua")
        ):
            yield f"{name}:{node.lineno}: imports {node.module} late; expected an import at the top"


def _pages(root: Path) -> Iterator[str]:
    for page in (root / "README.md", *sorted((root / "docs").rglob("*.md"))):
        most = MOST_README_LINES if page.name == "README.md" and page.parent == root else MOST_PAGE_LINES
        most = MOST_REFERENCE_LINES if page.parent == root / "docs" / "reference" else most
        if (lines := page.read_text().count("\n")) > most:
            yield f"{page.relative_to(root)}: {lines} lines; expected {most} at most"


if __name__ == "__main__":
    sys.exit(main())
