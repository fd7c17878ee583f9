"""A reload while the disk of the outbox is full or read-only: it is taken all the same."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault.test_gateway_reload import plant
from tests.support.absent import absent
from tests.support.network import until


@pytest.fixture
def partition(tmp_path: Path) -> Iterator[Path]:
    where = tmp_path / "disk"
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(where)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        absent("root, to mount a small file system")
    yield where
    subprocess.run(["umount", "-l", where], check=True)


async def test_a_reload_needs_no_disk(tmp_path: Path, partition: Path, mosquitto: str) -> None:
    """Full, then read-only: both reloads are taken, nobody else loses a sample, and a mistake is refused as ever."""
    (tmp_path / "line").mkdir()
    async with plant(tmp_path / "line", mosquitto) as line:
        assert await asyncio.to_thread(line.gateway.terminate) == 0
        root = line.gateway.config / "gateway.yaml"
        root.write_text(root.read_text().replace(f"{tmp_path}/line/outbox.db", f"{partition}/outbox.db"))
        assert str(partition) in root.read_text()
        asked = {name: len(server.asks) for name, server in line.servers.items()}
        line.gateway.start()
        await until(lambda: all(len(line.servers[name].asks) > count for name, count in asked.items()), 60, line.gateway.log)
        await line.more_windows("d0", 2)
        subprocess.run(["dd", "if=/dev/zero", f"of={partition}/ballast", "bs=64k"], capture_output=True, check=False)
        line.edit("d1", "interval: 200ms", "interval: 100ms")
        assert (await line.reload())["result"] == "applied"
        await line.until_samples("d1", 10)
        (partition / "ballast").unlink()
        remounted = subprocess.run(["mount", "-o", "remount,ro", partition], capture_output=True, check=False)
        if remounted.returncode == 0:
            line.edit("d1", "interval: 100ms", "interval: 200ms")
            assert (await line.reload())["result"] == "applied"
            await line.until_samples("d1", 5)
            line.edit("d1", "interval: 200ms", "nonsense: 1")
            assert (await line.reload())["result"] == "refused"
            await line.until_samples("d1", 5)
            subprocess.run(["mount", "-o", "remount,rw", partition], check=True)
        assert line.gateway.terminate() == 0
        line.assert_complete()
