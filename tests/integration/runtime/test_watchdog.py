"""sd_notify on a real datagram socket, and a watchdog that starves when something stands still."""

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.runtime.watchdog import Notifier, Watchdog
from tests.support.clock import ManualClock


class Manager:
    """systemd's end."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def got(self) -> list[str]:
        """Every datagram since the last look."""
        found = []
        with suppress(BlockingIOError):
            while True:
                found.append(self.socket.recv(4096).decode())
        return found


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


@pytest.fixture
def manager(path: str) -> Iterator[Manager]:
    one = Manager(path)
    yield one
    one.socket.close()


def notifier(path: str, **more: str) -> Notifier:
    return Notifier({"NOTIFY_SOCKET": path} | more)


def test_lines_arrive_in_one_datagram(manager: Manager, path: str) -> None:
    """READY=1 with a status, as sd_notify(3) wants them."""
    notifier(path).send("READY=1", "STATUS=läuft")
    assert manager.got() == ["READY=1\nSTATUS=läuft"]


def test_an_abstract_socket_is_understood() -> None:
    """An address that begins with @ stands for a name in the kernel."""
    name = f"gateway-test-{os.getpid()}"
    manager = Manager("\0" + name)
    notifier("@" + name).send("READY=1")
    assert manager.got() == ["READY=1"]
    manager.socket.close()


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "relative", "@"])
def test_without_a_manager_nothing_happens(address: str) -> None:
    """No socket, a wrong one, none that listens: the service runs without."""
    notifier(address).send("READY=1")
    Notifier({}).send("READY=1")


def test_a_manager_that_does_not_read_never_blocks(manager: Manager, path: str) -> None:
    """Its queue is full: the line is lost, the event loop is not."""
    for _ in range(5000):
        notifier(path).send("STATUS=x")
    assert manager.got()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({"WATCHDOG_USEC": "²"}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_period_is_the_managers_and_only_for_this_process(environ: dict[str, str], seconds: float) -> None:
    """WATCHDOG_USEC counts if WATCHDOG_PID is ours or missing."""
    assert Notifier(environ).watchdog_s == seconds


class Dog:
    """A running watchdog over two parts that the test moves or does not."""

    def __init__(self, path: str, watchdog_s: int = 9, describe: Callable[[], str] = lambda: "fine") -> None:
        self.clock = ManualClock()
        self.beats = {"loop": self.clock.monotonic(), "outbox": self.clock.monotonic()}
        beats = {"loop": (lambda: self.beats["loop"], 4.0), "outbox": (lambda: self.beats["outbox"], 10.0)}
        self.watchdog = Watchdog(notifier(path, WATCHDOG_USEC=str(watchdog_s * 1_000_000)), self.clock, beats)
        self.task = asyncio.create_task(self.watchdog.run(describe))

    async def live(self, for_s: int, *moving: str) -> None:
        for _ in range(for_s):
            await self.clock.advance(1.0)
            for name in moving:
                self.beats[name] = self.clock.monotonic()

    async def stop(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


async def test_it_is_fed_three_times_a_period_while_everything_moves(manager: Manager, path: str) -> None:
    """A period of 9 s: every 3 s, with the status line."""
    dog = Dog(path)
    await dog.live(30, "loop", "outbox")
    assert manager.got() == ["WATCHDOG=1\nSTATUS=fine"] * 11
    await dog.stop()


@pytest.mark.parametrize(("stuck", "fed_for_s"), [("loop", 4), ("outbox", 10)])
async def test_it_starves_when_one_part_stands_still(manager: Manager, path: str, stuck: str, fed_for_s: int) -> None:
    """Each part may be still for its own time; then systemd gets the name of the part and no food."""
    dog = Dog(path)
    await dog.live(30, *({"loop", "outbox"} - {stuck}))
    got = manager.got()
    fed = fed_for_s // 3 + 1
    assert got[:fed] == ["WATCHDOG=1\nSTATUS=fine"] * fed
    assert set(got[fed:]) == {f"STATUS=no progress: {stuck}"}
    await dog.stop()


async def test_it_is_fed_again_when_the_part_moves_again(manager: Manager, path: str) -> None:
    """A short stall is survived."""
    dog = Dog(path)
    await dog.live(7, "outbox")
    await dog.live(6, "loop", "outbox")
    got = manager.got()
    assert "STATUS=no progress: loop" in got
    assert got[-1] == "WATCHDOG=1\nSTATUS=fine"
    assert dog.watchdog.stuck() == []
    await dog.stop()


async def test_without_a_period_the_status_is_told_all_the_same(manager: Manager, path: str) -> None:
    """Type=notify without WatchdogSec: a status line every five seconds."""
    dog = Dog(path, watchdog_s=0)
    await dog.live(20, "loop", "outbox")
    assert len(manager.got()) == 5
    await dog.stop()
