"""asyncua makes the 6,000 nodes of the standard address space anew for each server, which takes a second of CPU. The tests
start hundreds of servers: here the nodes are made once, kept in `build/`, and read back for each server in half the time.
"""

import gc
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from asyncua.server.internal_server import InternalServer

_KEPT = Path(__file__).parents[2] / "build" / f"asyncua-{version('asyncua')}.pickle"

_make: Any = InternalServer.load_standard_address_space


async def _load(self: InternalServer, shelf_file: Path | None = None) -> None:
    """In the place of asyncua's own."""
    with _no_garbage():
        if _KEPT.exists():
            self.aspace._nodes = pickle.loads(_KEPT.read_bytes())
            return
        await _make(self, shelf_file)
        _KEPT.parent.mkdir(exist_ok=True)
        being_written = _KEPT.with_suffix(f".{os.getpid()}")
        being_written.write_bytes(pickle.dumps(self.aspace._nodes))
        being_written.replace(_KEPT)  # whole or not at all: other workers read it


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Nothing of what is made here is garbage, and looking for it takes longer than making it."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def quick_servers() -> None:
    """From now on servers of this process start so."""
    InternalServer.load_standard_address_space = _load  # type: ignore[method-assign]
