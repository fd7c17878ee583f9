"""One door in a process of its own, forked: an input on which it hangs or dies costs no other door."""

import gc
import logging
import mmap
import time
from collections.abc import Callable
from functools import cache
from multiprocessing.connection import Connection

import structlog

from tests.fuzz import file_doors, wire_doors
from tests.fuzz.bounds import judge
from tests.fuzz.door import Door, kept
from tests.fuzz.mutator import Mutator

_COLLECT_EVERY = 200
_TOLD_EVERY_S = 1.0

DOORS: dict[str, Callable[[], Door]] = wire_doors.DOORS | file_doors.DOORS


@cache
def made(name: str) -> tuple[Door, Mutator]:
    """Return a door, and what makes its input: the kept corpus is part of its seeds."""
    door = DOORS[name]()
    return door, Mutator([*dict.fromkeys([*kept(name), *door.seeds])], door.tokens)


def be_quiet() -> None:
    """Log nothing: refusals are what inputs are for."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)


def work(name: str, seed: str, first: int, seconds: float, most: int, place: mmap.mmap, out: Connection) -> None:
    """Try inputs from `first` on until the time is over. Sends (tried, number of the input, fault): "" for how far it is.

    place: eight bytes shared with the parent, which hold the number of the input that is tried now. A finding is sent once
    for each kind of it.
    """
    door, mutator = made(name)
    told_s = time.monotonic()
    end_s = told_s + seconds
    number, kinds = first, set[str]()
    while time.monotonic() < end_s and number < most:
        data = mutator.input(f"{seed}/{name}", number)
        place[:8] = number.to_bytes(8)
        fault = judge(door, data)
        number += 1
        if fault and (kind := _kind(fault)) not in kinds:
            kinds.add(kind)
            out.send((number, number - 1, fault))
        if number % _COLLECT_EVERY == 0:
            gc.collect()
        if time.monotonic() - told_s > _TOLD_EVERY_S:
            told_s = time.monotonic()
            out.send((number, 0, ""))
    out.send((number, 0, ""))


def _kind(fault: str) -> str:
    """Return what a finding has in common with others: the error and its place, or what is taken too much of."""
    if fault.startswith("takes"):
        return fault.rpartition(" of ")[2]
    return fault.partition(":")[0] + fault.rpartition(" at ")[2]
