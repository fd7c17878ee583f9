"""The order of a stop, with parts that do not do what they should. No broker and no device is there."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from gateway.app.gateway import Gateway
from gateway.core.clock import SystemClock
from gateway.runtime.reload_requests import ReloadRequests
from gateway.runtime.watchdog import Notifier
from gateway.settings import load
from tests.support.gateway import Modbus, write_config
from tests.support.network import free_port, until


class Stuck:
    """A source that cannot be cancelled until it is let go, as it runs."""

    names: tuple[str, ...] = ()
    devices: tuple[int, ...] = ()
    task: asyncio.Task[None] | None = None

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.cancelled = False

    def start(self, tasks: asyncio.TaskGroup) -> None:
        self.task = tasks.create_task(self.run())

    def stats(self) -> dict[int, dict[str, float | str]]:
        return {}

    async def run(self) -> None:
        while not self.let_go.is_set():
            try:
                await self.let_go.wait()
            except asyncio.CancelledError:
                self.cancelled = True


def ended_clean(file: Path) -> bool:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        return db.execute("SELECT clean FROM boot ORDER BY id DESC LIMIT 1").fetchone() == (1,)


async def test_a_source_that_does_not_stop_costs_no_message(tmp_path: Path) -> None:
    """What waits is on disk and the run has ended in order before systemd loses patience and kills the process."""
    nobody = f"tcp://127.0.0.1:{free_port()}"
    settings = load(write_config(tmp_path, f"mqtt://127.0.0.1:{free_port()}", [Modbus("press", nobody, 3)]))
    clock, stop, stuck = SystemClock(), asyncio.Event(), Stuck()
    gateway = Gateway(settings, clock, ReloadRequests())
    gateway.parts.sources.append(stuck)  # type: ignore[arg-type]
    running = asyncio.create_task(gateway.run(stop, Notifier({}), offline_s=0.1, close_s=0.1))
    await until(lambda: gateway.parts.outbox.stats.messages > 0, 20, "something waits")
    stop.set()
    try:
        await until(lambda: stuck.cancelled and ended_clean(settings.root.outbox.path), 20, "the outbox is closed")
        assert not running.done()
    finally:
        stuck.let_go.set()
    await asyncio.wait_for(running, 20)
