"""Power cuts and kills at random moments: history has every block that was written, but for the last, and no wrong value."""

import json
import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from gateway.live.history.chunks import rows_of
from gateway.live.history.columns import SAMPLES
from gateway.live.history.files import HistoryFiles
from tests.support.disk import Follower, preloaded, records
from tests.support.history_child import PER_CHUNK
from tests.support.platter import Platter

CHUNKS, CUTS = 30, 60


def values_in(folder: Path) -> list[float]:
    """What is found of a tag, in order; opening cuts off what is damaged, and a second time there is nothing more of it."""
    files = HistoryFiles(folder)
    files.open()
    found = [
        value
        for one in files.find("samples", {("d", "a")}, 0, 2**62)
        for value in rows_of(one.data, SAMPLES, one.series, 0, 2**62).values["value"].tolist()
    ]
    again = HistoryFiles(folder)
    again.open()
    assert again.damage == []
    return found


def laid_out(files: Mapping[str, bytes], folder: Path) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / Path(name).name).write_bytes(content)
    return folder


def test_power_cuts_and_kills_cost_at_most_the_block_that_is_written(tmp_path: Path, disk: Path) -> None:
    folder, log, chance = tmp_path / "history", tmp_path / "log", random.Random(3)
    folder.mkdir()
    command = [sys.executable, "-m", "tests.support.history_child", str(folder), str(CHUNKS)]
    subprocess.run(command, env=preloaded(disk, folder, log), check=True, capture_output=True, timeout=120)
    all_records = list(records(log))
    assert sum(one.kind == "M" for one in all_records) == CHUNKS
    platter = Platter()
    follower, promised = Follower(platter), 0
    moments = set(chance.sample(range(len(all_records)), min(CUTS, len(all_records))))
    for moment, record in enumerate(all_records):
        if moment in moments:
            for how, files in (("kill", platter.kept(chance)), ("cut", platter.cut(chance, chance.choice([512, 4096])))):
                found = values_in(laid_out(files, tmp_path / f"{how}{moment}"))
                assert found == [float(one) for one in range(len(found))], (how, moment)
                assert promised * PER_CHUNK <= len(found) <= (promised + 1) * PER_CHUNK, (how, moment)
        follower.apply(record)
        if record.kind == "M":
            promised = json.loads(record.body)[0] + 1
