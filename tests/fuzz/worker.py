"""One door in a process of its own: `python -m tests.fuzz.worker DOOR SEED SECONDS MOST`.

It writes a line of JSON for each finding and, about once a second, for how far it is. The number of the input that it is at stands
in a file that the parent shares with it, so that an input on which it hangs or dies is known.
"""

import gc
import json
import logging
import mmap
import sys
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from tests.fuzz.bounds import judge
from tests.fuzz.door import Door, kept
from tests.fuzz.mutator import Mutator

_COLLECT_EVERY = 200


def doors() -> dict[str, Callable[[], Door]]:
    """Return all doors that are tried in process."""
    from tests.fuzz import file_doors, wire_doors

    return wire_doors.DOORS | file_doors.DOORS


def made(name: str) -> tuple[Door, Mutator]:
    """Return a door, and what makes its input: the kept corpus is part of its seeds."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    door = doors()[name]()
    return door, Mutator([*kept(name), *door.seeds], door.tokens)


def main() -> int:
    """Try inputs until the time is over. A finding is told once for each text of it."""
    name, seed, seconds, most, shared = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5])
    door, mutator = made(name)
    with shared.open("r+b") as file:
        place = mmap.mmap(file.fileno(), 8)
    end_s = told_s = time.monotonic()
    end_s += seconds
    number, faults = 0, set[str]()
    while time.monotonic() < end_s and number < most:
        data = mutator.input(f"{seed}/{name}", number)
        place[:8] = number.to_bytes(8)
        fault = judge(door.call, data, door.expected)
        if fault and (kind := fault.partition(" of ")[0].partition(":")[0] + fault.rpartition(" at ")[2]) not in faults:
            faults.add(kind)
            print(json.dumps({"fault": fault, "number": number}), flush=True)
        number += 1
        if number % _COLLECT_EVERY == 0:
            gc.collect()
        if time.monotonic() - told_s > 1:
            told_s = time.monotonic()
            print(json.dumps({"tried": number}), flush=True)
    print(json.dumps({"tried": number}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
