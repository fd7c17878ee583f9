"""Try mutated input at every door and print what was tried and found; exit code 1 on a finding.

`python -m tests.fuzz --seconds 600`: for about that long in all, doors side by side, then live runs through mutating
proxies. Without it: a minute. `--door NAME` for one. The seed is printed; the same seed makes the same inputs in the same
order, the kept corpus (tests/hostile/corpus) before all others. `--replay FILE --door NAME` tries one saved input again.
"""

import argparse
import mmap
import multiprocessing
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from tests.fuzz.bounds import judge
from tests.fuzz.live import LIVE, run_live
from tests.fuzz.worker import DOORS, be_quiet, made, work

FINDINGS: Final = Path("build/fuzz")
SHORT_S: Final = 60.0
_LIVE_SHARE: Final = 0.3
_SILENT_S: Final = 60.0
"""A worker that says nothing for so long hangs in an input that no interruption reaches."""
_TOLD_EVERY_S: Final = 10.0
_FORK: Final = multiprocessing.get_context("fork")


@dataclass(slots=True)
class Tally:
    """What was tried at one door, and what is wrong: a text, and the file that has the input."""

    tried: int = 0
    findings: list[tuple[str, Path]] = field(default_factory=list)


@dataclass(slots=True)
class Run:
    """One door at work. told_s: when it last said something."""

    name: str
    process: BaseProcess
    end: Connection
    place: mmap.mmap
    until_s: float
    told_s: float


class Fuzzer:
    """All doors, as many at once as there are processors."""

    def __init__(self, seed: str, seconds: float, most: int, names: list[str]) -> None:
        """seconds: for all together."""
        self.tallies = {name: Tally() for name in names}
        self._seed = seed
        self._seconds = seconds
        self._most = most
        self._began_s = self._told_s = time.monotonic()

    def run(self) -> None:
        """Try all doors, then the live ones."""
        quick = [name for name in self.tallies if name not in LIVE]
        live = [name for name in self.tallies if name in LIVE]
        live_s = self._seconds * (_LIVE_SHARE if quick else 1.0) if live else 0.0
        jobs = os.cpu_count() or 1
        share_s = (self._seconds - live_s) * min(1.0, jobs / max(1, len(quick)))
        waiting, running = deque(quick), list[Run]()
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(self._start(waiting.popleft(), 0, share_s))
            running = [again for one in running if (again := self._look_after(one)) is not None]
            self._show_progress()
        for name in live:
            for tried, fault, content in run_live(name, self._seed, live_s / len(live)):
                self.tallies[name].tried = tried
                if fault:
                    self._keep(name, tried, fault, content)
                self._show_progress()

    def _start(self, name: str, first: int, seconds: float) -> Run:
        ours, theirs = _FORK.Pipe(duplex=False)
        place = mmap.mmap(-1, 8)
        process = _FORK.Process(target=work, args=(name, self._seed, first, seconds, self._most, place, theirs), daemon=True)
        process.start()
        theirs.close()
        now_s = time.monotonic()
        return Run(name, process, ours, place, now_s + seconds, now_s)

    def _look_after(self, run: Run) -> Run | None:
        """Take what a door says. Returns it, what goes on behind an input on which it died, or None when it is done."""
        tally = self.tallies[run.name]
        if wait([run.end], timeout=0.2):
            try:
                tally.tried, number, fault = run.end.recv()
                run.told_s = time.monotonic()
                if fault:
                    self._keep(run.name, number, fault, made(run.name)[1].input(f"{self._seed}/{run.name}", number))
                return run
            except EOFError:
                run.process.join()
        elif time.monotonic() - run.told_s < _SILENT_S:
            return run
        is_hanging = run.process.is_alive()
        run.process.kill()
        run.process.join()
        if not run.process.exitcode:
            return None
        number = int.from_bytes(run.place[:8])
        fault = f"hangs for {_SILENT_S:g} s" if is_hanging else f"ends the process ({run.process.exitcode})"
        self._keep(run.name, number, fault, made(run.name)[1].input(f"{self._seed}/{run.name}", number))
        left_s = run.until_s - time.monotonic()
        return self._start(run.name, number + 1, left_s) if left_s > 0 else None

    def _keep(self, name: str, number: int, fault: str, content: bytes) -> None:
        """Save the input of a finding."""
        path = FINDINGS / name / f"{self._seed}-{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.tallies[name].findings.append((fault, path))
        print(f"{name}: {fault}\n    {path}", flush=True)

    def _show_progress(self) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s > _TOLD_EVERY_S:
            self._told_s = now_s
            tried, found = (sum(counts) for counts in zip(*self._counts(), strict=True))
            print(f"{now_s - self._began_s:.0f} s of {self._seconds:.0f}: {tried:,} inputs, {found} findings", flush=True)

    def _counts(self) -> Iterator[tuple[int, int]]:
        yield from ((one.tried, len(one.findings)) for one in self.tallies.values())

    def report(self) -> int:
        """Print the table, then each finding and how to see it again. Returns the exit code."""
        rows = [(name, *counts) for name, counts in zip(self.tallies, self._counts(), strict=True)]
        rows.append(("all", sum(row[1] for row in rows), sum(row[2] for row in rows)))
        print(f"{'door':<20} {'inputs':>12} {'findings':>9}")
        for name, tried, found in rows:
            print(f"{name:<20} {tried:>12,} {found:>9}")
        for name, tally in self.tallies.items():
            for fault, path in tally.findings:
                again = f"python -m tests.fuzz --door {name}"
                again += f" --seed {self._seed}; what was sent: {path}" if name in LIVE else f" --replay {path}"
                print(f"\n{name}: {fault}\n    {again}")
        return 1 if rows[-1][2] else 0


def main() -> int:
    """Run the command line."""
    arguments = _arguments()
    be_quiet()
    if arguments.replay:
        if arguments.door not in DOORS:
            print(f"--replay needs --door, one of {', '.join(DOORS)}; a live run is repeated with its seed")
            return 2
        fault = judge(made(arguments.door)[0], arguments.replay.read_bytes())
        print(fault or "taken as it should be")
        return 1 if fault else 0
    seed = arguments.seed or str(time.time_ns() // 10**9 % 10**6)
    seconds = arguments.seconds or SHORT_S
    print(f"seed {seed}; the same again: python -m tests.fuzz --seconds {seconds:g} --seed {seed}", flush=True)
    fuzzer = Fuzzer(seed, seconds, arguments.most, [arguments.door] if arguments.door else [*DOORS, *LIVE])
    fuzzer.run()
    return fuzzer.report()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--seed", default="")
    parser.add_argument("--door", default="", choices=["", *DOORS, *LIVE])
    parser.add_argument("--most", type=int, default=sys.maxsize, help="inputs for each door")
    parser.add_argument("--replay", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
