"""`python -m tests.bench [NAME]`: all figures, or those of the benches that measure NAME."""

import sys
from pathlib import Path

from tests.bench import (
    alarms,
    dead_sink,
    detect,
    history,
    modbus,
    opcua,
    opcua_start,
    outbox,
    page,
    pipeline,
    process,
    sinks,
    start,
)
from tests.bench.figures import Figure, publish

BENCHES = (
    *pipeline.BENCHES,
    *alarms.BENCHES,
    *detect.BENCHES,
    *modbus.BENCHES,
    *opcua.BENCHES,
    *opcua_start.BENCHES,
    *outbox.BENCHES,
    *history.BENCHES,
    *process.BENCHES,
    *page.BENCHES,
    *start.BENCHES,
    *sinks.BENCHES,
    *dead_sink.BENCHES,
)


def main(only: str = "") -> int:
    """Run and print; 2 when `only` names nothing."""
    chosen = [bench for bench in BENCHES if not only or any(only in name for name in bench.names)]
    if not chosen:
        print(f"no figure is called {only!r}; there are: {', '.join(n for b in BENCHES for n in b.names)}")
        return 2
    figures: list[Figure] = []
    for bench in chosen:
        print(f"measuring {', '.join(bench.names)} ...", flush=True)
        figures += bench.run()
    publish(figures, Path("build/bench.json"))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
