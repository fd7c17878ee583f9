"""Compare figures with an earlier commit: `python -m tests.bench.compare REVISION [NAME]`.

Both states run the same benches in turn on the same machine (their own code, this environment), so noise of neighbours
falls on both. Prints each figure's median before and after, and the ratio; nothing is asserted.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROUNDS = 3


def _measure(tree: Path, name: str) -> dict[str, float]:
    environment = os.environ | {"PYTHONPATH": str(tree)}
    command = [sys.executable, "-m", "tests.bench", *([name] if name else [])]
    result = tree / "build" / "bench.json"
    result.unlink(missing_ok=True)
    subprocess.run(command, cwd=tree, env=environment, check=True, stdout=subprocess.DEVNULL)
    return {figure["name"]: float(figure["value"]) for figure in json.loads(result.read_text())}


def main(revision: str, name: str = "") -> int:
    """Measure `ROUNDS` times in turn, then print the table."""
    here = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / "before"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(before), revision], cwd=here, check=True)
        try:
            figures: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
            for number in range(ROUNDS):
                for at, tree in enumerate((before, here)):
                    print(f"round {number + 1} of {ROUNDS}: {revision if at == 0 else 'this tree'} ...", flush=True)
                    for key, value in _measure(tree, name).items():
                        figures[key][at].append(value)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(before)], cwd=here, check=True)
    table = Table(title=f"{revision} against this tree, {ROUNDS} rounds in turn", title_justify="left")
    for heading in ("figure", "before", "after", "after / before"):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    for key, (old, new) in figures.items():
        if old and new:
            a, b = statistics.median(old), statistics.median(new)
            table.add_row(key, f"{a:,.4g}", f"{b:,.4g}", f"{b / a:.3f}" if a else "-")
    Console(width=None if os.isatty(1) else 120).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *sys.argv[2:3]))
