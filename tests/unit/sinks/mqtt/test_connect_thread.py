"""Blocking attempts on threads: cancellable at once, bounded in number, nothing left behind."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from gateway.core.errors import NotConnected
from gateway.sinks.mqtt.connect_thread import ConnectThread
from tests.support.network import until


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Attempts wait for it; open at the end, so that no thread outlives its test."""
    gate = threading.Event()
    yield gate
    gate.set()


async def test_the_result_and_the_error_come_through() -> None:
    def fails() -> str:
        raise NotConnected("no")

    dialer: ConnectThread[str] = ConnectThread(lambda late: None)
    assert await dialer.run(lambda: "connected") == "connected"
    with pytest.raises(NotConnected, match="no"):
        await dialer.run(fails)


async def test_a_bug_on_the_thread_is_raised_to_who_waits() -> None:
    """Not swallowed with the thread, which would leave the caller waiting until its timeout."""
    dialer: ConnectThread[float] = ConnectThread(lambda late: None)
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(dialer.run(lambda: 1 / 0), 5)


async def test_cancelling_returns_at_once_and_a_late_result_is_hung_up(gate: threading.Event) -> None:
    hung_up: list[str] = []
    dialer: ConnectThread[str] = ConnectThread(hung_up.append)
    attempt = asyncio.create_task(dialer.run(lambda: f"late {gate.wait(10)}"))
    await asyncio.sleep(0)
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(attempt, 0.5)
    assert hung_up == []
    gate.set()
    await until(lambda: hung_up == ["late True"], what="the late result is hung up")


async def test_a_late_error_is_forgotten(gate: threading.Event) -> None:
    def fails() -> str:
        gate.wait(10)
        raise NotConnected("late")

    dialer: ConnectThread[str] = ConnectThread(lambda late: None)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(dialer.run(fails), 0.01)
    gate.set()
    assert await dialer.run(lambda: "next") == "next"


async def test_hanging_attempts_are_bounded(gate: threading.Event) -> None:
    dialer: ConnectThread[bool] = ConnectThread(lambda late: None)
    for _ in range(4):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(dialer.run(lambda: gate.wait(10)), 0.01)
    with pytest.raises(NotConnected, match="still hang"):
        await dialer.run(lambda: True)


def test_a_result_after_the_end_of_the_loop_is_hung_up(gate: threading.Event) -> None:
    hung_up: list[bool] = []
    done = threading.Event()

    def hang_up(late: bool) -> None:
        hung_up.append(late)
        done.set()

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ConnectThread(hang_up).run(lambda: gate.wait(10)), 0.01)

    asyncio.run(give_up())
    gate.set()
    assert done.wait(5)
    assert hung_up == [True]
