"""SIGKILL at random moments: what was put a commit interval earlier is there, and a held path is free again."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.core.errors import ConfigError
from tests.support.outbox_child import INTERVAL_S
from tests.support.outbox_parts import Rig

KILLS = 15
SLACK_S = 0.2
"""For a busy test machine, where the process may not get the processor in time."""


def start(path: Path, boot: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.support.outbox_child", str(path), boot]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


def lines_until_killed(child: subprocess.Popen[str], alive_s: float) -> tuple[list[list[str]], float]:
    """Kill the child `alive_s` after it opened; its lines, and when it was killed (monotonic seconds)."""
    assert child.stdout is not None
    lines = [child.stdout.readline().split()]
    end = time.monotonic() + alive_s
    while time.monotonic() < end:
        lines.append(child.stdout.readline().split())
    killed = time.monotonic()
    child.kill()
    rest = child.stdout.read().splitlines(keepends=True)
    lines += [line.split() for line in rest if line.endswith("\n")]
    child.wait(10)
    return lines, killed


async def test_kills_cost_at_most_the_commit_interval(tmp_path: Path) -> None:
    chance = random.Random(5)
    ages: dict[tuple[str, int], float] = {}
    acknowledged: set[tuple[str, int]] = set()
    for number in range(KILLS):
        boot = f"b{number}"
        lines, killed = lines_until_killed(start(tmp_path / "o.db", boot), chance.uniform(0.1, 1.2))
        assert lines[0] == ["open", f"b{number - 1}" if number else "-"], "an unclean stop is noticed"
        for kind, *rest in lines[1:]:
            if kind == "ack":
                acknowledged.add((rest[0], int(rest[1])))
            else:
                ages[boot, int(rest[0])] = killed - float(rest[1])
    async with Rig(tmp_path / "o.db", "last") as rig:
        delivered = [(m.boot, m.seq) for m in await rig.drain()]
        assert rig.events == []
    lost = [age for key, age in ages.items() if key not in acknowledged and key not in delivered]
    print(
        f"{len(ages)} put, {len(acknowledged)} acknowledged, {len(delivered)} found, {len(lost)} lost: {max(lost):.3f} s old"
    )
    assert len(delivered) > 100
    assert max(lost) < INTERVAL_S + SLACK_S
    assert len(set(delivered)) == len(delivered), "nothing is delivered twice"


async def test_a_second_process_is_refused_and_gets_in_once_the_first_is_killed(tmp_path: Path) -> None:
    child = start(tmp_path / "o.db", "first")
    assert child.stdout is not None
    child.stdout.readline()
    with pytest.raises(ConfigError, match=rf"o\.db\.lock is held by another gateway \(pid {child.pid}\)"):
        await Rig(tmp_path / "o.db").outbox.open()
    child.kill()
    child.communicate()
    async with Rig(tmp_path / "o.db", "second") as rig:
        assert [previous.boot for previous in rig.outbox.unclean] == ["first"]
