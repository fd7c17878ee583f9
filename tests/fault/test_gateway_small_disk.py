"""A partition of 100 MB with defaults: what is made without a broker survives a stop, and `check` says for how long."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.audit.ledger import Ledger
from gateway.cli.main import app
from tests.support.absent import absent
from tests.support.line import EVERY_WINDOW, QUEUES, running_line
from tests.support.network import until


@pytest.fixture
def partition(tmp_path: Path) -> Iterator[Path]:
    where = tmp_path / "disk"
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(where)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        absent("root, to mount a small file system")
    yield where
    subprocess.run(["umount", "-l", where], check=True)


async def test_a_small_partition_stores_and_forwards(partition: Path, tmp_path: Path, mosquitto: str) -> None:
    (tmp_path / "line").mkdir()
    async with running_line(tmp_path / "line", mosquitto, root=EVERY_WINDOW) as line:
        await line.more_windows(1)
        assert await asyncio.to_thread(line.gateway.terminate) == 0
        config = tmp_path / "line" / "config"
        text = (config / "gateway.yaml").read_text()
        assert "  keep_free: 0B\n" in text
        text = text.replace("  keep_free: 0B\n", "").replace(f"{tmp_path}/line/outbox.db", f"{partition}/outbox.db")
        (config / "gateway.yaml").write_text(text)
        checked = CliRunner().invoke(app, ["check", "--config", str(config)]).stdout.replace("\n", " ")
        assert "not for max_bytes" in checked
        assert "of all windows are kept" in checked
        line.broker.stop()
        line.gateway.start()
        asks = len(line.device.asks)
        await until(lambda: len(line.device.asks) > asks + 20, 30, "four seconds of polls")
        assert await asyncio.to_thread(line.gateway.terminate) == 0, "all of it is kept"
        assert "not for max_bytes" in line.gateway.log(), "the start says it, too"
        await line.broker.start(QUEUES)
        line.gateway.start()
        await line.more_windows(6)
        ledger = Ledger()
        for m in line.windows():
            ledger.add(m.topic, m.payload)
        assert not [row for row in ledger.report().rows if row.missing]
