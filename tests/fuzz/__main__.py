"""Try mutated input at every door and print what was tried and found; exit code 1 on a finding.

`python -m tests.fuzz --seconds 600`: for that long in all, doors side by side, with live runs through mutating proxies at the end.
Without it: the kept corpus and a few thousand inputs for each door, about a minute. `--door NAME` for one. The seed is printed;
the same seed makes the same inputs in the same order. `--replay FILE --door NAME` tries one saved input again.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.fuzz.bounds import judge
from tests.fuzz.live import LIVE, run_live
from tests.fuzz.worker import doors, made

FINDINGS: Final = Path("build/fuzz")
SHORT_S: Final = 60.0
_LIVE_SHARE: Final = 0.3
_SILENT_S: Final = 30.0
"""A worker that says nothing for so long hangs in an input, beyond what the interruption reaches."""


@dataclass(slots=True)
class Tally:
    """What was tried at one door, and what is wrong: a text, and the file that has the input."""

    tried: int = 0
    findings: list[tuple[str, Path]] = field(default_factory=list)


def main() -> int:
    """Run the command line."""
    arguments = _arguments()
    if arguments.replay:
        return _replay(arguments.door, arguments.replay)
    seed = arguments.seed or str(time.time_ns() // 10**9 % 10**6)
    seconds = arguments.seconds or SHORT_S
    names = [arguments.door] if arguments.door else [*doors(), *LIVE]
    print(f"seed {seed}: python -m tests.fuzz --seconds {seconds:g} --seed {seed}", flush=True)
    tallies = {name: Tally() for name in names}
    progress = threading.Thread(target=_show_progress, args=(tallies, seconds), daemon=True)
    progress.start()
    in_process = [name for name in names if name not in LIVE]
    live = [name for name in names if name in LIVE]
    live_s = seconds * (_LIVE_SHARE if in_process else 1.0) if live else 0.0
    jobs = os.cpu_count() or 1
    share_s = (seconds - live_s) * jobs / max(1, len(in_process))
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda name: _try_door(name, seed, share_s, arguments.most, tallies[name]), in_process))
    for name in live:
        _try_live(name, seed, live_s / len(live), tallies[name])
    return _report(tallies)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--seed", default="")
    parser.add_argument("--door", default="", choices=["", *doors(), *LIVE])
    parser.add_argument("--most", type=int, default=sys.maxsize, help="inputs for each door")
    parser.add_argument("--replay", type=Path)
    return parser.parse_args()


def _try_door(name: str, seed: str, seconds: float, most: int, tally: Tally) -> None:
    """Run a worker; start it anew behind an input on which it died."""
    end_s = time.monotonic() + seconds
    with tempfile.NamedTemporaryFile() as shared:
        shared.write(bytes(8))
        shared.flush()
        command = [sys.executable, "-m", "tests.fuzz.worker", name, seed, str(seconds), str(most), shared.name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            watch = threading.Timer(max(0.0, end_s - time.monotonic()) + _SILENT_S, process.kill)
            watch.start()
            for line in process.stdout or ():
                told = json.loads(line)
                tally.tried = told.get("tried", tally.tried)
                if "fault" in told:
                    _keep(name, seed, told["number"], told["fault"], tally)
            watch.cancel()
        if process.returncode:
            number = int.from_bytes(Path(shared.name).read_bytes())
            _keep(name, seed, number, f"the process ended with {process.returncode}", tally)


def _keep(name: str, seed: str, number: int, fault: str, tally: Tally) -> None:
    """Save the input of a finding."""
    _, mutator = made(name)
    path = FINDINGS / name / f"{seed}-{number}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(mutator.input(f"{seed}/{name}", number))
    tally.findings.append((fault, path))


def _try_live(name: str, seed: str, seconds: float, tally: Tally) -> None:
    for tried, fault, stream in run_live(name, seed, seconds):
        tally.tried = tried
        if fault:
            path = FINDINGS / name / f"{seed}-{tried}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(stream)
            tally.findings.append((fault, path))


def _replay(name: str, path: Path) -> int:
    """Try one saved input again."""
    if name not in doors():
        print(f"--replay needs --door, one of {', '.join(doors())}; a live run is repeated with its seed")
        return 2
    door, _ = made(name)
    fault = judge(door.call, path.read_bytes(), door.expected)
    print(fault or "taken as it should be")
    return bool(fault)


def _show_progress(tallies: dict[str, Tally], seconds: float) -> None:
    began_s = time.monotonic()
    while True:
        time.sleep(10)
        tried, found = sum(one.tried for one in tallies.values()), sum(len(one.findings) for one in tallies.values())
        print(f"{time.monotonic() - began_s:.0f} s of {seconds:.0f}: {tried:,} inputs, {found} findings", flush=True)


def _report(tallies: dict[str, Tally]) -> int:
    """Print the table, then each finding and how to see it again."""
    print("\n".join(_table(tallies)))
    found = [(name, fault, path) for name, one in tallies.items() for fault, path in one.findings]
    for name, fault, path in found:
        again = (
            f"python -m tests.fuzz --door {name} --replay {path}" if name not in LIVE else f"bytes that were sent: {path}"
        )
        print(f"\n{name}: {fault}\n    {again}")
    return bool(found)


def _table(tallies: dict[str, Tally]) -> Iterator[str]:
    yield f"{'door':<20} {'inputs':>12} {'findings':>9}"
    for name, one in tallies.items():
        yield f"{name:<20} {one.tried:>12,} {len(one.findings):>9}"
    yield f"{'all':<20} {sum(one.tried for one in tallies.values()):>12,} {sum(len(one.findings) for one in tallies.values()):>9}"


if __name__ == "__main__":
    sys.exit(main())
