"""History of a whole gateway: over a restart, with a disk that refuses, and beside an outbox that goes on."""

import asyncio
import errno
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from gateway.app.gateway import Gateway
from gateway.core.clock import SystemClock
from gateway.live.history.files import HistoryFiles
from gateway.runtime.reload_requests import ReloadRequests
from gateway.runtime.watchdog import Notifier
from gateway.settings import load
from tests.support.gateway import Modbus, write_config
from tests.support.modbus_server import ScriptedServer
from tests.support.network import free_port, until

HISTORY = "history:\n  block_time: 1s\n  files:\n    enabled: true\n    path: {folder}\n    keep_free: 0B\n"
TAG = np.array([1], np.uint32)


@asynccontextmanager
async def running(config: Path) -> AsyncIterator[Gateway]:
    """A gateway without a broker."""
    clock, stop = SystemClock(), asyncio.Event()
    gateway = Gateway(load(config), clock, ReloadRequests())
    task = asyncio.create_task(gateway.run(stop, Notifier({}), offline_s=0.1, close_s=5))
    try:
        yield gateway
    finally:
        stop.set()
        await asyncio.wait_for(task, 30)


async def samples(gateway: Gateway) -> int:
    assert gateway.parts.history is not None
    return len(await gateway.parts.history.query(TAG, 0, time.time_ns()))


async def has_more_than(gateway: Gateway, count: int) -> None:
    async with asyncio.timeout(30):
        while await samples(gateway) <= count:
            await asyncio.sleep(0.05)


async def test_history_outlasts_a_restart_and_the_present_is_in_the_model(tmp_path: Path) -> None:
    port, folder = free_port(), tmp_path / "history"
    async with ScriptedServer(port):
        config = write_config(
            tmp_path,
            f"mqtt://127.0.0.1:{free_port()}",
            [Modbus("press", f"tcp://127.0.0.1:{port}", 3, interval="100ms")],
            root=HISTORY.format(folder=folder),
        )
        async with running(config) as gateway:
            await has_more_than(gateway, 5)
            live = gateway.parts.live
            assert [view.state for view in live.devices()] == ["ok"]
            assert [view.is_up for view in live.connections()] == [True]
            assert live.values().reasons == ["unspecified"] * 3
            assert live.counters().samples >= 15
        stored = HistoryFiles(folder)
        stored.open(is_writer=False)
        assert stored.names() == {("press", f"t{n}") for n in range(3)}
        async with running(config) as gateway:
            await has_more_than(gateway, 8)
            answer = await gateway.parts.history.query(TAG, 0, time.time_ns())  # type: ignore[union-attr]
            assert (np.diff(answer.time) > 0).all(), "nothing twice, nothing out of order"


async def test_a_disk_that_refuses_costs_the_files_and_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(HistoryFiles, "add", refuse)
    async with ScriptedServer(port):
        config = write_config(
            tmp_path,
            f"mqtt://127.0.0.1:{free_port()}",
            [Modbus("press", f"tcp://127.0.0.1:{port}", 3, interval="100ms")],
            root=HISTORY.format(folder=tmp_path / "history"),
        )
        async with running(config) as gateway:
            log = gateway.parts.pipeline.event_log
            await until(lambda: log.counts["historian"] > 0, 30, "the refusal is said")
            await has_more_than(gateway, 20)
            assert log.counts["historian"] == 1
            closed = gateway.parts.live.counters().windows
            await until(lambda: gateway.parts.live.counters().windows > closed + 1, 30, "windows go on")


async def test_a_folder_that_cannot_be_made_costs_the_files_and_nothing_else(tmp_path: Path) -> None:
    """Its parent is a file: there is no way to open it, at the start or later."""
    (tmp_path / "file").write_text("in the way")
    port = free_port()
    async with ScriptedServer(port):
        config = write_config(
            tmp_path,
            f"mqtt://127.0.0.1:{free_port()}",
            [Modbus("press", f"tcp://127.0.0.1:{port}", 3, interval="100ms")],
            root=HISTORY.format(folder=tmp_path / "file" / "history"),
        )
        async with running(config) as gateway:
            log = gateway.parts.pipeline.event_log
            await until(lambda: log.counts["historian"] > 0, 30, "the refusal is said")
            await has_more_than(gateway, 20)
            assert log.counts["historian"] == 1
