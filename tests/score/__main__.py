"""`python -m tests.score [SHARED]`: all scores at the shipped settings.

SHARED has `eval/` with the scorers and `data/` (default: ../shared). One setting for all: docs/decisions/0098.
"""

import runpy
import sys
from pathlib import Path

import numpy as np

from tests.score.adapter import TagAdapter
from tests.score.cause import first_named
from tests.score.plant_life import KINDS, plant_life

_SCORERS = (
    ("score_nab.py", ["tests.score.adapter:onsets"]),
    ("score_device.py", ["tests.score.adapter:devices"]),
    ("score_load.py", ["tests.score.adapter:tags", "--hours", "12", "--per", "30"]),
)


def ordinary_life(per: int = 4, hours: int = 24, seed: int = 1) -> None:
    """Print the alarms and events of each kind of ordinary plant life after twelve hours, per tag and day."""
    values = plant_life(hours * 3600, per, np.random.default_rng(seed))
    tags = values.shape[1]
    adapter, begun, alarms = TagAdapter(tags), np.zeros(tags), np.zeros(tags)
    stood, alarmed = np.zeros(tags, np.bool_), np.zeros(tags, np.bool_)
    for second, row in enumerate(values):
        alarm = adapter.update(np.full(tags, 1.7e9 + second), row).copy()
        stands = adapter.judge.state > 0 if adapter.judge is not None else stood
        if second >= 12 * 3600:
            begun += stands & ~stood
            alarms += alarm & ~alarmed
        stood, alarmed = stands, alarm
        if second % 3600 == 0:
            print(f"\rordinary plant life: hour {second // 3600} of {hours}", end="", flush=True)
    days = (hours - 12) / 24
    print("\r", end="")
    for kind, all_of, alarms_of in zip(KINDS, begun.reshape(-1, per), alarms.reshape(-1, per), strict=True):
        print(f"  {kind:26s} {all_of.mean() / days:5.2f} events, {alarms_of.mean() / days:5.2f} alarms per tag-day")
    print(f"ordinary plant life after 12 h: {begun.mean() / days:.2f} events, {alarms.mean() / days:.2f} alarms per tag-day")


def main(shared: str = "../shared") -> int:
    """Run every scorer that is there; 2 where there is none."""
    folder = Path(shared).resolve() / "eval"
    there = [(folder / name, arguments) for name, arguments in _SCORERS if (folder / name).exists()]
    for path, arguments in there:
        print(f"{path.name} ...", flush=True)
        sys.argv = [str(path), *arguments]
        runpy.run_path(str(path), run_name="__main__")
    if not there:
        print(f"{folder} has no scorers: only what needs no data")
    found, right = first_named()
    print(f"cause: {found:.0%} of faults found by joint, first named tag right {right:.0%}")
    ordinary_life()
    return 0 if there else 2


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
